# SPDX-License-Identifier: MIT
"""Names that must not be used: rejected with the reason, escaped in the log, and never a path.

Wherever such a name could lead if it became a path, a live inbox lies in wait.
"""

import os

import pytest

from support import client_hello

Label = b"a" * 63
NameOf253Bytes = b".".join([Label, Label, Label, b"b" * 61])
NameOf254Bytes = b".".join([Label, Label, Label, b"b" * 62])

# Name, reason, and how the log shows it.
Forbidden = {
    "254_bytes": (NameOf254Bytes, "name_too_long", NameOf254Bytes.decode()),
    "a_label_of_64_bytes": (b"a" * 64 + b".org", "name_label_too_long", "a" * 64 + ".org"),
    "nul": (b"blog.example.org\0.evil", "name_has_forbidden_character", r"blog.example.org\x00.evil"),
    "line_feed": (b"blog\nexample.org", "name_has_forbidden_character", r"blog\x0aexample.org"),
    "escape": (b"\x1b[2Jblog.example.org", "name_has_forbidden_character", None),
    "delete": (b"blog\x7f.example.org", "name_has_forbidden_character", r"blog\x7f.example.org"),
    "a_byte_over_127": (b"bl\xf6g.example.org", "name_has_forbidden_character", r"bl\xf6g.example.org"),
    "space": (b"blog example.org", "name_has_forbidden_character", r"blog\x20example.org"),
    "equals_sign": (b"verdict=handed_over", "name_has_forbidden_character", r"verdict\x3dhanded_over"),
    "star": (b"*.example.org", "name_has_forbidden_character", None),
    "slash": (b"blog/example.org", "name_has_forbidden_character", None),
    "absolute_path": (b"/blog.example.org", "name_has_forbidden_character", None),
    "path_upwards": (b"a/../../trap", "name_has_forbidden_character", None),
    "dot_dot": (b"..", "name_has_empty_label", ".."),
    "dot": (b".", "name_empty", "."),
    "leading_dot": (b".blog.example.org", "name_has_empty_label", ".blog.example.org"),
    "two_dots_in_a_row": (b"blog..example.org", "name_has_empty_label", "blog..example.org"),
    "two_trailing_dots": (b"blog.example.org..", "name_has_empty_label", "blog.example.org.."),
    "ipv4_literal": (b"192.0.2.1", "name_is_ip_literal", "192.0.2.1"),
    "ipv4_literal_in_one_number": (b"3221225985", "name_is_ip_literal", "3221225985"),
    "ipv6_literal": (b"2001:db8::1", "name_is_ip_literal", None),
}


@pytest.fixture
def traps(workspace):
    """A live site wherever a name may lead that became a path."""
    inboxes = [workspace.inbox("."), workspace.inbox("trap"), workspace.inbox("sites")]
    (workspace.sites / "a").mkdir()
    for name, _, _ in Forbidden.values():
        if b"\0" not in name and not name.startswith(b"/") and name.strip(b".") and len(name) < 256:
            inboxes.append(workspace.inbox(os.path.join("sites", os.fsdecode(name))))
    return inboxes


@pytest.fixture
def proxyd(workspace, traps):
    return workspace.start_proxyd(sites=str(workspace.sites), routes={"*": str(workspace.site("trap"))})


def assert_log_is_printable(proxyd):
    for line in proxyd.lines:
        assert line.isascii() and line.isprintable(), line


@pytest.mark.parametrize("what", Forbidden)
def test_a_forbidden_name_in_a_client_hello(workspace, proxyd, traps, what):
    name, reason, logged = Forbidden[what]
    client = workspace.connect(client_hello.built(client_hello.server_name(name)))
    assert client_hello.is_fatal_alert(client.read_to_end(), client_hello.AlertDecodeError)
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"], line["reason"]) == ("tls", "rejected", reason)
    assert (line["route"], line["site"]) == ("-", "-")
    if logged:
        assert line["name"] == logged
    assert all(trap.is_empty() for trap in traps)
    assert_log_is_printable(proxyd)


@pytest.mark.parametrize("what", [what for what in Forbidden if what not in ("nul", "line_feed", "escape", "delete")])
def test_a_forbidden_name_as_host(workspace, proxyd, traps, what):
    name, reason, logged = Forbidden[what]
    if what == "ipv6_literal":
        name = b"[" + name + b"]"
    client = workspace.connect(b"GET / HTTP/1.1\r\nHost: " + name + b"\r\n\r\n")
    assert client.read_to_end().startswith(b"HTTP/1.1 400 ")
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"]) == ("http", "rejected")
    assert line["reason"] in (reason, "http_host_malformed")
    if logged:
        assert line["name"] == logged
    assert all(trap.is_empty() for trap in traps)
    assert_log_is_printable(proxyd)


@pytest.mark.parametrize("byte", [0, 1, 7, 8, 11, 12, 27, 127])
def test_a_control_byte_in_host(workspace, proxyd, traps, byte):
    client = workspace.connect(b"GET / HTTP/1.1\r\nHost: blog" + bytes([byte]) + b".example.org\r\n\r\n")
    assert client.read_to_end().startswith(b"HTTP/1.1 400 ")
    assert proxyd.access_line_of(client)["reason"] == "http_control_byte"
    assert all(trap.is_empty() for trap in traps)
    assert_log_is_printable(proxyd)


@pytest.mark.parametrize("kind", ["tls", "http"])
def test_a_name_of_253_bytes_is_a_site(workspace, proxyd, traps, kind):
    name = NameOf253Bytes
    inbox = workspace.inbox(os.path.join("sites", name.decode()))
    hello = {"tls": client_hello.built(client_hello.server_name(name + b".")),
             "http": b"GET / HTTP/1.1\r\nHost: " + name + b".\r\n\r\n"}[kind]
    client = workspace.connect(hello)
    handoff = inbox.receive()
    assert handoff.read(len(hello)) == hello
    assert handoff.name == name
    line = proxyd.access_line_of(client)
    assert (line["name"], line["route"]) == (name.decode(), "sites/" + name.decode())


def test_two_names_in_a_client_hello(workspace, proxyd, traps):
    client = workspace.connect(client_hello.built(client_hello.server_name(b"a.example.org", b"b.example.org")))
    assert client_hello.is_fatal_alert(client.read_to_end(), client_hello.AlertDecodeError)
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("rejected", "two_names")
    assert all(trap.is_empty() for trap in traps)


def test_an_empty_name_in_a_client_hello(workspace, proxyd, traps):
    client = workspace.connect(client_hello.built(client_hello.server_name(b"")))
    assert client_hello.is_fatal_alert(client.read_to_end(), client_hello.AlertDecodeError)
    assert proxyd.access_line_of(client)["reason"] == "name_empty"
    assert all(trap.is_empty() for trap in traps)


def test_an_underscore_and_digits_are_fine(workspace, proxyd):
    name = b"_7.blog-1.example.0rg"
    inbox = workspace.inbox(os.path.join("sites", name.decode()))
    workspace.connect(client_hello.built(client_hello.server_name(name)))
    assert inbox.receive().name == name
