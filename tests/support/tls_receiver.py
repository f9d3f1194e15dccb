# SPDX-License-Identifier: MIT
"""A receiver that talks TLS, as a program of its own: tls_receiver.py SOCKET CERTIFICATE KEY

Answers each request with what it knows of its client: "client ADDRESS:PORT name NAME reused YES-OR-NO".
"""

import os
import socket
import ssl
import sys


def serve(client, context):
    names = []
    context.sni_callback = lambda connection, name, _: names.append(name)
    host, port = client.getpeername()
    with context.wrap_socket(client, server_side=True) as tls:
        tls.recv(65536)
        text = f"client {host}:{port} name {names[-1]} reused {'yes' if tls.session_reused else 'no'}\n"
        tls.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        say_good_bye(tls)


def say_good_bye(tls):
    """Ends our half, and waits for TCP's end of the other only: many clients say no good-bye in TLS."""
    tls.setblocking(False)
    try:
        tls.unwrap()
    except OSError:
        pass  # sent, but not answered yet
    tls.setblocking(True)
    tls.shutdown(socket.SHUT_WR)
    while socket.socket.recv(tls, 65536):
        pass


def main(path, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind(path + ".new")
    os.rename(path + ".new", path)
    print("ready", flush=True)
    while True:
        _, fds, _, _ = socket.recv_fds(inbox, 4096, 1)
        if not fds:
            continue
        try:
            serve(socket.socket(fileno=fds[0]), context)
        except OSError as error:
            print("error", error, flush=True)


main(*sys.argv[1:])
