# SPDX-License-Identifier: MIT
"""What becomes of the clients of proxyd's routes to TCP servers when these are down, gone, in a black hole, elsewhere
than before, or killed; and the client's own address as the source of tcpshim's connections."""

import http.client
import os
import pathlib
import re
import socket
import subprocess

import pytest

from support import client_hello
from support.backends import Namespace, NameServer, Server
from support.load import Load
from support.processes import DeadlineSeconds
from support.tcp_backends import TcpRoutes
from support.tcp_servers import TcpNginx
from support.workspace import Port, free_port, own_loopback_address, wait_until

PlainPort = 8080
PortOfTold, PlainPortOfTold = 8444, 8081
Name = "nginx.example.org"
Request = f"GET / HTTP/1.1\r\nHost: {Name}\r\nConnection: close\r\n\r\n".encode()
InternalErrorAlert = bytes([21, 3, 3, 0, 2, 2, 80])
# Sent to the networks of `hole`, a packet arrives at its other end, which has no such address.
BlackHole = ("ip link add hole type veth peer name end", "ip link set hole arp off", "ip link set end up",
             "ip address add 192.0.2.254/24 dev hole", "ip link set hole up")
RelayDocument = pathlib.Path(__file__).parents[2] / "docs/TCPSHIM.md"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="networks and mounts of its own need root")


class ClosingServer(Server):
    """Takes everybody, and closes at once."""

    def _serve(self):
        try:
            while True:
                self._socket.accept()[0].close()
        except OSError:  # closed
            pass


def body(client):
    """What comes until the server ends it, and then the client does, so that it is logged."""
    answer = client.read_to_end()
    client.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    return answer.partition(b"\r\n\r\n")[2]


def get(workspace):
    return body(workspace.connect(Request))


def bad_backend(workspace, kind):
    address = own_loopback_address()
    if kind == "closed_early":
        workspace.close_at_end(ClosingServer(address, PlainPort))
    return f"{address}:{PlainPort}"


@pytest.mark.parametrize("cause", ["refused", "closed_early"])
def test_a_client_gets_through_to_another_server(workspace, cause):
    good = TcpNginx(workspace, "good", Port, PlainPort)
    bad = bad_backend(workspace, cause)
    routes = TcpRoutes(workspace, {Name: {"tcp": [bad, {"address": good.where(PlainPort), "backup": True}],
                                          "failures_max": 1, "failure_pause": "1m"}})
    assert get(workspace) == b"good\n"
    line = routes.line()
    assert (line["backend"], line["attempts"], line["cause"]) == (good.where(PlainPort), "2", "-")
    assert line["failed"] == f"{bad}/{cause}"
    if cause == "refused":
        routes.proxyd.wait_for_line(f" warning .*backend {bad} has failed.* last: {cause}; ")
    assert get(workspace) == b"good\n"
    # It is left out for refusing, but not for closing: that may be the client's own fault.
    assert routes.line(1)["attempts"] == {"refused": "1", "closed_early": "2"}[cause]


def test_clients_to_whom_nobody_answers_have_no_server_left_out(workspace):
    servers = [TcpNginx(workspace, name, Port, PlainPort, more="location /close { return 444; }") for name in ("one", "two")]
    routes = TcpRoutes(workspace, {Name: {"tcp": [server.where(PlainPort) for server in servers],
                                          "failures_max": 1, "failure_pause": "1m"}})
    for number in range(3):
        client = workspace.connect(f"GET /close HTTP/1.1\r\nHost: {Name}\r\n\r\n".encode())
        assert client.read_to_end().startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        client.close()
        assert (routes.line(number)["attempts"], routes.line(number)["cause"]) == ("2", "closed_early")
    assert {get(workspace), get(workspace)} == {b"one\n", b"two\n"}


@pytest.mark.parametrize("cause", ["refused", "closed_early"])
def test_a_client_is_told_when_nobody_serves_it(workspace, cause):
    routes = TcpRoutes(workspace, {Name: {"tcp": bad_backend(workspace, cause)}})
    plain, encrypted = workspace.connect(Request), workspace.connect(client_hello.captured(Name))
    answer = plain.read_to_end()
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n") and answer.endswith(f"({cause})\n".encode()), answer
    assert encrypted.read_to_end() == InternalErrorAlert
    plain.close()
    encrypted.close()
    assert {(line["ending"], line["cause"]) for line in (routes.line(), routes.line(1))} == {("no_backend", cause)}


