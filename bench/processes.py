# SPDX-License-Identifier: MIT
"""What processes use: processor time, memory, descriptors, system calls, instructions. Each that is
measured runs in a control group of its own, so that children that have ended count too."""

import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

Deadline = 30


def wait_for(condition, what, seconds=Deadline):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.005)
    return found


def raise_descriptor_limit(wanted=60000):
    """For all that is started from here; the limit that we have in the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, wanted), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (ValueError, OSError):
            continue
    return soft


DescriptorLimit = raise_descriptor_limit()
ConnectionsMax = min(20000, (DescriptorLimit - 200) // 2)  # through a relay, which needs two descriptors for each


def accounting():
    """Where groups can be made, the file with the processor time used, and its unit in seconds."""
    for folder in map(pathlib.Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")):
        if (folder / "cgroup.controllers").exists() and os.access(folder, os.W_OK):
            return folder, "cpu.stat", 1e-6
    folder = pathlib.Path("/sys/fs/cgroup/cpuacct")
    if folder.exists() and os.access(folder, os.W_OK):
        return folder, "cpuacct.usage", 1e-9
    sys.exit("bench/run: needs to be root, and to make control groups")


class Group:
    """A control group for one peer, and its processes."""
    made = 0

    def __init__(self):
        folder, self.usage, self.unit = accounting()
        Group.made += 1
        self.path = folder / f"proxyd-bench-{os.getpid()}-{Group.made}"
        self.path.mkdir()
        self.popens = []

    def run(self, *command, log, **options):
        """Starts a process inside."""
        with open(log, "ab") as output:
            popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
                                     stderr=output, preexec_fn=self.enter, start_new_session=True, **options)
        self.popens.append(popen)
        return popen

    def enter(self):
        with open(self.path / "cgroup.procs", "w") as procs:
            procs.write("0")

    def pids(self):
        return sorted({int(line) for line in (self.path / "cgroup.procs").read_text().split()})

    def processor_seconds(self):
        text = (self.path / self.usage).read_text()
        match = re.search(r"usage_usec (\d+)", text)
        return int(match.group(1) if match else text) * self.unit

    def reap(self):
        for popen in self.popens:
            popen.poll()

    def stop(self):
        """Asks them to end, and makes them end."""
        for popen in self.popens:
            if popen.poll() is None:
                popen.send_signal(signal.SIGTERM)
        end = time.monotonic() + 2
        while time.monotonic() < end and any(popen.poll() is None for popen in self.popens):
            time.sleep(0.01)
        self.kill()

    def kill(self):
        """All at once, as a crash or the kernel out of memory would."""
        while pids := self.pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.reap()
            time.sleep(0.001)
        for popen in self.popens:
            popen.wait()
        self.popens.clear()

    def close(self):
        self.stop()
        self.path.rmdir()


def file_text(path):
    try:
        return pathlib.Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def memory_bytes(pids):
    """Their proportional share of what isn't a file's: a library in memory costs each less when others use it, too."""
    total = 0
    for pid in pids:
        fields = dict(re.findall(r"^(Pss_Anon|Pss_Shmem):\s+(\d+)", file_text(f"/proc/{pid}/smaps_rollup"), re.M))
        total += sum(map(int, fields.values())) * 1024
    return total


def descriptors(pids):
    total = 0
    for pid in pids:
        try:
            total += len(os.listdir(f"/proc/{pid}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def kernel_bytes():
    """What the kernel of this machine uses for its structures, among them sockets."""
    return int(re.search(r"^Slab:\s+(\d+)", file_text("/proc/meminfo"), re.M).group(1)) * 1024


class SystemCalls:
    """strace over all of them, from attaching to finish()."""

    def __init__(self, pids, directory):
        self.table = directory / "strace.table"
        words = ["strace", "-f", "-c", "-U", "calls,name", "-o", str(self.table)]
        for pid in pids:
            words += ["-p", str(pid)]
        self.strace = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        attached = 0
        while attached < len(pids):
            line = self.strace.stderr.readline()
            if not line:
                raise RuntimeError("strace could not attach")
            attached += "attached" in line

    def finish(self):
        """How many calls of which name."""
        self.strace.send_signal(signal.SIGINT)
        self.strace.communicate()
        rows = re.findall(r"^\s*(\d+) (\w+)$", self.table.read_text(), re.M)
        return {name: int(count) for count, name in rows if name != "total"}


class Instructions:
    """Steps through one process, instruction by instruction, and counts those outside the kernel."""

    def __init__(self, program, pid):
        # Both on one processor: each step goes from one to the other and back.
        self.pid, self.processors = pid, os.sched_getaffinity(pid)
        os.sched_setaffinity(pid, {min(self.processors)})
        self.counter = subprocess.Popen([program, str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {min(self.processors)}))
        if "counting" not in self.counter.stdout.readline():
            raise RuntimeError(f"could not count the instructions of {pid}")

    def finish(self):
        self.counter.send_signal(signal.SIGTERM)
        count = int(self.counter.communicate(timeout=Deadline)[0].split()[-1])
        os.sched_setaffinity(self.pid, self.processors)
        return count
