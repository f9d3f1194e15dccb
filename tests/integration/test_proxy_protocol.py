# SPDX-License-Identifier: MIT
"""PROXY protocol headers from load balancers: who must send one, who may not, and what is left of it."""

import pathlib
import re
import shutil
import socket
import struct
import subprocess
import time

import pytest

from support import client_hello
from support.processes import DeadlineSeconds
from support.workspace import Port, free_port

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
Signature = b"\r\n\r\n\0\r\nQUIT\n"
Source, Destination = ("192.0.2.1", 1024), ("192.0.2.2", 443)
TextHeader = b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n"
Ends = socket.inet_aton(Source[0]) + socket.inet_aton(Destination[0]) + struct.pack("!HH", Source[1], Destination[1])


def binary(command, family, content):
    return Signature + struct.pack("!BBH", command, family, len(content)) + content


BinaryHeader = binary(0x21, 0x11, Ends)
Headers = pytest.mark.parametrize("header", [TextHeader, BinaryHeader], ids=["v1", "v2"])


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def start(workspace, inbox):
    def start(proxy_protocol=True, site=None, access=None, **configuration):
        listener = {"address": f"{workspace.address}:{Port}", "proxy_protocol": proxy_protocol, **(access or {})}
        if site:
            listener["site"] = str(workspace.site(site))
        return workspace.start_proxyd(listen=[listener], routes={Name: str(workspace.site("blog"))}, **configuration)

    return start


def assert_handed_over(proxyd, inbox, rest, source=Source, destination=Destination, **expected):
    """Only the header is gone; its addresses are in the payload and in the log."""
    handoff = inbox.receive()
    assert (handoff.header.source, handoff.header.destination) == (source, destination)
    assert handoff.read(len(rest)) == rest
    assert handoff.receive_low_water == 1 and handoff.is_blocking
    line = proxyd.access_line()
    assert line["client"] == f"{source[0]}:{source[1]}"
    assert line["verdict"] == "handed_over"
    assert {key: line[key] for key in expected} == expected


def assert_refused(proxyd, client, reason, protocol="-"):
    assert client.read_to_end() == b""
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"], line["reason"]) == (protocol, "rejected", reason)


@Headers
def test_the_header_alone_is_consumed(workspace, start, inbox, header):
    proxyd = start()
    client = workspace.connect(header + Get + b"body")
    assert_handed_over(proxyd, inbox, Get + b"body", protocol="http", name=Name,
                       listener=f"{workspace.address}:{Port}")
    client.close()


@Headers
def test_header_and_hello_cut_anywhere(workspace, start, inbox, header):
    proxyd = start()
    data = header + Get
    for cut in range(1, len(data)):
        client = workspace.connect(data[:cut])
        client.send(data[cut:])
        handoff = inbox.receive()
        assert handoff.header.source == Source
        assert handoff.read(len(Get)) == Get
        handoff.close()
        client.close()
    assert proxyd.stop()["handed_over"] == len(data) - 1


@Headers
def test_in_segments_of_one_byte(workspace, start, inbox, header):
    proxyd = start()
    client = workspace.connect()
    client.send_bytewise(header + Get)
    assert_handed_over(proxyd, inbox, Get)


def test_a_binary_header_byte_by_byte_costs_two_wakeups(workspace, start, inbox):
    proxyd = start()
    hello = client_hello.captured(Name)
    client = workspace.connect()
    client.send_bytewise(BinaryHeader + hello)
    assert inbox.receive().read(len(hello)) == hello
    assert proxyd.stop()["wakeups"] <= 16


def test_tls_behind_a_header(workspace, start, inbox):
    proxyd = start()
    hello = client_hello.captured(Name)
    workspace.connect(TextHeader + hello)
    assert_handed_over(proxyd, inbox, hello, protocol="tls", name=Name)


def test_the_largest_header_and_one_byte_more(workspace, start, inbox):
    proxyd = start(hello_bytes_max=512)
    filler = b"\x04" + struct.pack("!H", 4096 - 31) + bytes(4096 - 31)
    largest = binary(0x21, 0x11, Ends + filler)
    assert len(largest) == 4096
    workspace.connect(largest + Get)
    assert_handed_over(proxyd, inbox, Get)
    client = workspace.connect(binary(0x21, 0x11, Ends + filler + b"\0") + Get)
    assert_refused(proxyd, client, "proxy_header_malformed")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", binary(0x20, 0, b""), binary(0x21, 0, b""),
                                    binary(0x20, 0x11, Ends)], ids=["v1", "local", "unspecified", "local-with-ends"])
