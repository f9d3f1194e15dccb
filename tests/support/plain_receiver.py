# SPDX-License-Identifier: MIT
"""A receiver as docs/HANDOFF.md has it, as a program of its own: plain_receiver.py SOCKET|fd:NUMBER NAME

It binds the socket, or takes the one that its keeper has given it, and answers one client after another with
its name. Says "ready", and "took ADDRESS:PORT" for each handoff before it answers.
"""

import contextlib
import os
import socket
import sys


def inbox_at(place):
    if place.startswith("fd:"):
        return socket.socket(fileno=int(place.removeprefix("fd:")))
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind(place + ".new")
    os.chmod(place + ".new", 0o660)
    os.rename(place + ".new", place)
    return inbox


def serve(client, name):
    client.recv(65536)
    client.sendall(f"HTTP/1.1 200 {name}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    client.shutdown(socket.SHUT_WR)


def main(place, name):
    inbox = inbox_at(place)
    print("ready", flush=True)
    while True:
        _, fds, _, _ = socket.recv_fds(inbox, 4096, 1)
        if not fds:
            continue
        with contextlib.suppress(OSError), socket.socket(fileno=fds[0]) as client:
            print("took %s:%d" % client.getpeername()[:2], flush=True)
            serve(client, name)


main(*sys.argv[1:])
