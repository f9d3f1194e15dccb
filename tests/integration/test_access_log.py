# SPDX-License-Identifier: MIT
"""The access log: one line per session, as text or as JSON, on stderr or in a file."""

import json
import os
import pathlib
import re
import select

import pytest

from support import client_hello
from support.processes import AccessFields, DeadlineSeconds, parse_access_line, run_proxyd
from support.receivers import TlvUniqueId
from support.workspace import Port, wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
Time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def start(workspace, inbox):
    def start(**configuration):
        return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, **configuration)

    return start


def test_all_fields_as_text(workspace, start, inbox):
    proxyd = start()
    client = workspace.connect(client_hello.captured(Name, alpn=["h2", "http/1.1"]))
    handoff = inbox.receive()
    line = proxyd.access_line()
    assert Time.fullmatch(line.pop("time"))
    assert line.pop("hello_us").isdigit() and line.pop("handoff_us").isdigit()
    assert line == {
        "id": handoff.header.tlvs[TlvUniqueId].decode(),
        "client": client.address_text,
        "listener": f"{workspace.address}:{Port}",
        "protocol": "tls",
        "name": Name,
        "alpn": "h2,http/1.1",
        "route": Name,
        "site": f"{workspace.path}/blog/{Port}.sock",
        "verdict": "handed_over",
        "reason": "exact_name",
    }


def test_nothing_is_a_dash_as_text(workspace, start):
    proxyd = start()
    workspace.connect(b"\r").close()
    line = proxyd.access_line()
    assert {key for key in AccessFields if line[key] == "-"} >= {"protocol", "name", "alpn", "route", "site"}
    assert (line["verdict"], line["reason"]) == ("closed", "client_closed")


def test_all_fields_as_json(workspace, start, inbox):
    proxyd = start(access_log_format="json")
    client = workspace.connect(client_hello.captured(Name, alpn=["h2", "http/1.1"]))
    handoff = inbox.receive()
    line = json.loads(proxyd.wait_for_line(r"^\{.*\}$").string)
    assert list(line) == ["time", *AccessFields]
    assert Time.fullmatch(line.pop("time"))
    assert isinstance(line.pop("hello_us"), int) and isinstance(line.pop("handoff_us"), int)
    assert line == {
        "id": handoff.header.tlvs[TlvUniqueId].decode(),
        "client": client.address_text,
        "listener": f"{workspace.address}:{Port}",
        "protocol": "tls",
        "name": Name,
        "alpn": "h2,http/1.1",
        "route": Name,
        "site": f"{workspace.path}/blog/{Port}.sock",
        "verdict": "handed_over",
        "reason": "exact_name",
    }


def test_nothing_is_null_as_json(workspace, start):
    proxyd = start(access_log_format="json")
    workspace.connect(b"\r").close()
    line = json.loads(proxyd.wait_for_line(r"^\{.*\}$").string)
    assert [line[key] for key in ("protocol", "name", "alpn", "route", "site")] == [None] * 5


def test_bytes_of_the_network_are_escaped_in_json(workspace, start):
    proxyd = start(access_log_format="json")
    evil = b'a"},\n{\x00\xff\\'
    workspace.connect(client_hello.built(client_hello.server_name(evil))).read_to_end()
    line = json.loads(proxyd.wait_for_line(r"^\{.*\}$").string)
    assert line["name"] == r"a\x22\x7d,\x0a\x7b\x00\xff\x5c"


def test_alpn_is_escaped(workspace, start, inbox):
    proxyd = start()
    hello = client_hello.built(client_hello.server_name(Name.encode()),
                               client_hello.alpn(b"h 2\n", b"\xff=\0", b"a,b"))
    client = workspace.connect(hello)
    alpn = proxyd.access_line_of(client)["alpn"]
    assert re.fullmatch(r"[!-~]+", alpn)
    assert alpn.startswith(r"h\x202\x0a,\xff\x3d\x00,a")


