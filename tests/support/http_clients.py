# SPDX-License-Identifier: MIT
"""Clients of the servers behind proxyd: curl with one request, many at once, or transfers that stand still."""

import dataclasses
import hashlib
import re
import shutil
import subprocess
import threading

import pytest

from support.processes import DeadlineSeconds
from support.workspace import Port

PartBytes = 1 << 16


@dataclasses.dataclass
class Answer:
    text: str
    client: str  # the address and port that curl used
    status: int
    connections: int  # that were opened for this request

    def seen(self):
        """What the server knows of its client: see https_server.js and its like."""
        match = re.fullmatch(r"(\w+) client (\S+ \d+) local (\S+ \d+) protocol (\S+) request (\d+)\n", self.text)
        assert match, self.text
        return dict(zip(["server", "client", "local", "protocol", "request"], match.groups()))


class Curl:
    def __init__(self, workspace, *, port=Port, address=None, source=None):
        self.workspace = workspace
        self.port = port
        self.address = address or workspace.address
        self.source = source

    def command(self, server, *options):
        command = ["curl", "-sS", "--no-progress-meter", "--max-time", DeadlineSeconds,
                   "--resolve", f"{server.host}:{self.port}:{self.address}"]
        if server.scheme == "https":
            command += ["--cacert", self.workspace.path / "nginx.example.org.crt"]
        if self.source:
            command += ["--interface", self.source]
        return [str(word) for word in [*command, *options]]

    def url(self, server, path="/"):
        return f"{server.scheme}://{server.host}:{self.port}{path}"

    def run(self, server, *options):
        """The finished process: for errors, and where the output is of no interest."""
        return subprocess.run(self.command(server, *options), capture_output=True, timeout=2 * DeadlineSeconds)

    def start(self, server, *options):
        """As a child of the workspace."""
        return self.workspace.start(*self.command(server, *options))

    def request(self, server, path="/", *options):
        """An answer, for it must be one."""
        return self.requests(server, [path], *options)[0]

    def requests(self, server, paths, *options):
        """One after another, as curl likes best: over one connection."""
        mark = "\n--- %{local_ip} %{local_port} %{http_code} %{num_connects}\n"
        result = self.run(server, *options, "-w", mark, *(self.url(server, path) for path in paths))
        assert result.returncode == 0, result.stderr.decode()
        found = re.findall(r"(.*?)\n--- (\S+ \d+) (\d+) (\d+)\n", result.stdout.decode(), re.DOTALL)
        assert len(found) == len(paths), result.stdout
        return [Answer(text, client, int(status), int(connections)) for text, client, status, connections in found]

    def burst(self, server, count, at_once):
        """The command's options for so many connections with one request each; prints "200 1" for each."""
        return ["--http1.1", "--parallel", "--parallel-immediate", "--parallel-max", at_once, "-H", "Connection: close",
                "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n",
                self.url(server, f"/?[1-{count}]")]


def run_tls_client(server, *command):
    """What a client that relays its standard input and output says, when it has asked for the server's answer."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    request = f"GET / HTTP/1.1\r\nHost: {server.host}\r\nConnection: close\r\n\r\n"
    result = subprocess.run([str(word) for word in command], input=request, capture_output=True, text=True,
                            timeout=DeadlineSeconds)
    return result.stdout + result.stderr


class Transfer:
    """curl in the middle of a transfer: it stands still after `held_bytes`, until told to go on."""

    def __init__(self, curl, server, *options, content=b""):
        self.process = subprocess.Popen(curl.command(server, *options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.content = content
        self.problem = None
        self._is_flowing = threading.Event()
        self._may_go_on = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        curl.workspace.close_at_end(self)

    def _run(self):
        try:
            self.transfer()
        except OSError as error:
            self.problem = error
        self._is_flowing.set()

    def hold(self):
        self._is_flowing.set()
        self._may_go_on.wait()

    def wait_until_flowing(self):
        assert self._is_flowing.wait(DeadlineSeconds), "nothing flows"
        assert self.process.poll() is None, self.process.stderr.read()

    def go_on(self):
        self._may_go_on.set()

    def finish(self):
        self._thread.join(2 * DeadlineSeconds)
        assert not self._thread.is_alive(), "the transfer does not end"
        assert self.process.wait(DeadlineSeconds) == 0 and not self.problem, (self.problem, self.process.stderr.read())

    def close(self):
        self.process.kill()
        self.go_on()
        self._thread.join(DeadlineSeconds)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # what was never sent


class Download(Transfer):
    held_bytes = 1 << 20

    def __init__(self, curl, server, path):
        self.received = 0
        self._digest = hashlib.sha256()
        super().__init__(curl, server, curl.url(server, path))

    def transfer(self):
        while self.received < self.held_bytes and self._read():
            pass
        self.hold()
        while self._read():
            pass

    def _read(self):
        part = self.process.stdout.read1(PartBytes)
        self._digest.update(part)
        self.received += len(part)
        return len(part)

    def digest(self):
        self.finish()
        return self._digest.hexdigest()


class Upload(Transfer):
    held_bytes = 12 << 20

    def __init__(self, curl, server, path, content):
        self.answer = b""
        # As a body of known size, which any server takes, though it comes from a pipe.
        super().__init__(curl, server, "--http1.1", "-T", "-", "-H", "Transfer-Encoding:", "-H",
                         f"Content-Length: {len(content)}", "-H", "Expect:", curl.url(server, path), content=content)

    def transfer(self):
        for at in range(0, len(self.content), PartBytes):
            if at == self.held_bytes:
                self.hold()
            self.process.stdin.write(self.content[at:at + PartBytes])
        self.process.stdin.close()
        self.answer = self.process.stdout.read()

    def text(self):
        self.finish()
        return self.answer.decode()

    def content_digest(self):
        return hashlib.sha256(self.content).hexdigest()
