# SPDX-License-Identifier: MIT
"""Who may come in: lists of listeners and routes, application protocols, and limits of sources."""

import ipaddress
import os
import pathlib
import signal

import pytest

from support import client_hello
from support.processes import client_descriptors_of, tcp_descriptors_of
from support.workspace import Port, wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
AlertAccessDenied = 49
Forbidden = b"HTTP/1.1 403 Forbidden\r\n"


def other_sources(workspace, count):
    """Addresses of loopback that differ from test to test, and from those of listeners."""
    first = int(ipaddress.IPv4Address(workspace.address)) ^ 0x00800000
    return [str(ipaddress.IPv4Address(first + i)) for i in range(count)]


def start_proxyd(workspace, **configuration):
    """One worker takes clients in their order, as a user who may send to the test's own sockets."""
    configuration.setdefault("workers", 1)
    if os.geteuid() == 0:
        configuration.setdefault("user", "root")
    return workspace.start_proxyd(**configuration)


def start(workspace, route=None, **configuration):
    """proxyd with one route, to an inbox that is returned too."""
    inbox = workspace.inbox("blog")
    value = {"site": str(workspace.site("blog")), **route} if route else str(workspace.site("blog"))
    return start_proxyd(workspace, routes={Name: value}, **configuration), inbox


def listener(workspace, **keys):
    return [{"address": f"{workspace.address}:{Port}", **keys}]


def assert_handed_over(proxyd, inbox, client, reason="exact_name"):
    assert inbox.receive().client == client.address
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("handed_over", reason)


def assert_rejected(proxyd, client, reason, route="-"):
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"], line["route"]) == ("rejected", reason, route)
    return line


# Lists


@pytest.mark.parametrize("lists, reason", [({"deny": ["{0}"]}, "deny"), ({"allow": ["{1}"]}, "allow"),
                                           ({"allow": ["{0}", "{1}"], "deny": ["{0}"]}, "deny")])
@pytest.mark.parametrize("where", ["listener", "route"])
def test_a_list_keeps_one_address_out_and_lets_the_other_in(workspace, where, lists, reason):
    outsider, insider = other_sources(workspace, 2)
    lists = {key: [text.format(outsider, insider) for text in texts] for key, texts in lists.items()}
    if where == "listener":
        proxyd, inbox = start(workspace, listen=listener(workspace, **lists))
    else:
        proxyd, inbox = start(workspace, route=lists)
    route = "-" if where == "listener" else Name

    client = workspace.connect(client_hello.captured(Name), source=outsider)
    assert client_hello.is_fatal_alert(client.read_to_end(), AlertAccessDenied)
    line = assert_rejected(proxyd, client, f"{where}_{reason}", route)
    assert line["protocol"] == "tls"
    client = workspace.connect(Get, source=outsider)
    answer = client.read_to_end()
    assert answer.startswith(Forbidden)
    assert answer.endswith(f"proxyd: not from your address ({where}_{reason})\n".encode())
    assert_rejected(proxyd, client, f"{where}_{reason}", route)
    assert inbox.is_empty()

    assert_handed_over(proxyd, inbox, workspace.connect(Get, source=insider))


def test_a_route_with_lists_leaves_others_alone(workspace):
    source, = other_sources(workspace, 1)
    inbox = workspace.inbox("other")
    proxyd = start_proxyd(workspace, routes={
        Name: {"site": str(workspace.site("blog")), "deny": ["0.0.0.0/0"]}, "*": str(workspace.site("other"))})
    assert_rejected(proxyd, workspace.connect(Get, source=source), "route_deny", Name)
    client = workspace.connect(Get.replace(b"blog", b"shop"), source=source)
    assert_handed_over(proxyd, inbox, client, "default")


def test_lists_of_ipv6_are_for_ipv6(workspace):
    proxyd, inbox = start(workspace, listen=listener(workspace, allow=["::/0"]))
    assert_rejected(proxyd, workspace.connect(Get), "listener_allow")


def test_a_listener_with_a_site_of_its_own_asks_its_lists_too(workspace):
    """Nothing is waited for: a client that has said nothing is closed without a word."""
    outsider, insider = other_sources(workspace, 2)
    inbox = workspace.inbox("mail")
    proxyd = start_proxyd(
        workspace, listen=listener(workspace, site=str(workspace.site("mail")), deny=[outsider]), routes={})
    client = workspace.connect(source=outsider)
    assert client.read_to_end() == b""
    line = assert_rejected(proxyd, client, "listener_deny")
    assert line["protocol"] == "-"
    assert_handed_over(proxyd, inbox, workspace.connect(source=insider), "listener_site")


