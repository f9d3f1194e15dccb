# SPDX-License-Identifier: MIT
"""A tcpshim with a configuration file and a control socket, and both of its ends (relay_ends)."""

import json
import re
import signal
import socket
import subprocess

from support.processes import DeadlineSeconds, children_of, program
from support.relay_ends import RelayEnds, Tcpshim
from support.workspace import Port, wait_until


def run_tcpshim(*arguments):
    """For what ends by itself."""
    return subprocess.run([program("tcpshim"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=DeadlineSeconds)


class ConfiguredRelay(RelayEnds):
    def __init__(self, workspace, backends=1, site_settings=None, **configuration):
        self.workspace = workspace
        self.site = workspace.site("relayed")
        self.control = workspace.path / "tcpshim.sock"
        self.file = workspace.path / "tcpshim.json"
        self.backends = [workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=4096))
                         for _ in range(backends)]
        self._front = workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=4096))
        for listener in (*self.backends, self._front):
            listener.settimeout(DeadlineSeconds)
        self.names = ["%s:%d" % backend.getsockname() for backend in self.backends]
        site = {"ports": [Port], "to": self.names, **(site_settings or {})}
        self.configuration = {"sites": {str(self.site): site}, "control": str(self.control), **configuration}
        self.write()
        self.start()

    def start(self):
        """Also beside one that is about to end."""
        self.shim = Tcpshim("--config", self.file)
        self.workspace.children.append(self.shim)
        self.shim.wait_for_line(r" notice ready: ")
        self._sender = self.workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._sender.settimeout(DeadlineSeconds)
        self._sender.connect(str(self.site / f"{Port}.sock"))

    @property
    def site_configuration(self):
        return self.configuration["sites"][str(self.site)]

    def write(self):
        self.file.write_text(json.dumps(self.configuration))

    def worker(self):
        """The pid of the only worker."""
        [pid] = wait_until(lambda: children_of(self.shim.pid), "a worker")
        return pid

    def reload(self):
        self.write()
        so_far = len(self.shim.lines)
        self.shim.signal(signal.SIGHUP)
        return self.shim.wait_for(lambda lines: next((line for line in lines[so_far:] if re.search(
            r" notice reloaded: | error reload failed", line)), None), "the end of the reload")

    def proxyctl(self, *arguments):
        return subprocess.run([program("proxyctl"), "--control", str(self.control), *map(str, arguments)],
                              capture_output=True, text=True, timeout=DeadlineSeconds)

    def objects(self, *arguments):
        result = self.proxyctl("--json", *arguments)
        assert (result.returncode, result.stderr) == (0, ""), result
        return [json.loads(line) for line in result.stdout.splitlines()]

    def metrics(self):
        """The samples that `proxyctl metrics` prints, by name and labels."""
        result = self.proxyctl("metrics")
        assert (result.returncode, result.stderr) == (0, ""), result
        lines = [line for line in result.stdout.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def relay_once(self, to_backend=b"question", to_client=b"answer"):
        """A connection from its beginning to its end, which the backend brings about."""
        client = self.new_client(first_bytes=to_backend)
        backend = self.accept()
        assert backend.recv(1 << 16) == to_backend
        backend.sendall(to_client)
        backend.close()
        assert client.recv(1 << 16) == to_client
        assert client.recv(1) == b""
        client.close()

    def access_line(self, index=0):
        """The fields of the access line that was logged as number `index`."""
        def find(lines):
            found = [line for line in lines if " access " in line]
            return dict(pair.split("=", 1) for pair in found[index].split(" ")[2:]) if index < len(found) else None

        return self.shim.wait_for(find, f"access line {index}")
