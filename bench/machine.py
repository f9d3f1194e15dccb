# SPDX-License-Identifier: MIT
"""The machine: what is installed and built on it, and what it is."""

import os
import pathlib
import platform
import re
import subprocess
import sys

import backend
from processes import file_text

Tree = pathlib.Path(__file__).resolve().parent.parent
ToBuild = ["g++", "cmake", "ninja-build", "pkg-config", "libc-ares-dev", "libev-dev", "libfmt-dev", "nlohmann-json3-dev",
           "libseccomp-dev", "libnghttp2-dev", "libmicrohttpd-dev", "libsystemd-dev"]
ToMeasure = ["haproxy", "nginx", "libnginx-mod-stream", "sniproxy", "sslh", "socat", "systemd", "openssl", "libssl-dev", "strace"]


def install():
    """What is missing, from the distribution; services of theirs that it starts are in nobody's way, but they use the machine."""
    subprocess.run([Tree / "packaging" / "install-missing.sh", *ToBuild, *ToMeasure], check=True, stdout=sys.stderr)


def build():
    folder = Tree / "build" / "release"
    log = Tree / "build" / "bench-build.log"
    log.parent.mkdir(exist_ok=True)
    with open(log, "wb") as output:
        for command in (["cmake", "--preset", "release", "-DPROXYD_TESTS=OFF"],
                        ["cmake", "--build", folder, "-j", str(os.cpu_count())]):
            if subprocess.run(command, cwd=Tree, stdout=output, stderr=output).returncode != 0:
                sys.exit(f"bench/run: building failed, see {log}")
    return folder


def description():
    cpu = re.search(r"^model name\s*:\s*(.*)$", file_text("/proc/cpuinfo"), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"', file_text("/etc/os-release"), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", file_text("/proc/meminfo"), re.M)
    virtual = subprocess.run(["systemd-detect-virt", "--vm"], capture_output=True, text=True).stdout.strip()
    commit = subprocess.run(["git", "-C", str(Tree), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "processors": os.cpu_count(), "model": cpu.group(1) if cpu else platform.machine(), "virtual": virtual or "unknown",
        "memory_gib": round(int(memory.group(1)) / (1 << 20)) if memory else 0, "kernel": platform.release(),
        "system": system.group(1) if system else platform.system(), "backend": backend.version(), "commit": commit,
        "load": os.getloadavg()[0],
    }