def test_long_values_are_cut(workspace, start, inbox):
    proxyd = start()
    client = workspace.connect(client_hello.built(client_hello.server_name(b"\xff" * 9000)))
    client.read_to_end()
    name = proxyd.access_line_of(client)["name"]
    assert name == r"\xff" * 512 + "..."

    client = workspace.connect(client_hello.captured(Name, alpn=[f"protocol-{number:0240}" for number in range(25)]))
    assert len(proxyd.access_line_of(client)["alpn"]) < 2000


def test_one_line_for_each_session(workspace, start, inbox):
    proxyd = start()
    for _ in range(5):
        workspace.connect(Get)
        inbox.receive()
        rejected = workspace.connect(b"GET / HTTP/1.1\r\n\r\n")
        rejected.read_to_end()
        rejected.close()
    counts = proxyd.stop()
    lines = proxyd.access_lines()
    assert len({line["id"] for line in lines}) == len(lines) == 10
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert {key: counts[key] for key in ("sessions", "handed_over", "rejected", "closed", "timed_out")} == \
        {"sessions": 10, "handed_over": 5, "rejected": 5, "closed": 0, "timed_out": 0}


def test_every_line_begins_with_a_time(workspace, start, inbox):
    proxyd = start()
    workspace.connect(Get)
    inbox.receive()
    proxyd.stop()
    assert len(proxyd.lines) >= 3
    assert all(Time.fullmatch(line.split(" ")[0]) for line in proxyd.lines)


def test_a_file_as_access_log_is_appended_to(workspace, start, inbox):
    log = workspace.path / "access.log"
    log.write_text("what was there before\n")
    proxyd = start(access_log=str(log))
    client = workspace.connect(Get)
    inbox.receive()
    wait_until(lambda: log.read_text().count("\n") == 2, "the access line in the file")
    before, line = log.read_text().splitlines()
    assert before == "what was there before"
    assert parse_access_line(line)["client"] == client.address_text
    assert proxyd.access_lines() == []


def test_how_long_it_took(workspace):
    """hello_us ends with the complete hello, handoff_us begins there."""
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, wait_for_site="300ms")
    client = workspace.connect(Get)
    client.read_to_end()
    line = proxyd.access_line_of(client)
    assert int(line["hello_us"]) < 300_000 <= int(line["handoff_us"])


def test_a_reader_of_the_log_that_stalls_stalls_nobody(workspace):
    pipe = workspace.path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    inbox = workspace.inbox("blog")
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, access_log=str(pipe))

    def read_some():
        assert select.select([reader], [], [], DeadlineSeconds)[0]
        return os.read(reader, 1 << 20)

    def serve_one():
        client = workspace.connect(Get)
        inbox.receive().answer(b"done")
        assert client.read_to_end() == b"done"
        client.close()

    for _ in range(700):  # more lines than the pipe and proxyd hold
        serve_one()
    for _ in range(3):  # proxyd goes on where it was when the next client comes
        assert read_some()
        serve_one()
    proxyd.wait_for_line(r"warning access log: \d+ lines lost: its reader did not keep up")
    serve_one()
    assert read_some().endswith(b"\n")
    os.close(reader)


def test_a_named_pipe_without_a_reader_is_refused(workspace):
    pipe = workspace.path / "log"
    os.mkfifo(pipe)
    path = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites), "access_log": str(pipe)}))
    result = run_proxyd("--config", path)
    assert (result.returncode, result.stderr) == (
        1, f"{path}:1: access_log: cannot open {pipe}: No such device or address\n")


def test_the_document_has_every_reason_of_a_malformed_hello():
    root = pathlib.Path(__file__).parents[2]
    sources = "".join((root / name).read_text()
                      for name in ("proxyd/client_hello.cc", "proxyd/http_request_head.cc",
                                   "base/handoff/dns_name.cc"))
    reasons = set(re.findall(r'"((?:tls|http|two|name)_[a-z_]+)"', sources))
    assert len(reasons) > 30
    document = (root / "docs" / "CONFIGURATION.md").read_text()
    assert {reason for reason in reasons if f"`{reason}`" not in document} == set()
