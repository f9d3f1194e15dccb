#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An answer to ACME's tls-alpn-01 challenges (RFC 8737), for any number of names: responder.py SOCKET DIRECTORY

DIRECTORY has NAME.pem for each name that is being validated: a self-signed certificate with the challenge in it,
and its key, as ACME clients make them. It is looked up by the name that the CA asks for.

It receives its clients from proxyd, as docs/HANDOFF.md describes: no port, no privilege.
"""

import os
import pathlib
import socket
import ssl
import sys


def make_context(directory):
    def choose(connection, name, _):
        """Names come with a client: only those that there is a file for, and never a path."""
        files = {path.stem: path for path in directory.glob("*.pem")}
        if name not in files:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files[name])
        context.set_alpn_protocols(["acme-tls/1"])
        connection.context = context
        print("validated", name, flush=True)
        return None

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["acme-tls/1"])
    context.sni_callback = choose
    return context


def answer(client, context):
    """The handshake is all: the CA has seen the certificate then."""
    client.settimeout(10)
    with context.wrap_socket(client, server_side=True) as tls:
        tls.unwrap()


def main(path, directory):
    context = make_context(pathlib.Path(directory))
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind(path + ".new")
    os.chmod(path + ".new", 0o660)
    os.rename(path + ".new", path)
    while True:
        _, descriptors, _, _ = socket.recv_fds(inbox, 4096, 1)
        if not descriptors:
            continue
        try:
            answer(socket.socket(fileno=descriptors[0]), context)
        except OSError as error:
            print("client left:", error, flush=True)


main(*sys.argv[1:])
