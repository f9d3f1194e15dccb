# SPDX-License-Identifier: MIT
"""libpreload: the addresses of a connection that aren't those that the kernel knows."""

import contextlib
import socket

import preload_support as support
import pytest
from preload_support import (CLIENT_ADDRESS, PROGRAMS, environment_for, new_edge, new_site,
                             read_until, running, wire_header)

Stated = b"\xe0\x00\x011"  # the TLV that says so


@pytest.fixture
def site():
    with new_site() as site:
        yield site


def wire_header_of_stated(source, destination, family):
    header = wire_header(source, destination, family)
    length = int.from_bytes(header[14:16], "big") + len(Stated)
    return header[:14] + length.to_bytes(2, "big") + header[16:] + Stated


def new_pair():
    """A balancer's connection: its end, and the one that proxyd has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        balancer = socket.create_connection(listener.getsockname(), support.DEADLINE_SECONDS)
        return balancer, listener.accept()[0]


def observed(site, host, payload_of, edge=443):
    """What share_connection prints of one connection with that payload, and its real ends."""
    port = support.free_port()
    command = [PROGRAMS / "share_connection", host, port]
    with contextlib.ExitStack() as stack:
        child = stack.enter_context(running(command, env=environment_for(site, f"{edge}={port}")))
        lines = []
        assert read_until(child, "ready", lines), lines
        balancer, accepted = new_pair()
        stack.enter_context(balancer)
        ends = balancer.getsockname(), balancer.getpeername()
        with accepted:
            site.send(site.files()[0], payload_of(*ends), [accepted.fileno()])
        return child.stdout.read().splitlines(), ends, port


def peers(lines):
    """What getpeername said, by the place where it was asked."""
    places = [line for line in lines if line in ("accepted", "duplicate", "child", "executed")]
    return dict(zip(places, [line for line in lines if line.startswith("peer: ")]))


@pytest.mark.parametrize("host, family, client, seen", [
    ("127.0.0.1", socket.AF_INET, "192.0.2.7", "192.0.2.7 port 4711, length 16"),
    ("::", socket.AF_INET, "192.0.2.7", "[::ffff:192.0.2.7] port 4711, length 28"),
    ("::", socket.AF_INET6, "2001:db8::7", "[2001:db8::7] port 4711, length 28"),
])
def test_a_client_that_a_balancer_has_stated_is_the_peer(site, host, family, client, seen):
    local = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    lines, (balancer, _), _ = observed(
        site, host, lambda *_: wire_header_of_stated((client, 4711), (local, 443), family))
    assert lines[0] == f"accept's: {seen}"
    told = peers(lines)
    assert all(told[place] == f"peer: {seen}" for place in ("accepted", "duplicate", "child"))
    # What is executed has only what the kernel knows: the balancer, as the listener would see it.
    prefix = "[::ffff:127.0.0.1]" if host == "::" and family == socket.AF_INET else "127.0.0.1"
    assert told["executed"].startswith(f"peer: {prefix} port {balancer[1]},")


def test_without_the_word_of_a_balancer_the_peer_is_the_kernel_s(site):
    lines, (client, _), _ = observed(
        site, "127.0.0.1",
        lambda *_: wire_header(("192.0.2.7", 4711), ("192.0.2.1", 443), socket.AF_INET))
    assert lines[0] == "accept's: 192.0.2.7 port 4711, length 16"
    assert set(peers(lines).values()) == {f"peer: 127.0.0.1 port {client[1]}, length 16"}


def test_a_reused_descriptor_number_has_its_own_address(site):
    """The same number a hundred times, by turns with and without a balancer."""
    port = support.free_port()
    command = [PROGRAMS / "serve_forever", "127.0.0.1", port]
    with running(command, env=environment_for(site, f"443={port}")) as child:
        assert read_until(child, "ready", [])
        for turn in range(100):
            balancer, accepted = new_pair()
            ends = (f"192.0.2.{turn}", 1000 + turn), ("192.0.2.1", 443)
            plain = balancer.getsockname(), balancer.getpeername()
            header = (wire_header(*plain, socket.AF_INET) if turn % 2 else
                      wire_header_of_stated(*ends, socket.AF_INET))
            with accepted:
                site.send(site.files()[0], header, [accepted.fileno()])
            assert support.says_goodbye(balancer) == b"bye\n"
            balancer.close()
            lines = [child.stdout.readline().rstrip("\n") for _ in range(8)]
            host, number = plain[0] if turn % 2 else ends[0]
            assert f"address: {host} port {number}, length 16" in lines
            assert f"  peer: {host} port {number}, length 16" in lines


def test_the_local_port_is_the_one_that_the_server_bound(site):
    """As behind a port mapping: servers choose virtual hosts by it."""
    port = support.free_port()
    command = [PROGRAMS / "share_connection", "127.0.0.1", port]
    with contextlib.ExitStack() as stack:
        edge = stack.enter_context(new_edge(site, 443))
        edge_port = edge.address[1]
        edge.site_port = edge_port
        environment = environment_for(site, f"{edge_port}={port}")
        child = stack.enter_context(running(command, env=environment))
        assert read_until(child, "ready", [])
        stack.enter_context(edge.connect(CLIENT_ADDRESS))
        lines = child.stdout.read().splitlines()
    assert [line for line in lines if line.startswith("local: ")] == [
        f"local: 127.0.0.1 port {port}, length 16"] * 4