# ALPN


def test_the_first_protocol_that_has_a_route_decides(workspace):
    names = ["blog", "own", "all"]
    inboxes = {name: workspace.inbox(name) for name in names}
    site = {name: str(workspace.site(name)) for name in names}
    proxyd = start_proxyd(workspace, routes={Name: {"site": site["blog"], "alpn": {"h2": site["own"]}}},
                          alpn={"acme-tls/1": site["all"], "h2": site["all"]})

    def outcome(name, *alpn):
        client = workspace.connect(client_hello.captured(name, alpn))
        line = proxyd.access_line_of(client)
        taken = [key for key, inbox in inboxes.items() if inbox.receive_if_any()]
        return (*taken, line["reason"], line["route"])

    assert outcome(Name) == ("blog", "exact_name", Name)
    assert outcome(Name, "http/1.1") == ("blog", "exact_name", Name)
    assert outcome(Name, "http/1.1", "h2", "acme-tls/1") == ("own", "route_alpn", Name)
    assert outcome(Name, "acme-tls/1", "h2") == ("own", "route_alpn", Name)
    assert outcome(Name, "acme-tls/1") == ("all", "alpn", "alpn/acme-tls/1")
    assert outcome("shop.example.org", "acme-tls/1") == ("all", "alpn", "alpn/acme-tls/1")
    assert outcome(None, "h2") == ("all", "alpn", "alpn/h2")
    assert outcome("shop.example.org", "http/1.1") == ("no_route", "-")


def test_lists_of_a_route_hold_for_its_application_protocols_too(workspace):
    inbox = workspace.inbox("acme")
    proxyd, _ = start(workspace, route={"deny": ["127.0.0.0/8"]}, alpn={"acme-tls/1": str(workspace.site("acme"))})
    client = workspace.connect(client_hello.captured(Name, ["acme-tls/1"]))
    assert client_hello.is_fatal_alert(client.read_to_end(), AlertAccessDenied)
    assert_rejected(proxyd, client, "route_deny", Name)
    assert inbox.is_empty()


def test_a_site_directory_of_alpn_that_is_missing_is_told_at_start(workspace):
    proxyd, _ = start(workspace, alpn={"acme-tls/1": "/nowhere"})
    proxyd.wait_for_line(r":\d+: alpn\.acme-tls/1: /nowhere: No such file or directory; "
                         r"clients wait until it is there")


# Limits of sources


def test_source_sessions_max(workspace):
    """Sessions that wait count; one that ends makes room; other sources don't notice."""
    proxyd, inbox = start(workspace, source_sessions_max=2)
    source, other = other_sources(workspace, 2)
    first = workspace.connect(Get[:20], source=source)
    second = workspace.connect(Get[:20], source=source)
    # Accepted in the order of coming: this one is turned away only after those two have been let in.
    third = workspace.connect(Get, source=source)
    assert third.read_to_end().endswith(b"proxyd: too many connections (source_sessions_max)\n")
    assert_rejected(proxyd, third, "source_sessions_max")
    assert_handed_over(proxyd, inbox, workspace.connect(Get, source=other))

    first.send(Get[20:])
    assert_handed_over(proxyd, inbox, first)
    assert_handed_over(proxyd, inbox, workspace.connect(Get, source=source))
    second.reset()
    proxyd.access_line_of(second)
    assert_handed_over(proxyd, inbox, workspace.connect(Get, source=source))


def test_sessions_end_once_however_they_end(workspace):
    """As many as the limit, again and again: nothing is left over, nothing is given back twice."""
    proxyd, inbox = start(workspace, source_sessions_max=3, wait_for_site="1ms", hello_timeout="100ms")
    source, = other_sources(workspace, 1)
    endings = [lambda: workspace.connect(Get, source=source),  # handed over
               lambda: workspace.connect(Get.replace(b"blog", b"shop"), source=source),  # no route
               lambda: workspace.connect(b"\x16\x03\x01\x00\x00", source=source),  # malformed
               lambda: workspace.connect(Get[:30], source=source)]  # too late
    for end in endings * 3:
        client = end()
        proxyd.access_line_of(client)
        client.reset()
        while inbox.receive_if_any():
            pass
    worker, = worker_pids(proxyd)
    wait_until(lambda: not client_descriptors_of(worker), "the end of those who are being refused")
    held = [workspace.connect(Get[:20], source=source) for _ in range(3)]
    last = workspace.connect(Get, source=source)
    assert_rejected(proxyd, last, "source_sessions_max")
    for client in held:
        assert proxyd.access_line_of(client)["reason"] == "hello_timeout"


