# SPDX-License-Identifier: MIT
"""How tcpshim gets its clients to a backend: names whose records change, name servers that don't answer,
addresses in black holes, checks by real servers."""

import subprocess
import sys
import threading

import pytest

from support.backends import HalfNameServer, Namespace, NameServer, Reach, Server
from support.certificates import make_certificate
from support.relay_ends import RelayEnds, read_to_end
from support.workspace import free_port, own_loopback_address, wait_until


@pytest.fixture
def names(workspace):
    return NameServer(workspace)


@pytest.fixture
def server(workspace):
    """A backend at another address each time, at the same port; returns its address."""
    def start(port=8443):
        address = own_loopback_address()
        workspace.close_at_end(Server(address, port))
        return address

    return start


def until(reach, expected):
    """One client after another, until one gets that."""
    def gets_it():
        got = reach.client()
        reach.say("close")
        return got == expected

    wait_until(gets_it, f"a client that gets {expected}")


def test_a_changed_address_gets_new_clients_and_the_old_one_keeps_its_own(workspace, names, server):
    old, new = server(), server()
    names.start({"nas.lan": [old]})
    reach = Reach(workspace, "--resolver", names.address, "nas.lan:8443")
    assert reach.client() == ("nas.lan:8443", f"{old}:8443", 1)
    names.restart({"nas.lan": [new]})
    wait_until(lambda: reach.client() == ("nas.lan:8443", f"{new}:8443", 1), "a client that gets the new address")
    assert f"{old}:8443" in reach.peers()


def test_the_last_answer_is_kept_while_no_name_server_answers(workspace, names, server):
    old, new = server(), server()
    names.start({"nas.lan": [old]})
    reach = Reach(workspace, "--resolver", names.address, "nas.lan:8443")
    assert reach.client() == ("nas.lan:8443", f"{old}:8443", 1)
    names.stop()
    line = reach.child.wait_for_line("warning (no name server tells the IPv4.*)").group(1)
    assert line == ("no name server tells the IPv4 addresses of nas.lan: Could not contact DNS servers; "
                    "going on with its last answer")
    assert reach.client() == ("nas.lan:8443", f"{old}:8443", 1)
    names.start({"nas.lan": [new]})
    until(reach, ("nas.lan:8443", f"{new}:8443", 1))


def test_a_name_that_nobody_knows_yet_is_asked_again(workspace, names, server):
    address = server()
    reach = Reach(workspace, "--resolver", names.address, "nas.lan:8443")
    assert reach.client() == ("not_resolved", "-", 1)
    names.start({"other.lan": [address]})
    until(reach, ("not_resolved", "-", 1))
    reach.child.wait_for_line(" warning nas.lan has no address in the DNS$")
    names.restart({"nas.lan": [address]})
    until(reach, ("nas.lan:8443", f"{address}:8443", 1))


def test_a_name_that_is_gone_has_no_address_any_more(workspace, names, server):
    address = server()
    names.start({"nas.lan": [address]})
    reach = Reach(workspace, "--resolver", names.address, "nas.lan:8443")
    assert reach.client() == ("nas.lan:8443", f"{address}:8443", 1)
    names.restart()
    until(reach, ("not_resolved", "-", 1))
    reach.child.wait_for_line("warning nas.lan has no IPv4 addresses in the DNS$")


def test_all_addresses_of_a_name_are_tried(workspace, names, server):
    good = server()
    bad = [own_loopback_address() for _ in range(50)]  # too many for a datagram: they come over TCP
    names.start({"nas.lan": [*bad, good]})
    reach = Reach(workspace, "--resolver", names.address, "nas.lan:8443")
    assert reach.client() == ("nas.lan:8443", f"{good}:8443", 1)


def test_a_name_without_an_answer_for_ipv6_doesnt_wait_for_one(workspace, server):
    address = server()
    names = HalfNameServer(workspace, address)
    reach = Reach(workspace, "--resolver", names.address, "--connect-timeout", 900, "nas.lan:8443")
    # Less than the second that the name server has for its answer.
    assert reach.client() == ("nas.lan:8443", f"{address}:8443", 1)


def test_the_hosts_file_comes_first(workspace, names, server):
    address = server()
    names.start({"nas.lan": [own_loopback_address()]})
    hosts = workspace.path / "hosts"
    hosts.write_text(f"{address} nas.lan\n")
    reach = Reach(workspace, "--resolver", names.address, "--hosts", hosts, "nas.lan:8443")
    assert reach.client() == ("nas.lan:8443", f"{address}:8443", 1)