def test_a_slow_server_is_waited_for(workspace):
    """It has accepted; only what comes before that has a limit."""
    slow = workspace.close_at_end(socket.create_server((own_loopback_address(), 0)))
    slow.settimeout(DeadlineSeconds)
    other = TcpNginx(workspace, "other", Port, PlainPort)
    routes = TcpRoutes(workspace, {Name: {
        "tcp": ["%s:%d" % slow.getsockname(), {"address": other.where(PlainPort), "backup": True}],
        "connect_timeout": "1ms", "backend_wait": "50ms", "failures_max": 1}})
    client = workspace.connect(Request)
    accepted, _ = slow.accept()
    with accepted:
        assert accepted.recv(1000) == Request
        # As long as all that takes for another client, who comes later.
        later = workspace.connect(Request)
        slow.accept()[0].close()
        assert body(later) == b"other\n"
        accepted.sendall(b"HTTP/1.1 200 OK\r\n\r\nlate")
    assert body(client) == b"late"
    assert routes.line(client=client.address_text)["attempts"] == "1"


@needs_root
def test_servers_in_a_black_hole(workspace):
    network = Namespace(workspace, *BlackHole)
    good = TcpNginx(workspace, "good", Port, PlainPort, prefix=network.prefix)
    limits = {"connect_timeout": "100ms", "failures_max": 1, "failure_pause": "1m"}
    routes = TcpRoutes(workspace, {
        Name: {"tcp": [f"192.0.2.1:{PlainPort}", {"address": good.where(PlainPort), "backup": True}], **limits},
        "hole.example.org": {"tcp": f"192.0.2.2:{PlainPort}", **limits}}, prefix=network.prefix)
    assert body(network.call(lambda: workspace.connect(Request))) == b"good\n"
    assert (routes.line()["backend"], routes.line()["attempts"]) == (good.where(PlainPort), "2")
    routes.proxyd.wait_for_line(rf" warning .*backend 192.0.2.1:{PlainPort} has failed.* last: timed_out; ")
    lost = network.call(lambda: workspace.connect(b"GET / HTTP/1.1\r\nHost: hole.example.org\r\n\r\n"))
    assert lost.read_to_end().startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    lost.close()
    assert routes.line(1)["cause"] == "timed_out"


def test_one_of_three_servers_is_killed_under_load(workspace):
    servers = [TcpNginx(workspace, f"server{number}", Port, PlainPort) for number in range(3)]
    # Files: a pipe to a test that is slow loses lines.
    logs = [str(workspace.path / f"{name}.log") for name in ("proxyd", "tcpshim")]
    routes = TcpRoutes(workspace, {Name: {"tcp": [server.where(PlainPort) for server in servers],
                                          "failure_pause": "10ms", "failure_pause_max": "50ms"}},
                       access_log=logs[0], tcpshim={"access_log": logs[1]})
    load = Load(workspace, Request, count=6000, progress=1000, at_once=50, seconds=4 * DeadlineSeconds, sources=100)
    load.wait_until_done(1000)
    servers[0].kill()
    load.wait_until_done(3000)
    again = TcpNginx(workspace, "server0", Port, PlainPort, address=servers[0].address)
    load.wait_until_done(4000)
    servers[1].kill()
    result = load.result()
    assert result["ok"] == result["clients"] == 6000, result
    assert again.access_log.stat().st_size > 0
    wait_until(lambda: len(routes.lines()) == 6000, "all lines")
    assert {line["cause"] for line in routes.lines()} == {"-"}
    assert {line["attempts"] for line in routes.lines()} >= {"1", "2"}


@needs_root
def test_names_are_resolved_as_the_machine_resolves_them(workspace):
    """/etc/resolv.conf and /etc/hosts are those of a mount namespace; the worker in its sandbox opens neither."""
    names = NameServer(workspace, port=53)
    first, second, third = (TcpNginx(workspace, name, Port, PlainPort) for name in ("first", "second", "third"))
    sixth = TcpNginx(workspace, "sixth", free_port(), free_port(), address="[::1]")
    services = [("_http._tcp.site.lan", "nas.lan", PlainPort, 10, 1)]
    names.start({"nas.lan": [first.address], "six.lan": ["::1"]}, services)
    (workspace.path / "resolv.conf").write_text(f"nameserver {workspace.address}\n")
    (workspace.path / "hosts").write_text(f"{third.address} third.lan\n")
    mounts = "".join(f"mount --bind {workspace.path}/{file} /etc/{file} && " for file in ("resolv.conf", "hosts"))
    prefix = ["unshare", "--mount", "sh", "-c", mounts + 'exec "$@"', "sh"]
    hosts = {"a": f"nas.lan:{PlainPort}", "aaaa": f"six.lan:{sixth.plain_port}", "srv": "srv:_http._tcp.site.lan",
             "hosts": f"third.lan:{PlainPort}", "nobody": f"nobody.lan:{PlainPort}"}
    routes = TcpRoutes(workspace, {f"{key}.example.org": f"tcp://{backend}" for key, backend in hosts.items()},
                       prefix=prefix)

    def connect(key):
        return workspace.connect(f"GET / HTTP/1.1\r\nHost: {key}.example.org\r\n\r\n".encode())

    def answer(client):
        response = http.client.HTTPResponse(client.socket)
        response.begin()
        return response.status, response.read()

    kept = connect("a")
    assert answer(kept) == (200, b"first\n")
    assert answer(connect("aaaa")) == (200, b"sixth\n")
    assert answer(connect("srv")) == (200, b"first\n")
    assert answer(connect("hosts")) == (200, b"third\n")
    assert answer(connect("nobody"))[0] == 502
    assert routes.line(ending="no_backend")["cause"] == "not_resolved"

    names.restart({"nas.lan": [second.address]}, services)
    for key in ("a", "srv"):
        wait_until(lambda: answer(connect(key)) == (200, b"second\n"), "the new address")
    kept.send(b"GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n")
    assert answer(kept) == (200, b"first\n")


