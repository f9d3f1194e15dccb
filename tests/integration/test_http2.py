# SPDX-License-Identifier: MIT
"""HTTP/2 with prior knowledge: curl, nghttp and h2load through proxyd to nginx, and what refused clients are told."""

import pathlib
import shutil
import struct
import subprocess

import pytest

from support.http_clients import Curl
from support.protocol_servers import NginxHttp2
from support.workspace import Port

Name = "blog.example.org"
Corpus = pathlib.Path(__file__).parents[1] / "corpus" / "http2_request_head"
CurlGet = (Corpus / "curl_get.bin").read_bytes()
Preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Data, Headers, Settings, GoAway = 0, 1, 4, 7
Status = {b"421": b"\x08\x03421", b"400": b"\x08\x03400", b"403": b"\x08\x03403", b"408": b"\x08\x03408", b"503": b"\x08\x03503"}


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def proxyd(workspace, inbox):
    return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))})


def frame(kind, flags, stream, payload):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def request(name, stream=1):
    block = b"\x82\x86\x84\x01" + bytes([len(name)]) + name.encode()
    return Preface + frame(Settings, 0, 0, b"") + frame(Headers, 5, stream, block)


def frames_of(data):
    """[(type, flags, stream, payload)]"""
    frames = []
    while data:
        size = int.from_bytes(data[:3], "big")
        kind, flags, stream = struct.unpack("!BBI", data[3:9])
        assert len(data) >= 9 + size
        frames.append((kind, flags, stream, data[9:9 + size]))
        data = data[9 + size:]
    return frames


def assert_answered(answer, status, stream):
    frames = frames_of(answer)
    assert [(kind, flags, stream) for kind, flags, stream, _ in frames] == [
        (Settings, 0, 0), (Settings, 1, 0), (Headers, 4, stream), (Data, 1, stream), (GoAway, 0, 0)]
    assert frames[2][3].startswith(Status[status])
    assert frames[3][3].startswith(b"proxyd: ") and frames[3][3].endswith(b"\n")
    assert frames[4][3] == struct.pack("!II", stream, 0)


def assert_line(proxyd, client, **expected):
    line = proxyd.access_line_of(client)
    assert {key: line[key] for key in expected} == expected


@pytest.mark.parametrize("path", sorted(Corpus.glob("*.bin")), ids=lambda path: path.stem)
def test_what_clients_send_is_routed_by_authority(workspace, proxyd, inbox, path):
    data = path.read_bytes()
    client = workspace.connect(data)
    if path.stem == "curl_ipv4_host":
        assert_answered(client.read_to_end(), b"400", 1)
        assert_line(proxyd, client, protocol="h2", name="127.0.0.1", verdict="rejected", reason="name_is_ip_literal")
        return
    handoff = inbox.receive()
    assert handoff.client == client.address
    assert handoff.read(len(data)) == data
    assert handoff.name == Name.encode()
    assert_line(proxyd, client, protocol="h2", name=Name, verdict="handed_over", reason="exact_name")


def test_in_segments_of_one_byte(workspace, proxyd, inbox):
    client = workspace.connect()
    client.send_bytewise(CurlGet)
    handoff = inbox.receive()
    assert handoff.read(len(CurlGet)) == CurlGet
    assert handoff.receive_low_water == 1


def test_a_request_byte_by_byte_costs_two_wakeups_for_each_frame(workspace, proxyd, inbox):
    """A frame's header says how much is still to come, and proxyd sleeps until then; the preface has no header."""
    data = (Corpus / "nghttp_get.bin").read_bytes()
    client = workspace.connect()
    client.send_bytewise(data)
    inbox.receive()
    line_bytes = len("PRI * HTTP/2.0\r\n")
    assert proxyd.stop()["wakeups"] <= line_bytes + 2 * len(frames_of(data[len(Preface):])) + 10


def test_the_class_http_covers_it_and_so_does_the_default(workspace):
    for site in ("http", "default"):
        workspace.inbox(site)
    proxyd = workspace.start_proxyd(routes={"@http": str(workspace.site("http"))})
    client = workspace.connect(CurlGet)
    assert_line(proxyd, client, protocol="h2", route="@http", reason="protocol_class")
    proxyd.stop()
    proxyd = workspace.start_proxyd(routes={"*": str(workspace.site("default"))})
    client = workspace.connect(CurlGet)
    assert_line(proxyd, client, protocol="h2", route="*", reason="default")


def test_curl_and_nginx(workspace):
    proxyd = workspace.start_proxyd(routes={NginxHttp2.host: str(workspace.site("nginx"))})
    server = NginxHttp2(workspace)
    curl = Curl(workspace, source="127.0.0.11")
    answer = curl.request(server, "/", "--http2-prior-knowledge")
    seen = answer.seen()
    assert (seen["client"], seen["protocol"]) == (answer.client, "HTTP/2.0")
    assert proxyd.access_line()["protocol"] == "h2"


def test_nghttp_and_h2load_and_nginx(workspace):
    if not shutil.which("nghttp"):
        pytest.skip("nghttp is not installed")
    proxyd = workspace.start_proxyd(routes={NginxHttp2.host: str(workspace.site("nginx"))})
    NginxHttp2(workspace).wait_until_ready()
    target = ["-H", f":authority: {NginxHttp2.host}", f"http://{workspace.address}:{Port}/"]
    for option in ["--continuation", "--padding=100", "--no-dep"]:
        result = subprocess.run(["nghttp", option, *target], capture_output=True, text=True, timeout=30)
        assert result.stdout.startswith("nginx client 127."), (option, result.stdout, result.stderr)
    result = subprocess.run(["h2load", "-n", "200", "-c", "20", *target], capture_output=True, text=True, timeout=60)
    assert "200 succeeded, 0 failed, 0 errored, 0 timeout" in result.stdout, result.stdout
    assert proxyd.stop()["handed_over"] == 23


