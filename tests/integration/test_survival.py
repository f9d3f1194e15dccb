# SPDX-License-Identifier: MIT
"""proxyd ends in the middle of transfers, and not one byte of them is lost, for it has nothing to do with them."""

import hashlib
import http.client
import os
import signal
import socket
import ssl

import pytest

from support.http_clients import Curl, Download, Upload
from support.processes import DeadlineSeconds
from support.servers import Nginx, Node, Python, PythonModule, certificate_of_servers, files_directory, start_proxyd
from support.workspace import Port

TransferBytes = 32 << 20
AtOnce = 3
Noise = os.urandom(TransferBytes)


def end(proxyd, number):
    proxyd.signal(number)
    assert proxyd.wait_for_exit() == (0 if number == signal.SIGTERM else -number)


def content(number):
    """Different for each transfer, so that none gets another's."""
    return Noise[number:] + Noise[:number]


def make_file(workspace, name, content):
    """Returns its digest."""
    (files_directory(workspace) / name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def start_downloads(workspace, curl, server):
    """By digest of what must come."""
    return {make_file(workspace, f"file-{number}", content(number)): Download(curl, server, f"/files/file-{number}")
            for number in range(AtOnce)}


def start_uploads(curl, server):
    """By the name under which they are kept."""
    return {f"upload-{number}": Upload(curl, server, f"/uploads/upload-{number}", content(AtOnce + number))
            for number in range(AtOnce)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
@pytest.mark.parametrize("server_type", [Nginx, Node, Python, PythonModule], ids=lambda server: server.kind)
def test_transfers_go_on_when_proxyd_is(workspace, server_type, number):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    curl = Curl(workspace)
    downloads = start_downloads(workspace, curl, server)
    uploads = start_uploads(curl, server) if server_type is not PythonModule else {}
    transfers = [*downloads.values(), *uploads.values()]
    for transfer in transfers:
        transfer.wait_until_flowing()
    proxyd.access_line(len(transfers) - 1)

    end(proxyd, number)
    successor = start_proxyd(workspace)
    assert curl.run(server, curl.url(server)).returncode == 0
    assert successor.access_line()["verdict"] == "handed_over"

    for transfer in transfers:
        transfer.go_on()
    for expected, download in downloads.items():
        assert download.digest() == expected
    for name, upload in uploads.items():
        assert server.uploaded_digest(name, upload.text()) == upload.content_digest()


@pytest.mark.parametrize("server_type", [Nginx, Node, Python], ids=lambda server: server.kind)
def test_idle_connections_stay_when_proxyd_is_killed(workspace, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    connections = [open_connection(workspace, server) for _ in range(10)]
    before = [ask(connection) for connection in connections]
    end(proxyd, signal.SIGKILL)
    after = [ask(connection) for connection in connections]
    assert after == [text.replace("request 1\n", "request 2\n") for text in before]


def open_connection(workspace, server):
    """One that stays open, and fails instead of being opened again."""
    stream = workspace.close_at_end(socket.create_connection((workspace.address, Port), DeadlineSeconds))
    if server.scheme == "https":
        context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
        stream = workspace.close_at_end(context.wrap_socket(stream, server_hostname=server.host))
    connection = http.client.HTTPConnection(server.host, Port)
    connection.auto_open = False
    connection.sock = stream
    return connection


def ask(connection):
    connection.request("GET", "/")
    return connection.getresponse().read().decode()
