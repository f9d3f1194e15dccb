# SPDX-License-Identifier: MIT
"""Clients that have no names: SSH, those that wait for the server to speak first, and what nobody knows."""

import shutil
import subprocess
import time

import pytest

from support.http_clients import Curl
from support.protocol_servers import NginxHttp2, Smtpd, Sshd, make_key, run_ssh, send_mail
from support.workspace import Port

Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"


@pytest.fixture
def sites(workspace):
    """An inbox and a route for each class."""
    def start(*classes, **configuration):
        routes = {key: str(workspace.site(key.strip("@*") or "default")) for key in classes}
        inboxes = {key: workspace.inbox(key.strip("@*") or "default") for key in classes}
        return inboxes, workspace.start_proxyd(routes=routes, **configuration)

    return start


def assert_line(proxyd, client, **expected):
    line = proxyd.access_line_of(client)
    assert {key: line[key] for key in expected} == expected


def test_ssh_to_sshd(workspace):
    if not shutil.which("ssh"):
        pytest.skip("ssh is not installed")
    proxyd = workspace.start_proxyd(routes={"@ssh": str(workspace.site("sshd"))})
    server = Sshd(workspace)
    result = server.run(workspace.address, "echo $SSH_CONNECTION")
    assert result.returncode == 0, result.stderr
    line = proxyd.access_line()
    assert result.stdout.split()[0::2] == [line["client"].split(":")[0], workspace.address]
    assert f"{result.stdout.split()[0]}:{result.stdout.split()[1]}" == line["client"]
    assert (line["protocol"], line["name"], line["route"], line["reason"]) == ("ssh", "-", "@ssh", "protocol_class")


def test_ssh_shows_its_user_why_it_was_refused(workspace):
    if not shutil.which("ssh"):
        pytest.skip("ssh is not installed")
    workspace.start_proxyd(routes={"*": str(workspace.site("default"))})
    key = workspace.path / "key"
    make_key(key)
    result = run_ssh(workspace.address, "true", key)
    assert result.returncode == 255
    assert "proxyd: SSH is not served here (no_route)" in result.stderr


def test_an_ssh_banner_in_segments_of_one_byte(workspace, sites):
    inboxes, proxyd = sites("@ssh", "*")
    client = workspace.connect()
    client.send_bytewise(b"SSH-2.0-Test a comment\r\n")
    assert inboxes["@ssh"].receive().client == client.address
    assert_line(proxyd, client, protocol="ssh", route="@ssh")


def test_a_mail_comes_through_to_a_server_that_speaks_first(workspace):
    proxyd = workspace.start_proxyd(routes={"@silent": str(workspace.site("smtpd"))}, silent_after="100ms")
    server = Smtpd(workspace).wait_until_ready()
    result = send_mail(workspace, workspace.address, "Subject: a mail\n\nthrough proxyd\n")
    assert result.returncode == 0, result.stderr
    assert "through proxyd" in server.mail()
    line = proxyd.access_line()
    assert (line["protocol"], line["route"], line["reason"]) == ("silent", "@silent", "protocol_class")
    assert 100_000 <= int(line["hello_us"])


def test_a_silent_client_is_handed_over_after_silent_after(workspace, sites):
    inboxes, proxyd = sites("@silent", "*", silent_after="300ms")
    begin = time.monotonic()
    client = workspace.connect()
    handoff = inboxes["@silent"].receive()
    assert 0.3 <= time.monotonic() - begin
    assert handoff.client == client.address
    assert handoff.receive_low_water == 1
    assert_line(proxyd, client, protocol="silent", name="-", verdict="handed_over")


def test_who_has_said_something_is_not_silent(workspace, sites):
    inboxes, proxyd = sites("@silent", "*", silent_after="50ms", hello_timeout="600ms")
    slow = workspace.connect(b"G")
    silent = workspace.connect()
    assert inboxes["@silent"].receive().client == silent.address
    slow.send(Get[1:-1])
    slow.read_to_end()
    assert_line(proxyd, slow, protocol="http", verdict="timed_out", reason="hello_timeout")
    assert int(proxyd.access_line_of(silent)["hello_us"]) < 600_000