def test_source_connections_per_second_max(workspace):
    proxyd, inbox = start(workspace, source_connections_per_second_max=5)
    source, other = other_sources(workspace, 2)
    clients = [workspace.connect(Get, source=source) for _ in range(12)]
    lines = [proxyd.access_line_of(client) for client in clients]
    reasons = [line["reason"] for line in lines]
    # Five at once, and one more each 200 ms, however long this takes here.
    assert reasons[:5] == ["exact_name"] * 5
    refused = [client for client, reason in zip(clients, reasons) if reason != "exact_name"]
    assert set(reasons[5:]) <= {"exact_name", "source_connections_per_second_max"}
    for client in refused:
        assert client.read_to_end().endswith(b"(source_connections_per_second_max)\n")
    while inbox.receive_if_any():
        pass
    assert_handed_over(proxyd, inbox, workspace.connect(Get, source=other))

    def is_let_in_again():
        client = workspace.connect(Get, source=source)
        return proxyd.access_line_of(client)["verdict"] == "handed_over"

    wait_until(is_let_in_again, "a connection of the limited source")


def test_who_is_turned_away_leaves_nothing_behind(workspace):
    proxyd, _ = start(workspace, listen=listener(workspace, deny=["127.0.0.0/8"]))
    for _ in range(50):
        workspace.connect(Get).read_to_end()
    wait_until(lambda: len(proxyd.access_lines()) == 50, "50 access lines")
    assert not client_descriptors_of(*worker_pids(proxyd))
    assert {line["reason"] for line in proxyd.access_lines()} == {"listener_deny"}


def test_each_source_has_a_count_of_its_own(workspace):
    proxyd, inbox = start(workspace, source_sessions_max=1)
    for source in other_sources(workspace, 200):
        client = workspace.connect(Get, source=source)
        inbox.receive().close()
        client.close()
    assert {line["reason"] for line in proxyd.access_lines()} == {"exact_name"}


def worker_pids(proxyd):
    """The workers, once there are as many as there should be."""
    return [int(pid) for pid in pathlib.Path(f"/proc/{proxyd.pid}/task/{proxyd.pid}/children").read_text().split()]


def test_sessions_of_all_workers_count_and_those_of_killed_workers_do_not(workspace):
    proxyd, _ = start(workspace, source_sessions_max=4, workers=3)
    source, = other_sources(workspace, 1)
    for _ in range(2):
        held = [workspace.connect(Get[:20], source=source) for _ in range(4)]
        killed = worker_pids(proxyd)
        wait_until(lambda: len(client_descriptors_of(*killed)) == 4, "all clients accepted")
        for _ in range(8):  # wherever they come in
            client = workspace.connect(Get, source=source)
            assert client.read_to_end().endswith(b"(source_sessions_max)\n")
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        for client in held:
            assert client.read_to_end_or_reset() is None
        wait_until(lambda: len(worker_pids(proxyd)) == 3 and not set(worker_pids(proxyd)) & set(killed),
                   "three new workers")


def test_limits_outlast_a_reload(workspace):
    """The new workers count together with the old ones, by the new limit."""
    proxyd, inbox = start(workspace, source_sessions_max=3)
    source, = other_sources(workspace, 1)
    held = [workspace.connect(Get[:20], source=source) for _ in range(3)]
    assert_rejected(proxyd, workspace.connect(Get, source=source), "source_sessions_max")
    old_worker, = worker_pids(proxyd)
    path = workspace.path / "proxyd.json"
    path.write_text(path.read_text().replace('"source_sessions_max": 3', '"source_sessions_max": 4'))
    proxyd.signal(signal.SIGHUP)
    proxyd.wait_for_line(" notice reloaded: ")
    wait_until(lambda: len(tcp_descriptors_of(old_worker)) == 3, "an old worker that accepts no more")
    held.append(workspace.connect(Get[:20], source=source))
    assert_rejected(proxyd, workspace.connect(Get, source=source), "source_sessions_max")
    for client in held:
        client.send(Get[20:])
        assert_handed_over(proxyd, inbox, client)
    assert_handed_over(proxyd, inbox, workspace.connect(Get, source=source))
