# SPDX-License-Identifier: MIT
"""Child processes whose output is read line by line while they run, and proxyd as one of them."""

import contextlib
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

DeadlineSeconds = 30
# By the preset's name. Their runtimes take memory, make system calls, and want to be loaded before all else.
IsSanitized = pathlib.Path(os.environ["PROXYD_BUILD"]).name in ("asan", "tsan")
IsOptimised = pathlib.Path(os.environ["PROXYD_BUILD"]).name == "release"
LogLinesMax = 60

AccessFields = ["id", "client", "listener", "protocol", "name", "alpn", "route", "site", "verdict",
                "reason", "hello_us", "handoff_us"]


def program(name):
    """A program of the build under test."""
    return str(pathlib.Path(os.environ["PROXYD_BUILD"]) / "bin" / name)


def run_proxyd(*arguments, **options):
    """For what ends by itself."""
    return subprocess.run([program("proxyd"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=DeadlineSeconds, **options)


@functools.cache
def takes_key(key):
    """Whether proxyd knows such a key of its configuration."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"listen": ["127.0.0.1:1"], "routes": {"*": "/run/site"}, key: None}, file)
        file.flush()
        return "is not a key of proxyd" not in run_proxyd("--config", file.name, "--check-config").stderr


def children_of(pid):
    """Of all its threads; nothing of a process that is not there any more."""
    children = []
    with contextlib.suppress(OSError):
        threads = os.listdir(f"/proc/{pid}/task")
        for thread in threads:
            with contextlib.suppress(OSError):
                children += map(int, pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return children


def descriptors_of(pid):
    """What each descriptor of a process is; those that it closes meanwhile are left out."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.append(os.readlink(entry.path))
    return found


def status_of(pid, field):
    """A number of /proc/PID/status: "VmRSS" in KiB, "voluntary_ctxt_switches"."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE).group(1))


def processor_seconds_of(pid):
    """What a process has used; other than the time that passes, it hardly depends on what else is going on."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Child:
    def __init__(self, command, **options):
        self.command = [str(word) for word in command]
        self.lines = []
        self._changed = threading.Condition()
        self._has_ended = False  # or closed its output, at least
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, **options)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def wait_for(self, find, what):
        """Waits until `find(lines)` gives something."""
        deadline = time.monotonic() + DeadlineSeconds
        with self._changed:
            while (found := find(self.lines)) is None:
                assert not self._has_ended, f"{self.command[0]} ended without {what}"
                assert time.monotonic() < deadline, f"{self.command[0]}: no {what} in {DeadlineSeconds} s"
                self._changed.wait(deadline - time.monotonic())
            return found

    def wait_for_line(self, pattern):
        return self.wait_for(lambda lines: next((m for l in lines if (m := re.search(pattern, l))), None),
                             f"a line like {pattern}")

    def wait_for_exit(self):
        code = self.process.wait(DeadlineSeconds)
        self._reader.join(DeadlineSeconds)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Returns complaints."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait_for_exit()
        return []

    def log(self):
        omitted = [f"... {len(self.lines) - LogLinesMax} lines ..."] if len(self.lines) > LogLinesMax else []
        return "\n".join([" ".join(self.command), *omitted, *self.lines[-LogLinesMax:]])


class Proxyd(Child):
    def __init__(self, directory, configuration, prefix=(), executable=None):
        self.configuration = configuration
        self.configuration_path = directory / "proxyd.json"
        self.write_configuration()
        super().__init__([*prefix, executable or program("proxyd"), "--config", self.configuration_path],
                         cwd=directory)

    def write_configuration(self):
        """As editors do: the old file is whole until the new one is."""
        new = self.configuration_path.with_suffix(".new")
        new.write_text(json.dumps(self.configuration, indent=2))
        new.replace(self.configuration_path)

    def wait_until_ready(self):
        self.wait_for_line(r" notice ready: ")

    def access_line(self, index=0):
        """The fields of the access line that was logged as number `index`."""
        def find(lines):
            found = [line for line in lines if " access " in line]
            return parse_access_line(found[index]) if index < len(found) else None

        return self.wait_for(find, f"access line {index}")

    def access_line_of(self, client):
        def find(lines):
            return next((fields for line in lines if " access " in line
                         and (fields := parse_access_line(line))["client"] == client.address_text), None)

        return self.wait_for(find, f"access line of {client.address_text}")

    def access_lines(self):
        return [parse_access_line(line) for line in self.lines if " access " in line]

    def workers(self):
        """The pids of main's children; none if this proxyd is one process."""
        return children_of(self.pid)

    def processes(self):
        return [self.pid, *self.workers()]

    def serving_pid(self):
        """The one process that has clients in hand: the only worker."""
        workers = self.workers()
        assert len(workers) <= 1, "more than one worker"
        return workers[0] if workers else self.pid

    def descriptors(self):
        """What each descriptor of each process is."""
        return sorted(descriptor for pid in self.processes() for descriptor in descriptors_of(pid))

    def tcp_descriptor_count(self):
        """TCP sockets that any of the processes holds: a listener is one, though main holds it beside its worker."""
        return len(tcp_descriptors_of(*self.processes()))

    def reload(self, **changes):
        """With other values in its configuration, if any; waits until it is done, and returns the line that says so."""
        if changes:
            self.configuration.update(changes)
            self.write_configuration()
        return self._signal_and_wait(signal.SIGHUP, r" notice reloaded: | error .*reload failed")

    def upgrade(self):
        """To whatever its program's file is now."""
        return self._signal_and_wait(signal.SIGUSR2, r" notice upgraded: | error .*upgrade failed")

    def _signal_and_wait(self, number, pattern):
        so_far = len(self.lines)
        self.signal(number)
        return self.wait_for(lambda lines: next((line for line in lines[so_far:] if re.search(pattern, line)), None),
                             f"a line like {pattern}")

    def resident_kib(self):
        return {pid: status_of(pid, "VmRSS") for pid in self.processes()}

    def stop(self, number=signal.SIGTERM):
        """Stops it cleanly; returns the numbers of its last line."""
        self.signal(number)
        assert self.wait_for_exit() == 0, "exit code after a signal to stop"
        return self.stopped_counts()

    def stopped_counts(self):
        counts = self.wait_for_line(r" notice stopped: (.*)$").group(1)
        return {key: int(value) for key, value in (word.split("=") for word in counts.split())}

    def end(self):
        was_running = self.process.poll() is None
        if was_running:
            self.signal(signal.SIGTERM)
        try:
            self.wait_for_exit()
        except subprocess.TimeoutExpired:
            self.process.kill()
            return [f"proxyd did not stop at SIGTERM in {DeadlineSeconds} s"]
        code = self.process.returncode
        complaints = [f"proxyd ended with {code}"] if was_running and code != 0 else []
        return complaints + [f"proxyd: {line}" for line in self.lines
                             if "Sanitizer" in line or "runtime error" in line or "Assertion" in line]


def parse_access_line(line):
    time, word, *pairs = line.split(" ")
    assert word == "access", line
    fields = dict(pair.split("=", 1) for pair in pairs)
    assert list(fields) == AccessFields, line
    return {"time": time, **fields}


def read_if_there(path):
    """Of a process that may be gone."""
    with contextlib.suppress(OSError):
        return pathlib.Path(path).read_text()
    return ""


def tcp_descriptors_of(*pids):
    """TCP sockets that any of these processes holds, as /proc/PID/fd calls them: sockets that are no Unix sockets.

    A TCP socket whose client has reset it is in no table of the kernel, but is held until it is closed.
    """
    def unix_inodes():
        tables = ["/proc/net/unix", *(f"/proc/{pid}/net/unix" for pid in pids)]  # of their network namespaces
        rows = [row.split() for table in tables for row in read_if_there(table).splitlines()[1:]]
        return {f"socket:[{row[6]}]" for row in rows}

    unix = unix_inodes()
    held = {descriptor for pid in pids for descriptor in descriptors_of(pid) if descriptor.startswith("socket:")}
    return held - unix - unix_inodes()


def listening_inodes():
    """Of all TCP sockets that listen, as /proc/PID/fd calls them."""
    rows = [row.split() for table in ("tcp", "tcp6")
            for row in pathlib.Path("/proc/net", table).read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}


def client_descriptors_of(*pids):
    """The sockets of clients that any of these processes holds."""
    # The kernel leaves out of its tables what moves in them while they are read; hardly twice the same.
    return tcp_descriptors_of(*pids) - listening_inodes() - listening_inodes()