def documented_commands():
    """How a machine is set up for transparent connections."""
    text = RelayDocument.read_text().partition("take those answers for its own:")[2]
    return re.findall(r"^ {6}(\S.*)$", text.partition("\nOnly backends")[0], re.MULTILINE)


@needs_root
def test_a_server_sees_its_client_as_if_there_were_nothing_between(workspace):
    """Client, proxyd and server each have a network of their own; the server's way out is proxyd's machine."""
    far = [Namespace(workspace), Namespace(workspace)]
    links = [f"ip link add {name} type veth peer name out netns {end._keeper.pid}"
             for name, end in zip(("clients", "servers"), far)]
    edge = Namespace(workspace, *links, "ip address add 192.0.2.1/24 dev clients", "ip link set clients up",
                     "ip address add 198.51.100.1/24 dev servers", "ip link set servers up",
                     "ip -6 address add 2001:db8:1::1/64 dev clients nodad",
                     "ip -6 address add 2001:db8:2::1/64 dev servers nodad", *documented_commands())
    ends = ((far[0], "192.0.2.7", "192.0.2.1", "2001:db8:1::7", "2001:db8:1::1"),
            (far[1], "198.51.100.80", "198.51.100.1", "2001:db8:2::80", "2001:db8:2::1"))
    for network, ipv4, gateway4, ipv6, gateway6 in ends:
        subprocess.run([*network.prefix, "sh", "-ec", f"ip address add {ipv4}/24 dev out; "
                        f"ip -6 address add {ipv6}/64 dev out nodad; ip link set out up; "
                        f"ip route add default via {gateway4}; ip -6 route add default via {gateway6}"], check=True)
    server4 = TcpNginx(workspace, "ipv4", Port, PlainPort, address="198.51.100.80", prefix=far[1].prefix)
    server6 = TcpNginx(workspace, "ipv6", Port, PlainPort, address="[2001:db8:2::80]", prefix=far[1].prefix)
    told = TcpNginx(workspace, "told4", PortOfTold, PlainPortOfTold, address="198.51.100.80",
                    listen_options="proxy_protocol", prefix=far[1].prefix)
    routes = TcpRoutes(workspace, {"4.example.org": {"tcp": server4.where(PlainPort), "transparent": True},
                                   "told.example.org": {"tcp": told.where(PlainPortOfTold), "transparent": True,
                                                        "proxy_protocol": 2},
                                   "6.example.org": {"tcp": server6.where(PlainPort), "transparent": True}},
                       listen=[f"192.0.2.1:{Port}", f"[2001:db8:1::1]:{Port}"], prefix=edge.prefix, user="nobody")
    for server, source, address in ((server4, "192.0.2.7", "192.0.2.1"), (server6, "2001:db8:1::7", "2001:db8:1::1")):
        hello = f"GET / HTTP/1.0\r\nHost: {server.name[-1]}.example.org\r\n\r\n".encode()
        client = far[0].call(lambda: workspace.connect(hello, address=address, source=source))
        assert body(client) == f"{server.name}\n".encode()
        server.seen(rf"{re.escape(source)}:{client.address[1]} by=.* GET / HTTP/1.0 200")
        assert routes.line(client=client.address_text)["backend"] == server.where(PlainPort)
    # Both together: where the connection comes from is what the header says.
    client = far[0].call(lambda: workspace.connect(b"GET / HTTP/1.0\r\nHost: told.example.org\r\n\r\n",
                                                   address="192.0.2.1", source="192.0.2.7"))
    assert body(client) == b"told4\n"
    whence = re.escape(client.address_text)
    told.seen(rf"{whence} by={whence} .* GET / HTTP/1.0 200")