def test_curl_shows_why_it_was_refused(workspace, proxyd):
    body = workspace.path / "body"
    body.write_bytes(bytes(300_000))
    for options in ([], ["--data-binary", f"@{body}"]):
        result = subprocess.run(["curl", "-sS", "--max-time", "20", "--http2-prior-knowledge", "-H", "Host: elsewhere.org",
                                 "-w", "%{http_code}", *options, f"http://{workspace.address}:{Port}/"],
                                capture_output=True, text=True, timeout=30)
        assert (result.returncode, result.stdout) == (0, "proxyd: no site has this name (no_route)\n421"), result.stderr


def test_nghttp_shows_why_it_was_refused(workspace, proxyd):
    if not shutil.which("nghttp"):
        pytest.skip("nghttp is not installed")
    result = subprocess.run(["nghttp", "-v", f"http://{workspace.address}:{Port}/"], capture_output=True,
                            text=True, timeout=30)
    assert ":status: 400" in result.stdout
    assert "proxyd: ask for a name, not for an IP address (name_is_ip_literal)\n" in result.stdout
    assert "error_code=NO_ERROR(0x00)" in result.stdout


def test_no_route_gets_421_on_the_requests_stream(workspace, proxyd):
    client = workspace.connect(request("elsewhere.example.org", 13))
    assert_answered(client.read_to_end(), b"421", 13)
    assert_line(proxyd, client, protocol="h2", name="elsewhere.example.org", verdict="rejected", reason="no_route")


def test_who_may_not_come_gets_403(workspace, inbox):
    listener = {"address": f"{workspace.address}:{Port}", "deny": ["127.0.0.0/8"]}
    proxyd = workspace.start_proxyd(listen=[listener], routes={Name: str(workspace.site("blog"))})
    client = workspace.connect(request(Name, 7))
    assert_answered(client.read_to_end(), b"403", 7)
    assert_line(proxyd, client, protocol="h2", verdict="rejected", reason="listener_deny")


def test_a_site_that_does_not_appear_gets_503(workspace):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, wait_for_site="100ms")
    client = workspace.connect(CurlGet)
    assert_answered(client.read_to_end(), b"503", 1)
    assert_line(proxyd, client, reason="site_absent")


def test_a_request_that_does_not_end_gets_408(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_timeout="250ms")
    client = workspace.connect(request(Name, 5)[:-1])
    assert_answered(client.read_to_end(), b"408", 5)
    assert_line(proxyd, client, protocol="h2", verdict="timed_out", reason="hello_timeout")


def test_a_client_that_waits_for_our_settings_is_told_to_go(workspace, inbox):
    """Its request comes only then, so nothing says where it wants to go."""
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_timeout="250ms")
    client = workspace.connect(Preface + frame(Settings, 0, 0, b""))
    (settings, goaway) = frames_of(client.read_to_end())
    assert settings == (Settings, 0, 0, b"")
    assert goaway == (GoAway, 0, 0, struct.pack("!II", 0, 0) +
                      b"proxyd: the request did not come in time (hello_timeout)\n")
    assert_line(proxyd, client, protocol="h2", verdict="timed_out", reason="hello_timeout")


@pytest.mark.parametrize("data, reason", [
    (Preface[:16] + b"Host: blog.example.org\r\n\r\n", "h2_preface"),
    (Preface + frame(Headers, 5, 1, b""), "h2_settings_missing"),
    (Preface + frame(Settings, 0, 0, b"") + frame(Data, 0, 1, b"x"), "h2_frame_before_headers"),
    (Preface + frame(Settings, 0, 0, b"") + frame(Headers, 5, 2, b""), "h2_stream"),
])
def test_a_malformed_beginning_gets_goaway(workspace, proxyd, data, reason):
    client = workspace.connect(data)
    (_, goaway) = frames_of(client.read_to_end())
    assert goaway[3] == struct.pack("!II", 0, 1) + b"proxyd: this request can't be understood (%s)\n" % reason.encode()
    assert_line(proxyd, client, protocol="h2", name="-", verdict="rejected", reason=reason)


def test_a_malformed_request_gets_400(workspace, proxyd):
    client = workspace.connect(request(Name, 3).replace(b"\x84\x01", b"\x84\x84"))
    assert_answered(client.read_to_end(), b"400", 3)
    assert_line(proxyd, client, reason="h2_pseudo_header")


def test_a_request_of_exactly_the_limit_and_one_byte_more(workspace, inbox):
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, hello_bytes_max=512)
    plain = request(Name)
    filler = frame(0xee, 0, 0, bytes(512 - len(plain) - 9))
    start = plain[:33]
    client = workspace.connect(start + filler + plain[33:])
    assert inbox.receive().client == client.address
    longer = frame(0xee, 0, 0, bytes(512 - len(plain) - 8))
    client = workspace.connect(start + longer + plain[33:])
    assert_answered(client.read_to_end(), b"400", 1)
    assert_line(proxyd, client, reason="hello_bytes_max")
