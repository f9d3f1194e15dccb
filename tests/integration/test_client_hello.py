# SPDX-License-Identifier: MIT
"""TLS ClientHellos, as clients send them and as nobody should."""

import pytest

from support import client_hello

Name = "blog.example.org"
RouteName = Name.encode()


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def proxyd(workspace, inbox):
    """Hands over only what it found the name of."""
    return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_bytes_max=16384)


def assert_handed_over(proxyd, inbox, client, hello):
    handoff = inbox.receive()
    assert handoff.client == client.address
    assert handoff.read(len(hello)) == hello
    assert handoff.name == RouteName
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["name"], line["verdict"]) == ("tls", Name, "handed_over")


def assert_rejected(proxyd, client, reason, description=client_hello.AlertDecodeError):
    """The alert arrives, and behind it EOF, not a reset."""
    answer = client.read_to_end()
    assert client_hello.is_fatal_alert(answer, description), answer
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"], line["reason"]) == ("tls", "rejected", reason)


def test_a_hello_in_one_segment(workspace, proxyd, inbox):
    hello = client_hello.captured(Name)
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_hello_in_segments_of_one_byte(workspace, proxyd, inbox):
    hello = client_hello.captured(Name)
    client = workspace.connect()
    client.send_bytewise(hello)
    assert_handed_over(proxyd, inbox, client, hello)


@pytest.mark.parametrize("fragment_size", [1, 2, 3, 4, 5, 7, 43, 44, 100, 250, 511])
def test_a_hello_over_several_records(workspace, proxyd, inbox, fragment_size):
    handshake = client_hello.handshake_of(client_hello.captured(Name))
    hello = client_hello.in_records(handshake, fragment_size)
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_hello_in_two_records_cut_at_every_byte(workspace, proxyd, inbox):
    handshake = client_hello.handshake(client_hello.server_name(RouteName))
    for cut in range(1, len(handshake)):
        hello = client_hello.record(handshake[:cut]) + client_hello.record(handshake[cut:])
        client = workspace.connect(hello)
        assert inbox.receive().read(len(hello)) == hello
        client.close()


def test_records_and_segments_of_one_byte(workspace, proxyd, inbox):
    hello = client_hello.in_records(client_hello.handshake(client_hello.server_name(RouteName)), 1)
    client = workspace.connect()
    client.send_bytewise(hello)
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_hello_without_a_name_goes_to_the_default(workspace):
    inbox = workspace.inbox("default")
    proxyd = workspace.start_proxyd(routes={"*": str(workspace.site("default"))})
    hello = client_hello.captured(None)
    client = workspace.connect(hello)
    handoff = inbox.receive()
    assert handoff.read(len(hello)) == hello
    assert handoff.name is None
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["name"], line["reason"]) == ("tls", "-", "default")


def test_a_hello_without_extensions_goes_to_the_default(workspace):
    inbox = workspace.inbox("default")
    workspace.start_proxyd(routes={"*": str(workspace.site("default"))})
    hello = client_hello.record(client_hello.handshake_without_extensions())
    workspace.connect(hello)
    assert inbox.receive().read(len(hello)) == hello


def test_part_of_a_hello_is_not_a_hello_without_a_name(workspace):
    """Peers that took it for one let clients past the rules of their name."""
    inbox = workspace.inbox("default")
    proxyd = workspace.start_proxyd(routes={"*": str(workspace.site("default"))}, hello_timeout="250ms")
    hello = client_hello.captured(Name)
    client = workspace.connect(hello[:-1])
    assert client_hello.is_fatal_alert(client.read_to_end(), client_hello.AlertDecodeError)
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("timed_out", "hello_timeout")
    assert inbox.is_empty()