def test_a_hello_before_silent_after_is_routed_as_ever(workspace, sites):
    inboxes, proxyd = sites("@silent", "*", silent_after="1h")
    client = workspace.connect()
    client.send_bytewise(Get)
    assert inboxes["*"].receive().client == client.address
    assert_line(proxyd, client, protocol="http", route="*")


def test_silent_after_ends_with_hello_timeout_at_the_latest(workspace, sites):
    inboxes, proxyd = sites("@silent", silent_after="1h", hello_timeout="100ms")
    client = workspace.connect()
    assert inboxes["@silent"].receive().client == client.address
    assert_line(proxyd, client, protocol="silent", verdict="handed_over")


def test_a_client_that_closes_in_silence_is_logged_and_not_handed_over(workspace, sites):
    inboxes, proxyd = sites("@silent", silent_after="1h")
    client = workspace.connect()
    client.finish_sending()
    assert client.read_to_end() == b""
    assert_line(proxyd, client, protocol="-", verdict="closed", reason="client_closed")


def test_a_silent_client_without_a_site_is_closed_without_a_word(workspace):
    proxyd = workspace.start_proxyd(routes={"@silent": str(workspace.site("absent"))}, silent_after="50ms",
                                    wait_for_site="50ms")
    client = workspace.connect()
    assert client.read_to_end() == b""
    assert_line(proxyd, client, protocol="silent", verdict="rejected", reason="site_absent")


def test_silent_clients_cost_little(workspace, sites):
    inboxes, proxyd = sites("@silent", silent_after="50ms")
    for _ in range(20):
        workspace.connect()
    for _ in range(20):
        inboxes["@silent"].receive()
    assert proxyd.stop()["wakeups"] <= 20 * 3 + 10


@pytest.mark.parametrize("first", [b"\0\0\0\0", b"<stream:stream>", b"*1\r\n$4\r\nPING\r\n", b"EHLO\r\n"])
def test_bytes_that_nobody_knows_go_to_other(workspace, sites, first):
    inboxes, proxyd = sites("@other", "*")
    client = workspace.connect(first)
    handoff = inboxes["@other"].receive()
    assert handoff.read(len(first)) == first
    assert_line(proxyd, client, protocol="other", name="-", route="@other", reason="protocol_class")


def test_the_default_takes_only_protocols_with_names(workspace, sites):
    inboxes, proxyd = sites("*", hello_timeout="100ms")
    ssh, other, silent = workspace.connect(b"SSH-2.0-x\r\n"), workspace.connect(b"\0\0"), workspace.connect()
    for client in (ssh, other, silent):
        client.read_to_end()
    assert_line(proxyd, ssh, protocol="ssh", verdict="rejected", reason="no_route")
    assert_line(proxyd, other, protocol="other", verdict="rejected", reason="protocol_unknown")
    assert_line(proxyd, silent, protocol="-", verdict="timed_out", reason="hello_timeout")
    assert inboxes["*"].is_empty()


def test_four_protocols_on_one_port(workspace):
    routes = {NginxHttp2.host: "nginx", "@ssh": "sshd", "@silent": "smtpd"}
    proxyd = workspace.start_proxyd(routes={key: str(workspace.site(site)) for key, site in routes.items()},
                                    silent_after="200ms")
    nginx, sshd, smtpd = NginxHttp2(workspace), Sshd(workspace), Smtpd(workspace)
    for server in (nginx, sshd, smtpd):
        server.wait_until_ready()
    assert Curl(workspace).request(nginx, "/", "--http2-prior-knowledge").seen()["protocol"] == "HTTP/2.0"
    assert sshd.run(workspace.address, "echo hello").stdout == "hello\n"
    assert send_mail(workspace, workspace.address, "Subject: a mail\n\n").returncode == 0
    banner = subprocess.run(["curl", "-sS", "--max-time", "20", f"telnet://{workspace.address}:{Port}"], input=b"QUIT\r\n",
                            capture_output=True, timeout=30)
    assert banner.returncode == 0
    assert [line["protocol"] for line in proxyd.access_lines()][:3] == ["h2", "ssh", "silent"]
