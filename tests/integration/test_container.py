# SPDX-License-Identifier: MIT
"""examples/container: Podman runs a server with the settings of its quadlet, and Compose's file says the same."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from support.http_clients import Curl
from support.processes import DeadlineSeconds, program
from support.servers import is_live_socket
from support.workspace import Port, wait_until

Example = pathlib.Path(__file__).parents[2] / "examples" / "container"
Build = pathlib.Path(program("proxyd")).parents[1]
OtherGroup = 4242  # nobody's
OwnNamespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

# Podman's own files in one directory, and its processes in one namespace, whose end is theirs. A version 2 hierarchy
# of control groups is mounted where this machine has another one, which crun doesn't know.
Setup = """
mount --make-rprivate /
grep -q ' /sys/fs/cgroup cgroup2 ' /proc/mounts || { umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; }
own=$1
shift
mkdir -p $own/rootfs/usr $own/rootfs/proc $own/rootfs/dev $own/rootfs/sys $own/rootfs/etc $own/rootfs/run $own/rootfs/tmp
for link in bin lib lib64; do ln -s usr/$link $own/rootfs/$link; done
exec podman --root $own/root --runroot $own/runroot --tmpdir $own/tmp --storage-driver vfs --cgroup-manager cgroupfs \
    --events-backend none run --rm --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
    -v /usr:/usr:ro "$@"
"""


def settings():
    """Of the quadlet's [Container], as key and value."""
    section = (Example / "blog.container").read_text().partition("[Container]\n")[2].partition("\n[")[0]
    return [tuple(line.split("=", 1)) for line in section.splitlines() if not line.startswith("#")]


def podman_options(site):
    """What podman-systemd.unit(5) makes of the settings; the image and its process 1 are missing."""
    options = {"Network": "--network={}", "Environment": "--env={}", "Volume": "--volume={}", "PodmanArgs": "{}"}
    lines = [options[key].format(value) for key, value in settings() if key not in ("Image", "RunInit")]
    places = {"/run/proxyd/sites/blog:": f"{site}:", "/usr/lib/x86_64-linux-gnu/proxyd:": f"{Build}/lib:",
              "PROXYD_PORTS=80": f"PROXYD_PORTS={Port}=80", ":/site:z": ":/site"}
    for there, here in places.items():
        assert any(there in line for line in lines), f"{there} in blog.container"
        lines = [line.replace(there, here) for line in lines]
    return lines


class Container:
    host, scheme = "blog.example.org", "http"

    def __init__(self, workspace, *command):
        self.workspace, self.site = workspace, workspace.site("blog")
        self.child = workspace.start(
            *OwnNamespaces, "sh", "-euc", Setup, "podman",
            workspace.site("podman"), *podman_options(self.site), f"--volume={Example.parent}/no-network:/example:ro",
            "--rootfs", workspace.path / "podman/rootfs", *command)

    def wait_until_ready(self):
        def is_ready():
            assert self.child.process.poll() is None, "the container ended"
            return [path for path in self.site.glob("*.sock") if is_live_socket(path)]

        wait_until(is_ready, "a live site socket")
        return self


@pytest.fixture(scope="module")
def can_run_containers(tmp_path_factory):
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root may mount what podman needs here")
    attempt = subprocess.run([*OwnNamespaces, "sh", "-euc", Setup, "podman",
                              tmp_path_factory.mktemp("podman"), "--network=none", "--rootfs",
                              tmp_path_factory.getbasetemp() / "podman0/rootfs", "true"],
                             capture_output=True, text=True, timeout=DeadlineSeconds)
    if attempt.returncode != 0:
        pytest.skip(f"podman can't run containers here: {attempt.stderr}")


def test_a_container_without_a_network_serves_the_outside(workspace, can_run_containers):
    site = workspace.site("blog")
    os.chown(site, -1, OtherGroup)
    os.chmod(site, 0o2770)
    proxyd = workspace.start_proxyd(routes={Container.host: str(site)}, prefix=("setpriv", f"--groups={OtherGroup}"))
    container = Container(workspace, "python3", "/example/server.py", "80").wait_until_ready()
    answer = Curl(workspace, source="127.0.0.11").request(container)
    client, interfaces, way_out, queue = answer.text.rstrip("\n").split("|")
    assert client.replace(":", " ") == answer.client
    assert (interfaces, way_out, queue) == ("lo", "Network is unreachable", "513")
    assert {os.stat(path).st_gid for path in site.glob("*.sock")} == {OtherGroup}
    assert proxyd.access_line()["verdict"] == "handed_over"


def test_sockets_of_a_user_namespace_have_the_directorys_group(workspace):
    """As with rootless containers: a group that isn't there, inside. The set-group-ID bit does it."""
    site = workspace.site("blog")
    if os.geteuid() == 0:
        os.chown(site, -1, OtherGroup)
    os.chmod(site, 0o2770)
    command = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine has no user namespaces")
    workspace.start(*command, program("proxyrun"), "--site", site, "--port", Port, "--",
                    sys.executable, "-m", "http.server", Port)
    paths = wait_until(lambda: list(site.glob("[0-9]*.sock")), "a site socket")
    assert [(os.stat(path).st_gid, os.stat(path).st_mode & 0o777) for path in paths] == [(os.stat(site).st_gid, 0o660)]


def test_both_files_say_the_same():
    compose = (Example / "compose.yaml").read_text()
    said = dict.fromkeys(settings())
    assert ("Network", "none") in said and "network_mode: none\n" in compose
    assert ("RunInit", "true") in said and "init: true\n" in compose
    assert ("PodmanArgs", "--sysctl=net.unix.max_dgram_qlen=512") in said
    assert 'sysctls:\n      net.unix.max_dgram_qlen: "512"\n' in compose
    volumes = re.findall(r"^      - (/\S+)$", compose, re.M)
    assert volumes == [value for key, value in settings() if key == "Volume"]
    variables = re.findall(r'^      ([A-Z_]+): "?([^"\n]+)"?$', compose, re.M)
    assert [f"{key}={value}" for key, value in variables] == [value for key, value in settings() if key == "Environment"]