def test_a_post_quantum_key_share(workspace, proxyd, inbox):
    x25519_mlkem768 = b"\x11\xec" + client_hello.vector(2, bytes(1216))
    key_share = client_hello.extension(client_hello.ExtensionKeyShare,
                                       client_hello.vector(2, x25519_mlkem768))
    hello = client_hello.built(key_share, client_hello.server_name(RouteName))
    assert len(hello) > 1300
    client = workspace.connect(hello[:1400 // 2])
    client.send(hello[1400 // 2:])
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_session_ticket_of_several_kilobytes_before_the_name(workspace, proxyd, inbox):
    ticket = client_hello.extension(client_hello.ExtensionSessionTicket, bytes(6000))
    hello = client_hello.built(ticket, client_hello.server_name(RouteName))
    client = workspace.connect()
    for at in range(0, len(hello), 1400):
        client.send(hello[at:at + 1400])
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_real_hello_of_several_kilobytes(workspace, proxyd, inbox):
    hello = client_hello.captured(Name, alpn=[f"protocol-{number:0240}" for number in range(25)])
    assert len(hello) > 6000
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_hello_of_exactly_the_limit(workspace, proxyd, inbox):
    hello = client_hello.built_of_size(16384, client_hello.server_name(RouteName))
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_hello_of_exactly_the_limit_in_two_segments(workspace, proxyd, inbox):
    hello = client_hello.built_of_size(16384, client_hello.server_name(RouteName))
    client = workspace.connect(hello[:1000])
    workspace.connect(client_hello.captured("elsewhere.example.org")).read_to_end()  # the first part was looked at
    client.send(hello[1000:])
    assert_handed_over(proxyd, inbox, client, hello)


def test_a_hello_of_one_byte_over_the_limit(workspace, proxyd):
    client = workspace.connect(client_hello.built_of_size(16385, client_hello.server_name(RouteName)))
    assert_rejected(proxyd, client, "hello_bytes_max")


def test_the_limit_counts_the_headers_of_all_records(workspace, inbox):
    handshake = client_hello.handshake(client_hello.server_name(RouteName), client_hello.padding(300))
    hello = client_hello.in_records(handshake, 20)
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_bytes_max=len(hello))
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)
    longer = client_hello.record(handshake[:1]) + client_hello.in_records(handshake[1:], 20)
    assert len(longer) > len(hello)
    client = workspace.connect(longer)
    assert_rejected(proxyd, client, "hello_bytes_max")


def test_a_hello_of_64_kilobytes_under_the_largest_limit(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_bytes_max=65536)
    handshake = client_hello.handshake(client_hello.server_name(RouteName),
                                       client_hello.padding(32000), client_hello.padding(33000))
    hello = client_hello.in_records(handshake, 16384)
    assert 65000 < len(hello) <= 65536
    client = workspace.connect()
    for at in range(0, len(hello), 9000):
        client.send(hello[at:at + 9000])
    assert_handed_over(proxyd, inbox, client, hello)


@pytest.mark.parametrize("name", [b"Blog.EXAMPLE.org", b"BLOG.EXAMPLE.ORG", b"blog.example.org.", b"Blog.Example.Org."])
def test_a_name_in_upper_case_or_with_a_trailing_dot(workspace, proxyd, inbox, name):
    hello = client_hello.built(client_hello.server_name(name))
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)


def test_grease_is_passed_over(workspace, proxyd, inbox):
    """RFC 8701: values without a meaning in every list."""
    hello = client_hello.built(client_hello.extension(0x0A0A, b""), client_hello.alpn(b"\x1a\x1a", b"h2"),
                               client_hello.server_name(RouteName), client_hello.extension(0xFAFA, b"\0"),
                               ciphers=b"\x2a\x2a\x13\x01")
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)


def test_the_first_protocol_of_alpn_is_told(workspace, proxyd, inbox):
    hello = client_hello.captured(Name, alpn=["h2", "http/1.1"])
    client = workspace.connect(hello)
    assert_handed_over(proxyd, inbox, client, hello)
    assert "h2" in proxyd.access_line_of(client)["alpn"]


Good = client_hello.handshake(client_hello.server_name(RouteName))
ServerName = client_hello.ExtensionServerName