def test_a_service_s_targets_are_backends_by_priority_and_weight(workspace, names, server):
    one, two, spare = server(8001), server(8002), server(8003)
    hosts = {"one.lan": [one], "two.lan": [two], "spare.lan": [spare]}
    service = "_https._tcp.lan"
    names.start(hosts, [(service, "one.lan", 8001, 10, 3), (service, "two.lan", 8002, 10, 1),
                        (service, "spare.lan", 8003, 20, 1)])
    reach = Reach(workspace, "--resolver", names.address, f"srv:{service}")
    got = [reach.client() for _ in range(8)]
    assert sorted(got) == [("one.lan:8001", f"{one}:8001", 1)] * 6 + [("two.lan:8002", f"{two}:8002", 1)] * 2
    assert reach.states() == {"one.lan:8001": "up", "two.lan:8002": "up", "spare.lan:8003": "up"}

    names.restart(hosts, [(service, "spare.lan", 8003, 20, 1)])
    until(reach, ("spare.lan:8003", f"{spare}:8003", 1))
    assert reach.states() == {"spare.lan:8003": "up"}


def test_a_service_without_targets_is_asked_again(workspace, names, server):
    address = server()
    names.start()
    reach = Reach(workspace, "--resolver", names.address, "srv:_https._tcp.lan")
    assert reach.client() == ("not_resolved", "-", 0)
    names.restart({"one.lan": [address]}, [("_https._tcp.lan", "one.lan", 8443, 0, 0)])
    until(reach, ("one.lan:8443", f"{address}:8443", 1))


# What is sent to the networks of `hole` arrives at its other end, which has no such address: it is neither
# refused nor answered.
BlackHole = ("ip link add hole type veth peer name end", "ip link set hole arp off", "ip link set end up", "ip address add 192.0.2.254/24 dev hole",
             "ip -6 address add 2001:db8::fe/64 dev hole nodad", "ip link set hole up",
             "ip address add 198.51.100.1/32 dev lo", "ip -6 address add 2001:db8:1::1/128 dev lo nodad")


@pytest.fixture
def network(workspace):
    return Namespace(workspace, *BlackHole)


def reach_in(network, workspace, addresses, *arguments):
    hosts = workspace.path / "hosts"
    hosts.write_text("".join(f"{address} {name}\n" for name, some in addresses.items() for address in some))
    return Reach(workspace, "--hosts", hosts, *arguments, prefix=network.prefix)


def test_ipv4_wins_where_ipv6_is_a_black_hole(workspace, network):
    workspace.close_at_end(network.call(lambda: Server("198.51.100.1", 8443)))
    reach = reach_in(network, workspace, {"nas.lan": ["2001:db8::1", "198.51.100.1"]}, "nas.lan:8443")
    assert reach.client() == ("nas.lan:8443", "198.51.100.1:8443", 1)


def test_ipv6_wins_where_ipv4_is_a_black_hole(workspace, network):
    workspace.close_at_end(network.call(lambda: Server("2001:db8:1::1", 8443)))
    reach = reach_in(network, workspace, {"nas.lan": ["192.0.2.1", "2001:db8:1::1"]}, "nas.lan:8443")
    assert reach.client() == ("nas.lan:8443", "[2001:db8:1::1]:8443", 1)


def test_of_many_silent_addresses_a_client_holds_a_few_at_once(workspace, network):
    workspace.close_at_end(network.call(lambda: Server("198.51.100.1", 8443)))
    silent = [f"192.0.2.{number}" for number in range(1, 13)]
    reach = reach_in(network, workspace, {"nas.lan": [*silent, "198.51.100.1"]}, "--connect-timeout", 20_000, "nas.lan:8443")
    open_at_once = []

    def is_connected():
        listing = subprocess.run([*network.prefix, "ss", "-Htn", "state", "syn-sent"], capture_output=True, text=True)
        open_at_once.append(len(listing.stdout.splitlines()))
        return any("198.51.100.1:8443" in line for line in reach.child.lines)

    reach.say("192.0.2.99")
    wait_until(is_connected, "the last address")
    assert 6 <= max(open_at_once) <= 8  # ss does not look at one moment


