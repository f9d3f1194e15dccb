# SPDX-License-Identifier: MIT
"""HTTP/1.x request heads: where the name is found, and the answers of those that go nowhere."""

import subprocess

import pytest

from support.workspace import Port, wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def proxyd(workspace, inbox):
    return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_bytes_max=4096)


def test_a_refused_client_that_never_closes_is_let_go(proxyd, workspace):
    before = proxyd.descriptors()
    client = workspace.connect(b"GET / HTTP/1.1\r\nHost: elsewhere.example.org\r\n\r\n")
    assert client.read_to_end().startswith(b"HTTP/1.1 421 ")
    wait_until(lambda: proxyd.descriptors() == before)


def assert_handed_over(proxyd, inbox, client, head, name=Name):
    handoff = inbox.receive()
    assert handoff.client == client.address
    assert handoff.read(len(head)) == head
    assert handoff.name == (name.encode() if name else None)
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["name"], line["verdict"]) == ("http", name or "-", "handed_over")


def assert_answered(answer, status):
    """A whole answer of one line of text that ends the connection."""
    head, body = answer.split(b"\r\n\r\n", 1)
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 %d " % status)
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
    assert headers[b"connection"] == b"close"
    assert int(headers[b"content-length"]) == len(body)
    assert headers[b"content-type"].startswith(b"text/plain")
    assert body.endswith(b"\n") and body.count(b"\n") == 1 and len(body) > 1


def assert_rejected(proxyd, client, status, reason, verdict="rejected"):
    assert_answered(client.read_to_end(), status)
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == (verdict, reason)


@pytest.mark.parametrize("head", [
    b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: blog.example.org\r\n\r\n",
    b"GET / HTTP/1.1\r\nHOST:blog.example.org\r\n\r\n",
    b"GET / HTTP/1.1\r\nhOsT:\t blog.example.org \t\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: BLOG.Example.ORG\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: blog.example.org.\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: blog.example.org:8443\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: blog.example.org:\r\n\r\n",
    b"GET / HTTP/1.1\r\nAccept: */*\r\nX-Host: other.example.org\r\nHost: blog.example.org\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: blog.example.org\r\nX-Host: other.example.org\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: blog.example.org\r\n\r\n",
    b"GET http://blog.example.org/ HTTP/1.1\r\nHost: blog.example.org\r\n\r\n",
    b"GET http://blog.example.org/ HTTP/1.0\r\n\r\n",
    b"GET HTTP://Blog.Example.Org:8443/path HTTP/1.1\r\nHost: blog.example.org:8443\r\n\r\n",
    b"GET https://blog.example.org?query HTTP/1.1\r\nHost: blog.example.org\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: blog.example.org\r\n\r\n",
    b"PROPFIND /%2e%2e HTTP/1.1\r\nHost: blog.example.org\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n",
    b"GET / HTTP/1.1\nHost: blog.example.org\n\n",
    b"POST / HTTP/1.1\r\nHost: blog.example.org\r\nContent-Length: 4\r\n\r\nbody",
])
def test_where_the_name_is_found(workspace, proxyd, inbox, head):
    client = workspace.connect(head)
    assert_handed_over(proxyd, inbox, client, head)


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
                                  b"GET / HTTP/1.0\r\nAccept: */*\r\n\r\n"])
def test_no_name_goes_to_the_default(workspace, head):
    inbox = workspace.inbox("default")
    proxyd = workspace.start_proxyd(routes={"*": str(workspace.site("default"))})
    client = workspace.connect(head)
    assert_handed_over(proxyd, inbox, client, head, name=None)