Malformed = {
    "an_alert_record": ("tls_record_not_handshake",
                        client_hello.record(Good[:10]) + client_hello.record(Good[10:], kind=21)),
    "a_record_of_ssl_2": ("tls_record_version", client_hello.record(Good, version=0x0200)),
    "an_empty_record": ("tls_record_empty", client_hello.record(b"") + client_hello.record(Good)),
    "a_record_over_the_limit": ("tls_record_too_long", b"\x16\x03\x01\x40\x01" + Good),
    "a_server_hello": ("tls_not_a_client_hello", client_hello.record(b"\x02" + Good[1:])),
    "bytes_after_the_hello": ("tls_bytes_after_hello", client_hello.record(Good + b"\0")),
    "a_length_that_is_too_short": ("tls_bytes_after_hello",
                                   client_hello.record(Good[:1] + (len(Good) - 5).to_bytes(3, "big") + Good[4:])),
    "a_hello_of_version_2": ("tls_hello_version", client_hello.record(Good[:4] + b"\x02\x00" + Good[6:])),
    "a_hello_that_ends_in_the_random": ("tls_hello_truncated_field",
                                        client_hello.record(b"\x01\0\0\x10" + Good[4:20])),
    "a_session_id_of_33_bytes": ("tls_hello_session_id",
                                 client_hello.built(client_hello.server_name(RouteName), session_id=bytes(33))),
    "an_odd_cipher_list": ("tls_hello_cipher_suites",
                           client_hello.built(client_hello.server_name(RouteName), ciphers=bytes(3))),
    "no_cipher": ("tls_hello_cipher_suites",
                  client_hello.built(client_hello.server_name(RouteName), ciphers=b"")),
    "an_extension_over_the_end": ("tls_extension_truncated",
                                  client_hello.built(b"\x00\x15\x7f\xff" + bytes(20))),
    "server_name_twice": ("tls_extension_twice",
                          client_hello.built(client_hello.server_name(RouteName),
                                             client_hello.server_name(RouteName))),
    "an_empty_server_name": ("tls_server_name", client_hello.built(client_hello.extension(ServerName, b""))),
    "a_server_name_without_entries": ("tls_server_name",
                                      client_hello.built(client_hello.extension(ServerName, b"\0\0"))),
    "a_server_name_over_the_end": ("tls_server_name",
                                   client_hello.built(client_hello.extension(ServerName, b"\0\x06\0\0\x04blo"))),
    "bytes_after_the_server_name": ("tls_server_name",
                                    client_hello.built(client_hello.extension(ServerName, b"\0\x06\0\0\x03blo!"))),
    "a_server_name_of_another_type": ("tls_server_name_without_host",
                                      client_hello.built(client_hello.server_name(RouteName, kind=1))),
    "an_empty_alpn": ("tls_alpn", client_hello.built(client_hello.alpn())),
    "an_empty_protocol": ("tls_alpn", client_hello.built(client_hello.alpn(b"h2", b""))),
}


@pytest.mark.parametrize("what", Malformed)
def test_a_malformed_hello_gets_decode_error(workspace, proxyd, what):
    reason, hello = Malformed[what]
    client = workspace.connect(hello)
    assert_rejected(proxyd, client, reason)


@pytest.mark.parametrize("what", ["server_name_twice", "bytes_after_the_hello", "an_alert_record"])
def test_a_malformed_hello_in_segments_of_one_byte_gets_decode_error(workspace, proxyd, what):
    reason, hello = Malformed[what]
    client = workspace.connect()
    client.send_bytewise(hello)
    assert_rejected(proxyd, client, reason)


def test_a_malformed_hello_with_much_behind_it_still_gets_its_alert(workspace, proxyd):
    _, hello = Malformed["server_name_twice"]
    client = workspace.connect(hello)
    for _ in range(50):
        client.send(bytes(10_000))
    assert_rejected(proxyd, client, "tls_extension_twice")


def test_no_single_changed_byte_does_harm(workspace):
    """Every length is one too large and one too small once."""
    proxyd = workspace.start_proxyd()
    hello = client_hello.built(client_hello.server_name(RouteName))
    for at in range(5, len(hello)):
        for change in (1, 255):
            changed = hello[:at] + bytes([(hello[at] + change) % 256]) + hello[at + 1:]
            client = workspace.connect(changed)
            client.finish_sending()
            client.read_to_end_or_reset()
            client.close()
    assert proxyd.process.poll() is None


@pytest.mark.parametrize("size", [1, 5, 6, 43, 100])
def test_a_client_that_closes_within_its_hello_is_logged(workspace, proxyd, size):
    client = workspace.connect(client_hello.captured(Name)[:size])
    client.finish_sending()
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"], line["reason"]) == ("tls", "closed", "client_closed")


def test_a_client_that_says_nothing_is_timed_out(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_timeout="250ms")
    client = workspace.connect()
    assert client.read_to_end() == b""
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"], line["reason"]) == ("-", "timed_out", "hello_timeout")


def test_a_client_that_resets_within_its_hello_is_logged(workspace, proxyd):
    client = workspace.connect(client_hello.captured(Name)[:100])
    # Whoever comes later is accepted later: now the first one is surely in proxyd's hands.
    workspace.connect(client_hello.captured("elsewhere.example.org")).read_to_end()
    client.reset()
    line = proxyd.access_line_of(client)
    assert (line["verdict"], line["reason"]) == ("closed", "client_reset")


def test_a_name_without_a_route_gets_unrecognized_name(workspace, proxyd):
    client = workspace.connect(client_hello.captured("elsewhere.example.org"))
    assert_rejected(proxyd, client, "no_route", client_hello.AlertUnrecognizedName)
    assert proxyd.access_line_of(client)["name"] == "elsewhere.example.org"


def test_bytes_of_no_known_protocol_are_refused(workspace, proxyd):
    client = workspace.connect(b"\x80\x2e\x01\x00\x02" + bytes(41))
    assert client.read_to_end() == b""
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"], line["reason"]) == ("other", "rejected", "protocol_unknown")