def test_without_addresses_the_connections_own_ones_count(workspace, start, inbox, header):
    proxyd = start()
    client = workspace.connect(header + Get)
    assert_handed_over(proxyd, inbox, Get, client.address, client.server_address)


def test_ipv6_addresses_over_an_ipv4_connection(workspace, start, inbox):
    """The payload tells of the client; the receiver's socket is an IPv4 one all the same."""
    proxyd = start()
    workspace.connect(b"PROXY TCP6 2001:db8::1 2001:db8::2 1024 443\r\n" + Get)
    handoff = inbox.receive()
    assert (handoff.header.source, handoff.header.destination) == (("2001:db8::1", 1024), ("2001:db8::2", 443))
    assert handoff.connection.family == socket.AF_INET
    assert proxyd.access_line()["client"] == "[2001:db8::1]:1024"


def test_the_sockets_family_decides_which_server_it_suits(workspace, start):
    """A server under libpreload that listens on IPv4 alone, and a client whose balancer has met it on IPv6."""
    server = workspace.inbox("own", f"{Port}.4-any-{Port}-0.sock")
    start(site="own")
    workspace.connect(b"PROXY TCP6 2001:db8::1 2001:db8::2 1024 443\r\n" + Get)
    assert server.receive().header.source == ("2001:db8::1", 1024)


def test_a_listener_with_its_own_site(workspace, start):
    """Nothing but the header is looked at; the client may go on in any protocol, or in none."""
    inbox = workspace.inbox("own")
    proxyd = start(site="own")
    client = workspace.connect(BinaryHeader + b"\0\1\2")
    assert_handed_over(proxyd, inbox, b"\0\1\2", protocol="-", route="listener", reason="listener_site")
    client.close()


def test_a_listener_with_its_own_site_and_a_client_that_waits(workspace, start):
    inbox = workspace.inbox("own")
    proxyd = start(site="own")
    client = workspace.connect(TextHeader)
    assert_handed_over(proxyd, inbox, b"", reason="listener_site")
    client.close()


def test_access_is_decided_by_the_headers_address(workspace, start, inbox):
    proxyd = start(access={"allow": ["192.0.2.0/24"], "deny": ["192.0.2.7"]})
    workspace.connect(TextHeader + Get)
    assert_handed_over(proxyd, inbox, Get)
    client = workspace.connect(TextHeader.replace(b"192.0.2.1 ", b"192.0.2.7 ") + Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 403 ")
    client = workspace.connect(b"PROXY UNKNOWN\r\n" + Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 403 ")
    assert proxyd.access_line(1)["client"] == "192.0.2.7:1024"
    assert [proxyd.access_line(i)["reason"] for i in (1, 2)] == ["listener_deny", "listener_allow"]


def test_limits_per_source_count_the_headers_address(workspace, start, inbox):
    start(source_sessions_max=1)
    first = workspace.connect(TextHeader)
    second = workspace.connect(TextHeader.replace(b"192.0.2.1 ", b"192.0.2.7 ") + Get)
    assert inbox.receive().header.source[0] == "192.0.2.7"
    third = workspace.connect(TextHeader + Get)
    assert third.read_to_end().startswith(b"HTTP/1.1 503 ")
    first.send(Get)
    assert inbox.receive().client == first.address
    fourth = workspace.connect(TextHeader + Get)
    assert inbox.receive().client == fourth.address
    second.close()


def test_everybody_must_send_one(workspace, start):
    proxyd = start()
    client = workspace.connect(Get)
    assert_refused(proxyd, client, "proxy_header_missing")
    client = workspace.connect(client_hello.captured(Name))
    assert_refused(proxyd, client, "proxy_header_missing")


def test_listed_sources_must_send_one_and_others_may_not(workspace, start, inbox):
    proxyd = start(["127.0.0.11", "127.0.1.0/24", "2001:db8::/32"])
    for source in ("127.0.0.11", "127.0.1.77"):
        workspace.connect(TextHeader + Get, source=source)
        handoff = inbox.receive()
        assert handoff.header.source == Source
        client = workspace.connect(Get, source=source)
        assert_refused(proxyd, client, "proxy_header_missing")
    for header in (TextHeader, BinaryHeader):
        client = workspace.connect(header + Get, source="127.0.0.12")
        assert_refused(proxyd, client, "proxy_header_untrusted")
    client = workspace.connect(Get, source="127.0.0.12")
    assert inbox.receive().header.source == client.address


@Headers
def test_a_header_of_others_is_refused_byte_by_byte_too(workspace, start, inbox, header):
    proxyd = start(["127.0.0.11"])
    client = workspace.connect(source="127.0.0.12")
    client.send_bytewise(header[:12])
    assert_refused(proxyd, client, "proxy_header_untrusted")


@Headers
def test_a_second_header_is_the_clients_own_and_refused(workspace, start, header):
    proxyd = start()
    client = workspace.connect(TextHeader + header + Get)
    assert client.read_to_end() == b""
    assert proxyd.access_line()["reason"] == "proxy_header_untrusted"


def test_others_at_a_listener_with_its_own_site_are_handed_over_unseen(workspace, start):
    inbox = workspace.inbox("own")
    start(["127.0.0.11"], site="own")
    client = workspace.connect(source="127.0.0.12")
    assert inbox.receive().header.source == client.address


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1024\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\n", b"PROXY " + b"x" * 101,
    binary(0x22, 0x11, Ends), binary(0x11, 0x11, Ends), binary(0x21, 0x12, Ends), binary(0x21, 0x11, Ends[1:]),
])
def test_a_malformed_header_is_refused(workspace, start, header):
    proxyd = start()
    client = workspace.connect(header)
    assert_refused(proxyd, client, "proxy_header_malformed")


