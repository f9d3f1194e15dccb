# SPDX-License-Identifier: MIT
"""A TCP client that controls each byte, and checks that a connection ends with EOF, not with a reset."""

import socket
import struct

from support.processes import DeadlineSeconds


def address_text(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_socket(source, not_ports):
    """At a port that the kernel chooses, but none of those."""
    found, refused = None, []
    while found is None or found.getsockname()[1] in not_ports:
        refused += [found] if found else []
        found = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_STREAM)
        found.bind((source, 0))
    for other in refused:
        other.close()
    return found


class Client:
    def __init__(self, address, port, source=None, not_ports=()):
        """From `source`, or from where the kernel would come from to an address of loopback."""
        self.socket = bound_socket(source or ("::1" if ":" in address else "127.0.0.1"), not_ports)
        self.socket.settimeout(DeadlineSeconds)
        self.socket.connect((address, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = self.socket.getsockname()[:2]
        self.server_address = self.socket.getpeername()[:2]
        self.address_text = address_text(self.address)

    def send(self, data):
        if data:
            self.socket.sendall(data)

    def send_urgent(self, byte):
        self.socket.send(byte, socket.MSG_OOB)

    def send_bytewise(self, data):
        """One segment for each byte: over loopback, send returns when the byte is at the other end."""
        for index in range(len(data)):
            self.socket.sendall(data[index:index + 1])

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def read(self, size):
        """Exactly so many bytes."""
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, f"end of file after {data!r}"
            data += part
        return data

    def read_to_end(self):
        """All that comes before EOF; a reset is an error."""
        data = b""
        while part := self.socket.recv(65536):
            data += part
        return data

    def read_to_end_or_reset(self):
        try:
            return self.read_to_end()
        except ConnectionResetError:
            return None

    def reset(self):
        if self.socket.fileno() < 0:
            return
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()
