# SPDX-License-Identifier: MIT
"""Child processes whose output is read line by line while they run, and proxyd as one of them."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

DeadlineSeconds = 30
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
    def __init__(self, directory, configuration, prefix=()):
        path = directory / "proxyd.json"
        path.write_text(json.dumps(configuration, indent=2))
        super().__init__([*prefix, program("proxyd"), "--config", path], cwd=directory)

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

    def descriptors(self):
        """What each descriptor is."""
        return sorted(os.readlink(entry.path) for entry in os.scandir(f"/proc/{self.pid}/fd"))

    def tcp_descriptor_count(self):
        return sum(inode in tcp_inodes() for inode in self.descriptors())

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


def tcp_inodes():
    """How the kernel calls all TCP sockets of this network namespace in /proc/PID/fd."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path("/proc/net", table).read_text().splitlines()[1:]:
            inodes.add(f"socket:[{line.split()[9]}]")
    return inodes