@pytest.mark.parametrize("head, reason", [
    (b"GET / HTTP/1.1\r\n\r\n", "http_host_missing"),
    (b"GET / HTTP/1.1\r\nX-Host: blog.example.org\r\n\r\n", "http_host_missing"),
    (b"GET http://blog.example.org/ HTTP/1.1\r\n\r\n", "http_host_missing"),
    (b"GET / HTTP/1.1\r\nHost: blog.example.org\r\nHost: blog.example.org\r\n\r\n", "two_names"),
    (b"GET / HTTP/1.1\r\nHost: blog.example.org\r\nhost: other.example.org\r\n\r\n", "two_names"),
    (b"GET http://blog.example.org/ HTTP/1.1\r\nHost: other.example.org\r\n\r\n", "two_names"),
    (b"GET / HTTP/1.1\r\nHost: blog.example.org, other.example.org\r\n\r\n", "name_has_forbidden_character"),
    (b"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", "name_is_ip_literal"),
    (b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n", "name_is_ip_literal"),
    (b"GET / HTTP/1.1\r\nHost: 192.0.2.1:8443\r\n\r\n", "name_is_ip_literal"),
    (b"GET / HTTP/1.1\r\nHost: [2001:db8::1\r\n\r\n", "http_host_malformed"),
    (b"GET / HTTP/1.1\r\nHost: [blog.example.org]\r\n\r\n", "http_host_malformed"),
    (b"GET / HTTP/1.1\r\nHost: blog.example.org:https\r\n\r\n", "http_host_malformed"),
    (b"GET / HTTP/1.1\r\nHost: blog.example.org:65536\r\n\r\n", "http_host_malformed"),
    (b"GET / HTTP/1.1\r\nHost : blog.example.org\r\n\r\n", "http_header_space"),
    (b"GET / HTTP/1.1\r\nAccept: */*\r\n Host: blog.example.org\r\n\r\n", "http_header_folded"),
    (b"GET / HTTP/1.1\r\nHost blog.example.org\r\n\r\n", "http_header_line"),
    (b"GET /a b HTTP/1.1\r\nHost: blog.example.org\r\n\r\n", "http_request_line"),
    (b"GET /\r\nHost: blog.example.org\r\n\r\n", "http_request_line"),
    (b"GET / HTTP/2.0\r\nHost: blog.example.org\r\n\r\n", "http_version_unsupported"),
    (b"GET ftp://blog.example.org/ HTTP/1.1\r\nHost: blog.example.org\r\n\r\n", "http_target"),
    (b"GET http://user@blog.example.org/ HTTP/1.1\r\nHost: blog.example.org\r\n\r\n", "http_target_userinfo"),
])
def test_a_malformed_head_gets_400(workspace, proxyd, head, reason):
    client = workspace.connect(head)
    assert_rejected(proxyd, client, 400, reason)


def head_of_size(size):
    rest = b"GET / HTTP/1.1\r\nX-Padding: %s\r\nHost: blog.example.org\r\n\r\n"
    return rest % (b"x" * (size - len(rest) + 2))


def test_a_head_of_exactly_the_limit(workspace, proxyd, inbox):
    head = head_of_size(4096)
    assert len(head) == 4096
    client = workspace.connect(head + b"body")
    assert_handed_over(proxyd, inbox, client, head + b"body")


def test_a_head_of_exactly_the_limit_in_segments_of_one_byte(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_bytes_max=512)
    client = workspace.connect()
    client.send_bytewise(head_of_size(512))
    assert_handed_over(proxyd, inbox, client, head_of_size(512))


def test_a_head_of_one_byte_over_the_limit(workspace, proxyd):
    client = workspace.connect(head_of_size(4097))
    assert_rejected(proxyd, client, 400, "hello_bytes_max")


def test_a_head_in_segments_of_one_byte(workspace, proxyd, inbox):
    client = workspace.connect()
    client.send_bytewise(Get)
    assert_handed_over(proxyd, inbox, client, Get)


def test_a_head_over_the_limit_in_segments_of_one_byte(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_bytes_max=512)
    client = workspace.connect()
    client.send_bytewise(head_of_size(513))
    assert_rejected(proxyd, client, 400, "hello_bytes_max")


def test_no_route_gets_421(workspace, proxyd):
    client = workspace.connect(b"GET / HTTP/1.1\r\nHost: elsewhere.example.org\r\n\r\n")
    assert_rejected(proxyd, client, 421, "no_route")


def test_a_head_that_does_not_end_gets_408(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_timeout="250ms")
    client = workspace.connect(Get[:-1])
    assert_rejected(proxyd, client, 408, "hello_timeout", verdict="timed_out")


def test_bytes_that_arrive_do_not_renew_the_timeout(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_timeout="250ms",
                                    hello_bytes_max=512)
    client = workspace.connect(b"GET / HTTP/1.1\r\nX-Padding: ")
    client.socket.settimeout(0.02)
    answer = None
    while answer is None:  # ends with this answer, or with that of a head that is too large
        try:
            answer = client.read_to_end()
        except TimeoutError:
            client.send(b"x")
    assert_answered(answer, 408)
    assert proxyd.access_line_of(client)["reason"] == "hello_timeout"


def test_a_site_that_does_not_appear_gets_503(workspace):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, wait_for_site="250ms")
    client = workspace.connect(Get)
    assert_rejected(proxyd, client, 503, "site_absent")
    line = proxyd.access_line_of(client)
    assert (line["route"], line["site"]) == (Name, str(workspace.site("blog")))
    assert int(line["handoff_us"]) >= 250_000


@pytest.mark.parametrize("first", [b"POST / HTTP/1.1\r\nHost: elsewhere.example.org\r\nContent-Length: 9000000\r\n\r\n",
                                   b"POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n"])
def test_a_client_that_keeps_sending_gets_its_answer(workspace, proxyd, first):
    """Unread input would turn the end of the connection into a reset, which destroys the answer."""
    client = workspace.connect(first)
    for _ in range(50):
        client.send(bytes(10_000))
    assert_answered(client.read_to_end(), 400 if b"Host" not in first else 421)


def test_a_client_that_sends_after_the_answer_is_not_reset(workspace, proxyd):
    client = workspace.connect(b"POST / HTTP/1.1\r\nHost: elsewhere.example.org\r\nContent-Length: 9000000\r\n\r\n")
    assert_answered(client.read_to_end(), 421)
    for _ in range(50):
        client.send(bytes(10_000))


def test_an_endless_sender_does_not_hold_proxyd_up(workspace, proxyd):
    """What is drained has a bound: sending ends in a reset, soon."""
    client = workspace.connect(b"POST / HTTP/1.1\r\nHost: elsewhere.example.org\r\n\r\n")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while True:
            client.send(bytes(65536))


def test_curl_reads_the_text_of_a_rejection(workspace, proxyd):
    body = workspace.path / "body"
    body.write_bytes(bytes(300_000))
    result = subprocess.run(["curl", "-sS", "--max-time", "20", "--data-binary", f"@{body}", "-H", "Expect:",
                             "-H", "Host: elsewhere.example.org", "-w", "%{http_code}",
                             f"http://{workspace.address}:{Port}/"], capture_output=True, timeout=30)
    assert result.returncode == 0, result.stderr
    text, status = result.stdout[:-3], result.stdout[-3:]
    assert status == b"421" and text.endswith(b"\n")
