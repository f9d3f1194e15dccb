# SPDX-License-Identifier: MIT
"""A site whose backend has only addresses that are silent takes nothing from other sites."""

import json
import socket
import subprocess

from support.backends import NameServer
from support.processes import DeadlineSeconds, children_of, descriptors_of
from support.relay_ends import Tcpshim
from support.workspace import Port, own_loopback_address, wait_until

DescriptorsMax = 512
Clients = 80


def silent_address(workspace, port):
    """Its backlog is full."""
    address = own_loopback_address()
    listener = workspace.close_at_end(socket.socket())
    listener.bind((address, port))
    listener.listen(0)
    for _ in range(3):
        end = workspace.close_at_end(socket.socket())
        end.setblocking(False)
        end.connect_ex((address, port))
    return address


def is_being_tried(address):
    listing = subprocess.run(["ss", "-Htn", "state", "syn-sent", "dst", address], capture_output=True, text=True, check=True)
    return len(listing.stdout.splitlines()) > 3


def test_clients_of_a_black_hole_leave_descriptors_for_others(workspace):
    names = NameServer(workspace)
    silent = [silent_address(workspace, 9001) for _ in range(8)]
    names.start({"hole.lan": silent})
    good = workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=64))
    front = workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=64))
    good.settimeout(DeadlineSeconds)
    sites = [workspace.site("hole"), workspace.site("good")]
    file = workspace.path / "tcpshim.json"
    file.write_text(json.dumps({
        "sites": {str(sites[0]): {"ports": [Port], "to": "hole.lan:9001", "connect_timeout": "1m", "backend_wait": "1m"},
                  str(sites[1]): {"ports": [Port], "to": "%s:%d" % good.getsockname()}},
        "control": "none", "resolvers": [names.address]}))
    shim = Tcpshim("--config", file, prefix=["prlimit", f"--nofile={DescriptorsMax}:{DescriptorsMax}"])
    workspace.children.append(shim)
    shim.wait_for_line(" notice ready: ")

    def hand_over(site):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(DeadlineSeconds)
            sender.connect(str(site / f"{Port}.sock"))
            client = workspace.close_at_end(socket.create_connection(front.getsockname(), DeadlineSeconds))
            served, _ = front.accept()
            with served:
                client.sendall(b"POST / HTTP/1.0\r\n\r\n")
                socket.send_fds(sender, [b"payload"], [served.fileno()])
        return client

    for _ in range(Clients):
        hand_over(sites[0])
    tried = set()

    def have_some_been_tried():
        tried.update(address for address in silent if is_being_tried(address))
        return len(tried) >= 4

    wait_until(have_some_been_tried, "attempts at some addresses")
    [worker] = children_of(shim.pid)
    assert len(descriptors_of(worker)) < 3 * Clients
    for _ in range(10):
        client = hand_over(sites[1])
        backend, _ = good.accept()
        with backend:
            backend.recv(100)
            backend.sendall(b"here")
        assert client.recv(100) == b"here"
