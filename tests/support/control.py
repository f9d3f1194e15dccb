# SPDX-License-Identifier: MIT
"""proxyd with a control socket of its own, proxyctl, and a client that writes what it likes."""

import json
import os
import socket
import subprocess

from support.processes import Child, DeadlineSeconds, program


def own_user():
    """Whose name the workers have: they share the workspace with the test."""
    return {"user": "root"} if os.geteuid() == 0 else {}


def start_with_control(workspace, **configuration):
    configuration.setdefault("control", str(workspace.path / "control.sock"))
    configuration.setdefault("workers", 2)
    return workspace.start_proxyd(**{**own_user(), **configuration})


def proxyctl(workspace, *arguments, prefix=()):
    """Runs it to its end."""
    return subprocess.run([*prefix, program("proxyctl"), "--control", str(workspace.path / "control.sock"),
                           *map(str, arguments)], capture_output=True, text=True, timeout=DeadlineSeconds)


def objects(workspace, *arguments):
    """What `proxyctl --json` prints."""
    result = proxyctl(workspace, "--json", *arguments)
    assert (result.returncode, result.stderr) == (0, ""), result
    return [json.loads(line) for line in result.stdout.splitlines()]


class Events(Child):
    """`proxyctl --json events`, which has begun to follow."""

    def __init__(self, workspace, *arguments):
        super().__init__([program("proxyctl"), "--control", workspace.path / "control.sock", "--json", "events",
                          *arguments])
        workspace.children.append(self)
        self.wait_for_event(lambda event: event["event"] == "subscribed")

    def wait_for_event(self, matches):
        return self.wait_for(lambda lines: next((event for line in lines if line.startswith("{")
                                                 and matches(event := json.loads(line))), None), "such an event")


class ControlClient:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))  # without a time-out, which would not wait for room in the backlog
        self.socket.settimeout(DeadlineSeconds)
        self._reader = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        """The next line as an object; None at the end."""
        line = self._reader.readline()
        return json.loads(line) if line else None

    def ask(self, request):
        """All lines of the answer."""
        self.send(json.dumps(request).encode() + b"\n")
        lines = []
        while not lines or "ok" not in lines[-1]:
            lines.append(self.line())
            assert lines[-1] is not None, "the end instead of an answer"
        return lines

    def close(self):
        self._reader.close()
        self.socket.close()
