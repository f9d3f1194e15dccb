# SPDX-License-Identifier: MIT
"""A tcpshim and both of its ends: clients that are handed over to it by the test itself, and a backend
whose connections the test has in hand."""

import contextlib
import getpass
import hashlib
import json
import random
import re
import select
import selectors
import socket
import struct
import threading

from support.processes import Child, DeadlineSeconds, children_of, program
from support.workspace import Port, wait_until, wait_until_equal

Payload = b"anything else than a header is ignored"


def reset(end):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def read_to_end(end):
    """All that comes before the end of file; a reset is an error."""
    parts = []
    while part := end.recv(1 << 18):
        parts.append(part)
    return b"".join(parts)


def read_to_reset(end):
    """All that comes before a reset; an end of file is an error."""
    data = b""
    try:
        while part := end.recv(1 << 18):
            data += part
    except ConnectionResetError:
        return data
    raise AssertionError(f"end of file instead of a reset, after {len(data)} bytes")


def random_bytes(size, seed):
    return random.Random(seed).randbytes(size)


class Transfer:
    """Sends so many bytes from one end to the other, in threads of its own; compares them by hash."""

    def __init__(self, sender, receiver, size, seed=0, finish=True):
        self.sent, self.received, self.count, self.troubles = hashlib.sha256(), hashlib.sha256(), 0, []
        self._threads = [threading.Thread(target=self._run, args=call)
                         for call in ((self._send, sender, size, seed, finish), (self._receive, receiver, size, finish))]
        for thread in self._threads:
            thread.start()

    def _run(self, call, *arguments):
        try:
            call(*arguments)
        except (OSError, AssertionError) as why:
            self.troubles.append(why)

    def _send(self, sender, size, seed, finish):
        block = random_bytes(min(size, 1 << 20), seed)
        while size > 0:
            part = block[:size]
            self.sent.update(part)
            sender.sendall(part)
            size -= len(part)
            block = block[7919:] + block[:7919]  # no block is like another
        if finish:
            sender.shutdown(socket.SHUT_WR)

    def _receive(self, receiver, size, finish):
        while self.count < size:
            part = receiver.recv(1 << 18)
            assert part, f"end of file after {self.count} of {size} bytes"
            self.count += len(part)
            self.received.update(part)
        if finish:
            assert receiver.recv(1) == b"", "more than was sent"

    def check(self):
        for thread in self._threads:
            thread.join(20 * DeadlineSeconds)
        assert not self.troubles, self.troubles
        assert self.sent.digest() == self.received.digest()


class Tcpshim(Child):
    def __init__(self, *options, prefix=(), **keywords):
        super().__init__([*prefix, program("tcpshim"), *options], **keywords)


class RelayEnds:
    def __init__(self, workspace, backends=1, prefix=(), **site):
        """`site`: keys of its configuration."""
        self.workspace = workspace
        self.site = workspace.site("relayed")
        self.backends = [workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=4096))
                         for _ in range(backends)]
        self._front = workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=4096))
        for listener in (*self.backends, self._front):
            listener.settimeout(DeadlineSeconds)
        configuration = {
            "control": "none", "user": getpass.getuser(),
            "sites": {str(self.site): {"ports": [Port], "to": ["%s:%d" % at.getsockname() for at in self.backends],
                                       **site}}}
        path = workspace.path / "tcpshim.json"
        path.write_text(json.dumps(configuration))
        self.shim = Tcpshim("--config", path, prefix=prefix)
        workspace.children.append(self.shim)
        self.shim.wait_for_line(" notice ready")
        self._sender = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._sender.settimeout(DeadlineSeconds)
        self._sender.connect(str(self.site / f"{Port}.sock"))

    def serving_pid(self):
        """Of the worker."""
        return children_of(self.shim.pid)[0]

    def ending_of(self, address):
        """How the access log says that the client's connection ended."""
        pattern = rf"access .* client={re.escape('%s:%d' % address)} .* ending=(\w+) "
        return self.shim.wait_for_line(pattern).group(1)

    def new_client(self, payload=Payload, receive_buffer=None, first_bytes=b"", urgent=False):
        """A client that tcpshim has been given, after its first bytes have come. `urgent`: they are one such byte."""
        client = self.workspace.close_at_end(socket.socket())
        client.settimeout(DeadlineSeconds)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(self._front.getsockname())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        served, _ = self._front.accept()
        client.send(first_bytes, socket.MSG_OOB) if urgent else client.sendall(first_bytes)
        with served:
            if urgent:
                wait_until(lambda: select.select([], [], [served], 0)[2], "the urgent byte")
            elif first_bytes:
                wait_until(lambda: len(served.recv(65536, socket.MSG_PEEK)) == len(first_bytes), "the first bytes")
            socket.send_fds(self._sender, [payload], [served.fileno()])
        return client

    def accept(self, backend=0):
        end, _ = self.backends[backend].accept()
        end.settimeout(DeadlineSeconds)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.workspace.close_at_end(end)

    def new_pair(self, **options):
        """A client, and its connection at the backend."""
        return self.new_client(**options), self.accept()

    def warm_up(self):
        """One relay, so that what is opened for the first client is open."""
        client, backend = self.new_pair()
        Transfer(client, backend, 100_000).check()
        Transfer(backend, client, 100_000).check()
        address = client.getsockname()
        client.close()
        backend.close()
        self.ending_of(address)


@contextlib.contextmanager
def nothing_left(ends, descriptors):
    """Afterwards tcpshim has the same descriptors open as before, `descriptors()` says."""
    ends.warm_up()
    before = descriptors()
    yield
    wait_until_equal(descriptors, before)


class Echoes:
    """Serves all connections of a listener at once: what comes goes back, and the end after it."""

    def __init__(self, listener):
        self._listener = listener
        self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        selector = selectors.DefaultSelector()
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ)
        selector.register(self._stop[0], selectors.EVENT_READ)
        pending = {}
        while True:
            for key, _ in selector.select():
                end = key.fileobj
                if end is self._stop[0]:
                    return
                if end is self._listener:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            accepted, _ = self._listener.accept()
                            accepted.setblocking(False)
                            pending[accepted] = bytearray()
                            selector.register(accepted, selectors.EVENT_READ)
                    continue
                self._advance(selector, end, pending)

    @staticmethod
    def _advance(selector, end, pending):
        held = pending[end]
        has_ended = False
        with contextlib.suppress(BlockingIOError):
            if len(held) < 1 << 20:
                part = end.recv(1 << 18)
                has_ended = not part
                held += part
        with contextlib.suppress(BlockingIOError):
            while held:
                del held[:end.send(held)]
        if has_ended and not held:
            selector.unregister(end)
            end.close()
            del pending[end]
        else:
            selector.modify(end, (0 if has_ended else selectors.EVENT_READ) | (selectors.EVENT_WRITE if held else 0))

    def close(self):
        self._stop[1].close()
        self._thread.join()
        self._stop[0].close()