def test_one_deadline_for_header_and_hello(workspace, start):
    proxyd = start(hello_timeout="400ms")
    silent = workspace.connect()
    begin = time.monotonic()
    late = workspace.connect(TextHeader)
    late.send(Get[:10])
    silent.read_to_end()
    line = proxyd.access_line_of(silent)
    assert (line["verdict"], line["reason"]) == ("timed_out", "hello_timeout")
    assert late.read_to_end().startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begin < DeadlineSeconds / 2
    assert [(line["verdict"], line["reason"]) for line in proxyd.access_lines()] == [("timed_out", "hello_timeout")] * 2


def test_a_client_that_closes_within_its_header(workspace, start):
    proxyd = start()
    client = workspace.connect(TextHeader[:20])
    client.finish_sending()
    client.read_to_end_or_reset()
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("closed", "client_closed")


def test_a_balancers_health_check_is_no_error(workspace, start):
    proxyd = start()
    client = workspace.connect(binary(0x20, 0, b""))
    client.finish_sending()
    assert client.read_to_end() == b""
    assert proxyd.access_line()["reason"] == "client_closed"


def test_a_silent_client_behind_a_balancer(workspace):
    inbox = workspace.inbox("mail")
    listener = {"address": f"{workspace.address}:{Port}", "proxy_protocol": True}
    proxyd = workspace.start_proxyd(listen=[listener], routes={"@silent": str(workspace.site("mail"))},
                                    silent_after="100ms")
    client = workspace.connect(TextHeader)
    assert_handed_over(proxyd, inbox, b"", protocol="silent", route="@silent")
    client.close()


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_in_front(workspace, start, inbox, option):
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed")
    proxyd = start([f"{workspace.address}/32"])
    port = free_port(workspace.address)
    configuration = workspace.path / "haproxy.cfg"
    configuration.write_text(HaproxyConfiguration.format(address=workspace.address, port=port, target=Port, option=option))
    haproxy = workspace.start("haproxy", "-W", "-f", configuration)
    haproxy.wait_for_line("Loading success|New worker .* forked")
    client = workspace.connect(client_hello.captured(Name), port=port, source="127.0.0.33")
    handoff = inbox.receive()
    assert handoff.header.source == client.address
    assert handoff.header.destination == client.server_address
    assert handoff.client[0] == workspace.address
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["name"], line["verdict"]) == ("tls", Name, "handed_over")
    handoff.answer(b"")


def test_curl_as_a_balancer(workspace, start):
    inbox = workspace.inbox("blog")
    proxyd = start()
    curl = workspace.start("curl", "-sS", "--max-time", "20", "--haproxy-protocol", "-w", "\n%{local_ip}:%{local_port}\n",
                           "--resolve", f"{Name}:{Port}:{workspace.address}", f"http://{Name}:{Port}/")
    inbox.receive().answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhello\n")
    assert curl.wait_for_exit() == 0
    assert curl.lines[0] == "hello"
    assert re.fullmatch(r"\S+:\d+", curl.lines[-1])
    assert proxyd.access_line()["client"] == curl.lines[-1]


def test_a_listener_without_the_key_takes_none(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))})
    client = workspace.connect(TextHeader + Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 400 ")
    assert proxyd.access_line_of(client)["reason"] == "http_request_line"
    client = workspace.connect(BinaryHeader + Get)
    assert_refused(proxyd, client, "protocol_unknown", protocol="other")


HaproxyConfiguration = """
defaults
    mode tcp
    timeout connect 20s
    timeout client 20s
    timeout server 20s
listen here
    bind {address}:{port}
    unique-id-format %[uuid]
    server proxyd {address}:{target} {option} source {address}
"""
