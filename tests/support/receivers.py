# SPDX-License-Identifier: MIT
"""The receiving side of docs/HANDOFF.md: an inbox of which a test takes one handoff after another."""

import array
import dataclasses
import fcntl
import os
import select
import socket
import struct

from support.processes import DeadlineSeconds

TlvAlpn = 0x01
TlvAuthority = 0x02
TlvUniqueId = 0x05

# The kernel takes one more than the limit says.
QueueLength = int(open("/proc/sys/net/unix/max_dgram_qlen").read()) + 1


@dataclasses.dataclass
class PayloadHeader:
    """A PROXY protocol version 2 header, by its specification, section 2.2."""

    source: tuple
    destination: tuple
    tlvs: dict

    @staticmethod
    def parse(payload):
        assert payload[:12] == b"\r\n\r\n\0\r\nQUIT\n"
        command, family, size = struct.unpack_from("!BBH", payload, 12)
        assert command == 0x21, "version 2, command PROXY"
        assert size == len(payload) - 16
        kind, address_size = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}[family]
        rest = payload[16:]
        source = socket.inet_ntop(kind, rest[:address_size])
        destination = socket.inet_ntop(kind, rest[address_size:2 * address_size])
        source_port, destination_port = struct.unpack_from("!HH", rest, 2 * address_size)
        rest = rest[2 * address_size + 4:]
        tlvs = {}
        while rest:
            key, value_size = struct.unpack_from("!BH", rest)
            assert key not in tlvs and len(rest) >= 3 + value_size
            tlvs[key] = rest[3:3 + value_size]
            rest = rest[3 + value_size:]
        return PayloadHeader((source, source_port), (destination, destination_port), tlvs)


class Handoff:
    def __init__(self, payload, descriptor):
        self.payload = payload
        self.header = PayloadHeader.parse(payload)
        self.is_blocking = not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK
        self.connection = socket.socket(fileno=descriptor)
        self.receive_low_water = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)

    @property
    def name(self):
        return self.header.tlvs.get(TlvAuthority)

    @property
    def client(self):
        return self.connection.getpeername()[:2]

    def read(self, size):
        self.connection.settimeout(DeadlineSeconds)
        data = b""
        while len(data) < size and (part := self.connection.recv(size - len(data))):
            data += part
        return data

    def answer(self, data):
        """Reads first what has come: closing a socket with unread input resets the connection."""
        if select.select([self.connection], [], [], 0)[0]:
            self.connection.recv(65536)
        self.connection.sendall(data)
        self.close()

    def close(self):
        self.connection.close()


class SiteInbox:
    def __init__(self, directory, file_name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        os.fchmod(self.socket.fileno(), 0o660)
        self.path = os.path.join(os.fsdecode(directory), file_name)
        # Through a descriptor, since the names of some sites are longer than sun_path.
        directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        self.socket.bind(f"/proc/self/fd/{directory_fd}/{file_name}.new")
        os.rename(f"{file_name}.new", file_name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        os.close(directory_fd)
        self._handoffs = []

    def receive(self):
        handoff = self._receive(DeadlineSeconds)
        assert handoff is not None, f"no handoff at {self.path} in {DeadlineSeconds} s"
        return handoff

    def receive_if_any(self):
        return self._receive(0)

    def is_empty(self):
        return not select.select([self.socket], [], [], 0)[0]

    def _receive(self, seconds):
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        payload, control, flags, _ = self.socket.recvmsg(4096, 1024)
        assert not flags & ~socket.MSG_CMSG_CLOEXEC
        assert len(control) == 1, "one control message"
        level, kind, data = control[0]
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        descriptors = array.array("i", data)
        assert len(descriptors) == 1, "one descriptor"
        self._handoffs.append(Handoff(payload, descriptors[0]))
        return self._handoffs[-1]

    def close(self):
        for handoff in self._handoffs:
            handoff.close()
        self.socket.close()
