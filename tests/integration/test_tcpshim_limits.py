# SPDX-License-Identifier: MIT
"""Clients for whom there is no room: at tcpshim as a whole, at a site, at a backend; and what gives them room."""

import signal
import socket

import pytest

from support.configured_relay import ConfiguredRelay
from support.processes import DeadlineSeconds
from support.relay_ends import RelayEnds, Transfer, read_to_end
from support.tcp_backends import TcpRoutes
from support.tcp_servers import TcpNginx
from support.workspace import Port, wait_until

PlainPort = 8080
Name, Other = "nginx.example.org", "node.example.org"


def get(name=Name, connection="close"):
    return f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: {connection}\r\n\r\n".encode()


@pytest.mark.parametrize("where, message", [
    ("site", f"site {Name}: connections_max (1) is reached: more clients wait"),
    ("all", "connections_max (1) is reached: more clients wait")])
def test_clients_beyond_connections_max_wait_for_room_or_are_rejected(workspace, where, message):
    server = TcpNginx(workspace, "first", Port, PlainPort)
    limit = {"connections_max": 1}
    route = {"tcp": server.where(PlainPort), **(limit if where == "site" else {})}
    routes = TcpRoutes(workspace, {Name: route, Other: route}, wait_for_site="300ms",
                       tcpshim=limit if where == "all" else None)
    first = workspace.connect(get(Name if where == "site" else Other, "keep-alive"))
    assert first.read(17) == b"HTTP/1.1 200 OK\r\n"
    # The kernel queues some; those whom it doesn't are proxyd's.
    queue = int(open("/proc/sys/net/unix/max_dgram_qlen").read()) + 1
    waiting = [workspace.connect(get()) for _ in range(queue)]
    wait_until(lambda: len([line for line in routes.proxyd.lines if " verdict=handed_over " in line]) == queue + 1,
               "a full queue")
    rejected = workspace.connect(get())
    assert rejected.read_to_end().startswith(b"HTTP/1.1 503 ")
    assert routes.proxyd.access_line_of(rejected)["reason"] == "site_full"
    assert [line.partition(" warning ")[2] for line in routes.proxyd.lines if "connections_max" in line] == [message]
    first.close()
    for client in waiting:
        assert client.read_to_end().endswith(b"\r\n\r\nfirst\n")
        client.close()


@pytest.mark.parametrize("where", ["all", "site", "backend"])
def test_a_reload_makes_no_room_that_there_is_not(workspace, where):
    relay = ConfiguredRelay(workspace)
    if where == "all":
        relay.configuration["connections_max"] = 1
    elif where == "site":
        relay.site_configuration["connections_max"] = 1
    else:
        relay.site_configuration["to"] = [{"address": relay.names[0], "connections_max": 1}]
        relay.site_configuration["backend_wait"] = "1h"
    relay.reload()
    first = relay.new_pair()
    talk(*first)
    wait_until(lambda: relay.objects("backends")[0]["active"] == 1, "its count")
    relay.reload()
    waiting = relay.new_client(first_bytes=b"question")
    relay.backends[0].settimeout(0.3)
    with pytest.raises(TimeoutError):
        relay.accept()
    relay.backends[0].settimeout(DeadlineSeconds)
    first[0].close()
    first[1].close()
    backend = relay.accept()
    assert backend.recv(100) == b"question"
    Transfer(backend, waiting, 1000).check()


def test_clients_beyond_connections_max_are_served_before_the_end(workspace):
    ends = RelayEnds(workspace, connections_max=1)
    pairs = [ends.new_pair()]
    waiting = ends.new_client()
    ends.shim.wait_for_line("warning site relayed: connections_max .1. is reached: more clients wait$")
    ends.shim.signal(signal.SIGTERM)
    pairs.append((waiting, ends.accept()))
    for pair in pairs:
        Transfer(*pair, 100_000).check()
        Transfer(*reversed(pair), 100_000).check()
    assert ends.shim.wait_for_exit() == 0


@pytest.fixture
def two(workspace):
    """Two backends: the first has room for one client, the second is closed until `again` makes it anew."""
    class Two(RelayEnds):
        def __init__(self, second=None, **site):
            listeners = [workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=64))
                         for _ in range(2)]
            self.where = ["%s:%d" % listener.getsockname() for listener in listeners]
            listeners[1].close()
            super().__init__(workspace, to=[{"address": self.where[0], "connections_max": 1},
                                            {"address": self.where[1], **(second or {})}], **site)
            listeners[0].settimeout(self.backends[0].gettimeout())
            self.backends = listeners

        def again(self):
            host, port = self.where[1].split(":")
            self.backends[1] = workspace.close_at_end(socket.create_server((host, int(port)), backlog=64))
            self.backends[1].settimeout(self.backends[0].gettimeout())

    return Two


def talk(client, backend):
    client.sendall(b"question")
    assert backend.recv(100) == b"question"
    backend.sendall(b"answer")
    assert client.recv(100) == b"answer"


def accept_who_says(ends, index, first_bytes):
    """Checks connect, too, and say nothing."""
    while True:
        backend = ends.accept(index)
        if backend.recv(100) == first_bytes:
            return backend


def test_a_client_that_waits_for_room_gets_a_backend_whose_pause_is_over(two):
    ends = two(failures_max=1, failure_pause="500ms", failure_pause_max="500ms")
    talk(*ends.new_pair())
    ends.new_client()  # finds that the second one refuses, if the first client hasn't
    ends.shim.wait_for_line(f"warning site relayed: backend {ends.where[1]} has failed 1 times in a row")
    ends.again()
    talk(ends.new_client(), ends.accept(1))


def test_a_client_that_waits_for_room_gets_a_backend_that_has_risen(two):
    ends = two(check={"kind": "connect", "interval": "100ms", "rise": 1})
    ends.shim.wait_for_line(f"warning site relayed: backend {ends.where[1]} is down: connection refused$")
    first = ends.new_client(first_bytes=b"first")
    talk(first, accept_who_says(ends, 0, b"first"))
    waiting = ends.new_client(first_bytes=b"second")
    ends.again()
    talk(waiting, accept_who_says(ends, 1, b"second"))


def test_a_client_that_waits_for_room_gets_the_backup_once_the_backend_is_down(two):
    ends = two(second={"backup": True}, check={"kind": "connect", "interval": "100ms", "fall": 1, "rise": 1})
    ends.shim.wait_for_line(f"notice site relayed: backend {ends.where[0]} is up: connected$")
    ends.again()
    ends.shim.wait_for_line(f"notice site relayed: backend {ends.where[1]} is up: connected$")
    first = ends.new_client(first_bytes=b"first")
    backend = accept_who_says(ends, 0, b"first")
    waiting = ends.new_client(first_bytes=b"second")
    ends.backends[0].close()
    talk(waiting, accept_who_says(ends, 1, b"second"))
    talk(first, backend)


def test_a_client_waits_for_room_at_a_backend_no_longer_than_backend_wait(two):
    ends = two(backend_wait="200ms", failure_pause="1h", failure_pause_max="1h")
    talk(*ends.new_pair())
    client = ends.new_client(first_bytes=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    address = client.getsockname()
    assert read_to_end(client).endswith(b"(full)\n")
    client.close()
    assert ends.ending_of(address) == "no_backend"
    ends.shim.wait_for_line(r" access .* ending=no_backend cause=full ")
