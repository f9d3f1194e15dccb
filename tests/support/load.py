# SPDX-License-Identifier: MIT
"""Many clients at once (tests/programs/load_client.c), and what becomes of those whom a killed worker had in hand."""

import ctypes
import json
import os
import pathlib
import random
import signal
import socket

from support.processes import Child
from support.workspace import Port, wait_until

SystemCallPidfdGetfd = 438  # the same number on every architecture; Python has no name for it
LoadClient = pathlib.Path(os.environ["PROXYD_BUILD"]) / "tests" / "programs" / "load_client"


class Load(Child):
    """Clients that come until `seconds` are over, or `count` have come. Each is from another of many addresses.

    `prefix` is what the command line begins with, such as one that runs it in another network.
    """

    def __init__(self, workspace, hello, *, address=None, port=Port, prefix=(), **options):
        self.hello = workspace.path / "hello"
        self.hello.write_bytes(hello)
        options = {"hello": self.hello, "sources": 5000, **options}
        super().__init__([*prefix, LoadClient, address or workspace.address, port,
                          *(f"{key}={value}" for key, value in options.items())])
        workspace.children.append(self)
        self.wait_for_line("^started$")

    def ends_within(self, seconds):
        """Waits for so long at most."""
        try:
            self.process.wait(seconds)
        except Exception:
            return False
        return True

    def wait_until_done(self, count):
        """With `progress`, a divisor of `count`, until so many clients have got their answer."""
        self.wait_for_line(f"^done {count}$")

    def result(self):
        """What it counted, when all its clients have ended."""
        assert self.wait_for_exit() == 0, self.log()
        return json.loads(self.lines[-1])


    def log(self):
        return "\n".join(line[:2000] for line in super().log().splitlines())


def summary(result):
    """For people."""
    return " ".join(f"{key}={value}" for key, value in result.items() if key != "failures" and value)


def peers_of(pid):
    """The addresses of all TCP peers whose connections a process has open, as "ADDRESS:PORT"."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    peers = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        if not os.readlink(entry.path).startswith("socket:"):
            continue
        number = libc.syscall(SystemCallPidfdGetfd, pidfd, int(entry.name), 0)
        assert number >= 0, os.strerror(ctypes.get_errno())
        with socket.socket(fileno=number) as copy:
            if copy.family == socket.AF_INET and copy.type == socket.SOCK_STREAM:
                try:
                    peers.add("%s:%d" % copy.getpeername())
                except OSError:
                    pass  # a listener, or a client that has gone
    os.close(pidfd)
    return peers


def state_of(pid):
    """As proc(5) has it: R, S, T, Z; "" if it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill_with_sessions(pid):
    """SIGKILL for a worker, which is stopped before, so that we know exactly whom it had in hand: returns them."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) in ("T", "Z", ""), "a stopped worker")
    in_hand = peers_of(pid) if state_of(pid) == "T" else set()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state_of(pid) in ("Z", ""), "a dead worker")
    return in_hand


class Killer:
    """Kills one of proxyd's workers, and remembers whom they had in hand."""

    def __init__(self, proxyd):
        self.proxyd = proxyd
        self.in_hand = []

    def __call__(self):
        self.in_hand.append(kill_with_sessions(random.choice(self.proxyd.workers())))

    def __str__(self):
        return f"killed workers had sessions in hand: {[len(clients) for clients in self.in_hand]}"


def assert_only_those_in_hand_noticed(result, killer):
    """Each client that saw an error is one that a killed worker had in hand, and saw its connection end."""
    lost = {failure["client"]: failure["outcome"] for failure in result["failures"]}
    unexplained = set(lost) - set().union(*killer.in_hand)
    assert not unexplained, [failure for failure in result["failures"] if failure["client"] in unexplained][:20]
    assert set(lost.values()) <= {"reset", "end_of_file"}
    assert result["ok"] + len(lost) == result["clients"]


def wait_for_workers(proxyd, count, *, without=()):
    """Until there are so many, none of them one of `without`, and no more of another generation."""
    def are_there():
        workers = proxyd.workers()
        return len(workers) == count and not set(workers) & set(without) and workers

    return wait_until(are_there, f"{count} workers")
