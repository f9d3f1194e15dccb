# SPDX-License-Identifier: MIT
"""Thousands of clients who never finish what they want to say, and those who do: served as if they were alone."""

import ipaddress
import resource
import socket

import pytest

from support import client_hello
from support.load import Load, summary
from support.processes import IsSanitized, status_of
from support.servers import PlainNginx
from support.workspace import Port, wait_until

SlowCount = 5000
HonestCount = 100
Get = PlainNginx.request
BeginningOfHead = Get[:-2]
BeginningOfHello = client_hello.captured(PlainNginx.host)[:-10]

# Measured: 935 bytes (a request's head or a ClientHello is peeked, not copied). What the kernel keeps for a connection is its own.
BytesPerClientMax = 2048 if not IsSanitized else 16384
# The honest alone need a few milliseconds, and so do they among the slow.
RatioMax = 5
ScatterMs = 50


@pytest.fixture
def many_descriptors():
    """Each slow client is one of ours, and one of proxyd's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < SlowCount * 2:
        pytest.skip(f"needs RLIMIT_NOFILE of {SlowCount * 2} or more, and has {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def start(workspace, **configuration):
    server = PlainNginx(workspace).wait_until_ready()
    proxyd = workspace.start_proxyd(routes={server.host: str(server.site)}, hello_timeout="5m",
                                    access_log=str(workspace.path / "log"), **configuration)
    return server, proxyd


def connect_slow(workspace, first_bytes, count=SlowCount):
    """From as many addresses: no limit for one of them holds the next one back."""
    first = ipaddress.IPv4Address("127.2.0.1")
    for index in range(count):
        slow = workspace.close_at_end(socket.socket())
        slow.bind((str(first + index), 0))
        slow.connect((workspace.address, Port))
        slow.sendall(first_bytes)


def wait_until_in_hand(proxyd, count):
    wait_until(lambda: proxyd.tcp_descriptor_count() == 1 + count, f"{count} clients in hand")


def serve_honest(workspace):
    """All at once, several times over, so that the longest delay is not one of chance. The best of three is given:
    a machine with other things to do makes any of them slow, and thousands of slow clients would make all so."""
    results = [Load(workspace, Get, at_once=HonestCount, count=10 * HonestCount, seconds=60).result() for _ in range(3)]
    for result in results:
        assert result["ok"] == result["clients"] == 10 * HonestCount, result
    return min(results, key=lambda result: result["longest_ms"])


@pytest.mark.parametrize("first_bytes", [BeginningOfHead, BeginningOfHello], ids=["http", "tls"])
def test_honest_clients_do_not_notice_thousands_of_slow_ones(workspace, many_descriptors, first_bytes):
    _, proxyd = start(workspace)
    serve_honest(workspace)
    alone = serve_honest(workspace)
    pid = proxyd.serving_pid()
    before = status_of(pid, "VmRSS")
    connect_slow(workspace, first_bytes)
    wait_until_in_hand(proxyd, SlowCount)
    each = (status_of(pid, "VmRSS") - before) * 1024 / SlowCount
    wakeful = status_of(pid, "voluntary_ctxt_switches")
    among = serve_honest(workspace)
    wakeful = status_of(pid, "voluntary_ctxt_switches") - wakeful

    print(f"memory per slow client: {each:.0f} bytes", f"alone: {summary(alone)}", f"among them: {summary(among)}",
          f"wake-ups for {3 * among['clients']} honest clients: {wakeful}", sep="\n")
    assert proxyd.tcp_descriptor_count() == 1 + SlowCount  # nobody had to make room
    assert each <= BytesPerClientMax
    assert among["median_ms"] <= RatioMax * alone["median_ms"] + ScatterMs
    assert among["longest_ms"] <= RatioMax * alone["longest_ms"] + ScatterMs
    assert wakeful <= 3 * 3 * among["clients"] + 100  # the slow cost nothing


def test_honest_clients_are_served_when_the_slow_fill_every_place(workspace, many_descriptors):
    """The slow who came first make room, one for each honest client."""
    _, proxyd = start(workspace, sessions_max=SlowCount // 2)
    connect_slow(workspace, BeginningOfHead)
    wait_until_in_hand(proxyd, SlowCount // 2)
    print(summary(serve_honest(workspace)))


def test_memory_of_slow_clients_is_used_again(workspace, many_descriptors):
    """What a thousand slow clients have taken serves the next thousand."""
    _, proxyd = start(workspace)
    pid = proxyd.serving_pid()

    def come_and_go():
        connect_slow(workspace, BeginningOfHello, 1000)
        wait_until_in_hand(proxyd, 1000)
        resident = status_of(pid, "VmRSS")
        for slow in workspace._closables[-1000:]:
            slow.close()
        wait_until_in_hand(proxyd, 0)
        return resident

    come_and_go()
    first = come_and_go()
    for _ in range(3):
        last = come_and_go()
    assert last - first <= (256 if not IsSanitized else 4096), f"{first} KiB, later {last} KiB"
