# SPDX-License-Identifier: MIT
"""nginx that receives handoffs by itself: datagrams that are none, options, and what the patches and the module share."""

import array
import os
import re
import socket
import struct
import subprocess

import pytest

from nginx_native_support import EveryFlavour, Get, curl, start
from support.native_nginx import HttpPort, Script
from support.processes import DeadlineSeconds, children_of, descriptors_of
from support.workspace import wait_until


class Sender:
    """Sends datagrams to a site socket, as anybody might who may write to it."""

    def __init__(self, workspace, nginx):
        self.socket = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.settimeout(DeadlineSeconds)
        self.socket.connect(str(nginx.socket_path(HttpPort)))
        self.given = set()  # as /proc/PID/fd has it

    def send(self, payload, *given):
        self.given |= {os.readlink(f"/proc/self/fd/{one.fileno()}") for one in given}
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [one.fileno() for one in given]))]
        self.socket.sendmsg([payload], rights if given else [])


def connected_pair(workspace):
    """Both ends of a TCP connection: the client's, and the accepted one."""
    with socket.create_server((workspace.address, 0)) as listener:
        client = workspace.close_at_end(socket.create_connection(listener.getsockname(), DeadlineSeconds))
        return client, workspace.close_at_end(listener.accept()[0])


def header(addresses, tlvs=b"", *, command=0x21, family=0x11, size=None):
    content = addresses + tlvs
    size = len(content) if size is None else size
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, size) + content


Ends = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!HH", 1024, 443)
Good = header(Ends, b"\x02\0\x04name\x05\0\x02id")
# A connection comes with each; all are accepted, and what is said of them is taken only from a whole header.
Payloads = {
    "a good one": (Good, "name|id|192.0.2.1|1024"), "empty": (b"", "|||"), "one byte": (b"x", "|||"),
    "text": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n", "|||"), "64 KiB": (b"x" * 65536, "|||"),
    "64 KiB after a header": (header(Ends, size=65535) + b"x" * 65500, "|||"),
    "the signature only": (Good[:12], "|||"), "without a length": (Good[:14], "|||"),
    "without addresses": (header(b""), "|||"), "half the addresses": (header(Ends[:11]), "|||"),
    "cut": (Good[:-1], "|||"), "IPv4 addresses for IPv6": (header(Ends, family=0x21), "|||"),
    "UDP": (header(Ends, family=0x12), "|||"), "LOCAL": (header(b"", command=0x20), "|||"),
    "version 3": (header(Ends, command=0x31), "|||"),
    "a TLV that is longer than the header": (header(Ends, b"\x02\xff\xffname"), "||192.0.2.1|1024"),
    "a TLV without a length": (header(Ends, b"\x02\0"), "||192.0.2.1|1024"),
    "empty TLVs": (header(Ends, b"\x02\0\0\x05\0\0\x01\0\0"), "||192.0.2.1|1024"),
    "TLVs that nobody knows": (header(Ends, b"\xe1\0\x01x\x02\0\x01n"), "n||192.0.2.1|1024"),
}


def assert_says(client, expected):
    client.sendall(b"GET /handoff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    with client.makefile("rb") as answer:
        body = answer.read().partition(b"\r\n\r\n")[2].decode()
    assert "|".join(body.split("|")[:4]) == expected


@EveryFlavour
def test_malformed_datagrams_harm_nobody(workspace, start, curl, flavour):
    nginx = start(flavour)
    workers = wait_until(lambda: len(found := children_of(nginx.master_pid())) == 2 and found, "its workers")
    sender = Sender(workspace, nginx)
    for payload, expected in Payloads.values():
        client, accepted = connected_pair(workspace)
        sender.send(payload, accepted)
        accepted.close()
        assert_says(client, expected)
    for payload in (b"", b"x", Good, b"x" * 65536):
        sender.send(payload)
    # Several descriptors: the first is the connection.
    client, accepted = connected_pair(workspace)
    with open(nginx.configuration) as file:
        sender.send(Good, accepted, *[file] * 252)
    accepted.close()
    assert_says(client, "name|id|192.0.2.1|1024")
    # What is no connection, or none any more.
    gone, accepted = connected_pair(workspace)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    with open(nginx.configuration) as file, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, \
            socket.create_server((workspace.address, 0)) as listener, socket.socket() as unconnected, \
            socket.socketpair()[0] as local:
        udp.connect((workspace.address, 9))
        for given in (file, udp, listener, unconnected, local, sender.socket, accepted):
            sender.send(Good, given)
    accepted.close()
    assert curl.request(nginx).status == 200
    for count, message in ((4, "handoff without a descriptor, ignored"),
                           (1, "handoff with 252 surplus descriptors, closed"),
                           (5, "handoff of what is not a TCP connection, closed"),
                           (2, "handoff of a client that has gone, closed"),
                           (14, "handoff without a PROXY protocol header, accepted")):
        wait_until(lambda: len([line for line in nginx.lines if "[info]" in line and message in line]) == count,
                   f"{count} lines: {message}")
    wait_until(lambda: not sender.given & {kind for pid in workers for kind in descriptors_of(pid)}, "the end of all")
    assert children_of(nginx.master_pid()) == workers


@EveryFlavour
def test_an_ipv4_client_of_an_ipv6_socket(workspace, start, flavour):
    """As it is for a listener of nginx's own with ipv6only=off."""
    nginx = start(flavour)
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        client = workspace.close_at_end(socket.create_connection((workspace.address, port), DeadlineSeconds))
        accepted = workspace.close_at_end(listener.accept()[0])
    Sender(workspace, nginx).send(Good, accepted)
    accepted.close()
    client.sendall(Get)
    with client.makefile("r") as answer:
        body = answer.read().partition("\n\n")[2]
    assert body.startswith(f"nginx client ::ffff:{client.getsockname()[0]} {client.getsockname()[1]} "
                           f"local ::ffff:{workspace.address} {port} ")


def tcp_sockets():
    """As ss(8) has them: the peer's address, and the timer."""
    rows = subprocess.run(["ss", "-Htno"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [row.split() for row in rows]
    return [{"peer": (row[4].rpartition(":")[0], int(row[4].rpartition(":")[2])),
             "timer": row[5].removeprefix("timer:(") if len(row) > 5 else ""} for row in found if len(row) > 4]


@EveryFlavour
def test_options_of_the_listener_reach_the_connections(workspace, start, flavour):
    nginx = start(flavour, options="so_keepalive=11s:12s:3 rcvbuf=40k")
    client = workspace.connect(Get.replace(b"Connection: close\r\n", b""), port=HttpPort)
    assert client.read(12) == b"HTTP/1.1 200"
    workers = children_of(nginx.master_pid())
    kept = [line for line in tcp_sockets() if line["peer"] == client.address]
    assert workers and len(kept) == 1 and kept[0]["timer"].startswith("keepalive"), kept


def test_the_patches_have_the_files_of_the_module():
    folder = Script.parent
    series = sorted(folder.glob("*/series"))
    assert series
    for patch in (path.parent / path.read_text().splitlines()[0] for path in series):
        for name in ("ngx_event_handoff.c", "ngx_event_handoff.h", "ngx_handoff_payload.c", "ngx_handoff_socket.c"):
            added = re.search(rf"^\+\+\+ b/src/event/{name}\n@@ .*\n((?:\+.*\n)+)", patch.read_text(), re.MULTILINE)[1]
            assert re.sub(r"^\+", "", added, flags=re.MULTILINE) == (folder / "module" / name).read_text()