def test_a_backend_in_a_black_hole_is_passed_over_and_then_left_out(workspace, network):
    workspace.close_at_end(network.call(lambda: Server("198.51.100.1", 8443)))
    reach = reach_in(network, workspace, {}, "--connect-timeout", 100, "192.0.2.1:8443", "198.51.100.1:8443")
    got = [reach.client() for _ in range(5)]
    assert got == [("198.51.100.1:8443", "198.51.100.1:8443", 2), ("198.51.100.1:8443", "198.51.100.1:8443", 1)] * 2 \
        + [("198.51.100.1:8443", "198.51.100.1:8443", 2)]
    assert reach.child.wait_for_line(r"warning (.*) left out for \d+ ms").group(1) == \
        "site test: backend 192.0.2.1:8443 has failed 3 times in a row, last: timed_out;"


def test_where_all_is_a_black_hole_the_client_learns_it_in_time(workspace, network):
    reach = reach_in(network, workspace, {}, "--connect-timeout", 100, "192.0.2.1:8443", "[2001:db8::1]:8443")
    assert reach.client() == ("timed_out", "-", 2)
    limited = "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1"
    (workspace.path / "reach").unlink()
    reach = reach_in(network, workspace, {}, "--connect-timeout", 1000, "--backend-wait", 1500, *limited)
    assert reach.client() == ("timed_out", "-", 2)


def test_an_address_without_a_route_is_told_as_such(workspace, network):
    reach = reach_in(network, workspace, {}, "203.0.113.1:1")
    assert reach.client() == ("unreachable", "-", 1)


def test_checks_of_a_tls_server(workspace):
    port = free_port("127.0.0.1")
    certificate, key = make_certificate(workspace.path, "nas.lan")

    def start_server():
        server = workspace.start("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate,
                                 "-key", key, "-quiet")
        return server

    reach = Reach(workspace, "--check", "tls", "--interval", 50, "--check-name", "nas.lan", f"127.0.0.1:{port}")
    backend = f"site test: backend 127.0.0.1:{port}"
    reach.child.wait_for_line(f"warning {backend} is down: connection refused$")
    assert reach.client() == ("none_up", "-", 0)
    server = start_server()
    reach.child.wait_for_line(f"notice {backend} is up: TLS handshake$")
    assert reach.client() == (f"127.0.0.1:{port}", f"127.0.0.1:{port}", 1)
    reach.say("close")
    server.process.kill()
    server.wait_for_exit()
    wait_until(lambda: reach.states() == {f"127.0.0.1:{port}": "down"}, "the end of the server")


def test_checks_of_an_http_server(workspace):
    """By its status: one that is up but says that it isn't well is down."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    status = [503]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((workspace.address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    backend = f"{workspace.address}:{server.server_address[1]}"
    try:
        reach = Reach(workspace, "--check", "http", "--interval", 50, backend)
        reach.child.wait_for_line(f"warning site test: backend {backend} is down: HTTP 503$")
        status[0] = 204
        reach.child.wait_for_line(f"notice site test: backend {backend} is up: HTTP 204$")
        assert reach.client() == (backend, backend, 1)
    finally:
        server.shutdown()
        server.server_close()


def test_no_file_is_opened_after_the_start(workspace, names, server):
    """So the worker's sandbox can forbid it: resolv.conf and hosts are read before."""
    address = server()
    names.start({"nas.lan": [address]})
    trace = workspace.path / "trace"
    reach = Reach(workspace, "--resolver", names.address, "nas.lan:8443", "localhost:1",
                  prefix=["strace", "-f", "-e", "trace=%file,read", "-o", trace])
    assert reach.client()[0] == "nas.lan:8443"
    assert reach.client()[0] in ("nas.lan:8443", "localhost:1")
    after_start = trace.read_text().split('"192.0.2.1\\n"')[1]
    assert "open" not in after_start and "stat" not in after_start, after_start


Answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
AnsweringServer = f"""
import socket, sys, threading
def serve(client):
    with client:
        if client.recv(65536):
            client.sendall({Answer})
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],)).start()
"""


def test_no_client_notices_that_one_of_three_backends_is_killed(workspace):
    """Through tcpshim itself: clients that wait for their first byte go to another one."""
    ends = RelayEnds(workspace, backends=3)
    servers = []
    for listener in ends.backends:
        listener.setblocking(True)
        servers.append(workspace.start(sys.executable, "-c", AnsweringServer, listener.fileno(),
                                       pass_fds=[listener.fileno()]))
        listener.close()

    def new_clients(count):
        return [ends.new_client(first_bytes=b"GET / HTTP/1.1\r\nHost: nas.lan\r\n\r\n") for _ in range(count)]

    clients = new_clients(30)
    servers[1].process.kill()
    clients += new_clients(60)
    servers[1].wait_for_exit()
    clients += new_clients(30)
    assert [read_to_end(client) for client in clients] == [Answer] * 120
