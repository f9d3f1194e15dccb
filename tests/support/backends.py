# SPDX-License-Identifier: MIT
"""What stands behind tcpshim in its tests: name servers whose records change, servers in black holes,
and the program that reaches for them."""

import ctypes
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading

from support.processes import DeadlineSeconds, children_of

NewNetwork = 0x40000000  # CLONE_NEWNET


class NameServer:
    """dnsmasq with records that it alone knows: {"nas.lan": ["192.0.2.1", "2001:db8::1"]}, and services
    [("_https._tcp.lan", "one.lan", 8443, priority, weight)]. All live for a second."""

    def __init__(self, workspace, port=5353, prefix=()):
        self._workspace = workspace
        self._prefix = prefix
        self.address = f"{workspace.address}:{port}"
        self._port = port
        self._child = None

    def start(self, hosts=None, services=()):
        assert self._child is None
        lines = ["no-resolv", "no-hosts", "bind-interfaces", "local-ttl=1", "local=/lan/", "log-queries", "no-ping",
                 "user=root", "log-facility=-", "keep-in-foreground", "pid-file=",
                 f"listen-address={self._workspace.address}", f"port={self._port}"]
        lines += [f"host-record={name},{address},1" for name, addresses in (hosts or {}).items() for address in addresses]
        lines += [f"srv-host={name},{host},{port},{priority},{weight}"
                  for name, host, port, priority, weight in services]
        file = self._workspace.path / f"dnsmasq-{self._port}.conf"
        file.write_text("\n".join(lines) + "\n")
        self._child = self._workspace.start(*self._prefix, "dnsmasq", f"--conf-file={file}")
        self._child.wait_for_line("started, version")

    def stop(self):
        self._child.signal(signal.SIGTERM)
        self._child.wait_for_exit()
        self._child = None

    def restart(self, hosts=None, services=()):
        self.stop()
        self.start(hosts, services)


class HalfNameServer:
    """Answers every question for an IPv4 address with `ipv4`, and never one for an IPv6 address."""

    def __init__(self, workspace, ipv4):
        self._socket = workspace.close_at_end(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.bind((workspace.address, 0))
        self.address = f"{workspace.address}:{self._socket.getsockname()[1]}"
        self._ipv4 = socket.inet_aton(ipv4)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                question, client = self._socket.recvfrom(512)
            except OSError:  # the test is over
                return
            if struct.unpack("!H", question[-4:-2])[0] == 1:
                self._socket.sendto(question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:]
                                    + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + self._ipv4, client)


class Namespace:
    """A network of its own. `prefix` runs a command in it, `call` a function, which may make sockets there."""

    def __init__(self, workspace, *commands):
        self._keeper = workspace.start("unshare", "--net", "sh", "-ec",
                                       "\n".join(["ip link set lo up", *commands, "echo ready", "exec sleep infinity"]))
        self._keeper.wait_for_line("^ready$")
        self.pid = self._keeper.pid
        self.prefix = ["nsenter", "--target", str(self.pid), "--net"]

    def call(self, function):
        """In a thread of its own, whose network alone is changed."""
        result = []

        def run():
            descriptor = os.open(f"/proc/{self._keeper.pid}/ns/net", os.O_RDONLY)
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.setns(descriptor, NewNetwork) == 0, os.strerror(ctypes.get_errno())
            os.close(descriptor)
            result.append(function())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(DeadlineSeconds)
        return result[0]


class Reach:
    """tests/programs/reach_backends: each client is known by the address that it comes from."""

    def __init__(self, workspace, *arguments, prefix=()):
        program = pathlib.Path(os.environ["PROXYD_BUILD"]) / "tests/programs/reach_backends"
        pipe = workspace.path / "reach"
        os.mkfifo(pipe)
        self.child = workspace.start(*prefix, "sh", "-c", 'exec "$@" <"$0"', pipe, program, *arguments)
        self._input = workspace.close_at_end(open(pipe, "w"))
        self._count = 0

    def say(self, line):
        self._input.write(line + "\n")
        self._input.flush()

    def answer(self, line):
        so_far = len(self.child.lines)
        self.say(line)
        start = line + ": "
        return self.child.wait_for(lambda lines: next((one.removeprefix(start) for one in lines[so_far:]
                                                       if one.startswith(start)), None), f"an answer to {line}")

    def client(self):
        """Backend, address and number of attempts of one more client, or failure, "-" and attempts."""
        self._count += 1
        backend, address, attempts = self.answer(f"192.0.2.{self._count}").split()
        return backend, address, int(attempts)

    def peers(self):
        """Where its connections go."""
        pid = children_of(self.child.pid)[0] if children_of(self.child.pid) else self.child.pid
        listing = subprocess.run(["ss", "-Htnp", "state", "established"], capture_output=True, text=True, check=True)
        return {line.split()[3] for line in listing.stdout.splitlines() if f"pid={pid}," in line}

    def states(self):
        """Of the backends, by what they are called."""
        words = self.answer("backends").split()
        return dict(word.rsplit("=", 1) for word in words)


class Server:
    """Accepts everybody, and says nothing; whoever is here stays until its end."""

    def __init__(self, address, port=0):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        self._socket.listen(64)
        self._clients = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        try:
            while True:
                self._clients.append(self._socket.accept()[0])
        except OSError:  # closed
            pass

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._thread.join(DeadlineSeconds)
        for end in [*self._clients, self._socket]:
            end.close()
