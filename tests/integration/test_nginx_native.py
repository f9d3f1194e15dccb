# SPDX-License-Identifier: MIT
"""nginx that receives handoffs by itself, behind proxyd: patched, and with the module. What its clients get."""

import hashlib
import os
import re
import socket
import ssl

import pytest

from nginx_native_support import (EitherWay, EitherWayOfHttp, EveryFlavour, EveryPatched, Get, LoadCount, Source,
                                  assert_all_served, curl, load_of, start)
from support.http_clients import Curl
from support.native_nginx import HttpPort, PlainPort
from support.processes import DeadlineSeconds
from support.servers import certificate_of_servers, files_directory, reserve_port
from support.workspace import Port, wait_until

BigBytes = 8 << 20
StreamPort, PassPort, MailPort = 8444, 8446, 8025


def handoff_of(answer):
    return dict(zip(("name", "id", "stated", "stated_port", "reused", "pid"), answer.text.strip().split("|")))


@EveryFlavour
def test_it_sees_the_real_client_and_what_proxyd_knows(workspace, start, curl, flavour):
    nginx = start(flavour)
    for port, version in ((Port, "--http1.1"), (Port, "--http2"), (HttpPort, "--http1.1")):
        curl.port = port
        nginx.scheme = "https" if port == Port else "http"
        answer = curl.request(nginx, "/", version)
        seen = answer.seen()
        assert seen["client"] == answer.client and seen["client"].split()[0] == Source
        assert seen["local"] == f"{workspace.address} {port}"
        assert seen["protocol"] == ("HTTP/2.0" if version == "--http2" else "HTTP/1.1")
        for answer in curl.requests(nginx, ["/handoff"] * 2, version):
            assert handoff_of(answer)["name"] == nginx.host
    answer = curl.request(nginx, "/handoff")
    handoff, line = handoff_of(answer), start.proxyd.access_line(6)
    assert (handoff["name"], handoff["id"]) == (nginx.host, line["id"])
    assert f"{handoff['stated']} {handoff['stated_port']}" == answer.client
    wait_until(lambda: f'{Source} "GET /handoff HTTP/1.1" 200 "{nginx.host}" "{line["id"]}"'
               in nginx.access_log.read_text(), "the access log's line")


@EveryFlavour
def test_ipv6(workspace, start, flavour):
    port = reserve_port(workspace)
    listen = flavour.listen(workspace.site("nginx") / f"{port}.sock", "ssl")
    listeners = [f"{workspace.address}:{Port}", f"{workspace.address}:{HttpPort}", f"[::1]:{port}"]
    nginx = start(flavour, listeners, server=f"""}} server {{
        {listen}
        return 200 "nginx client $remote_addr $remote_port local $server_addr $server_port protocol - request 1\\n"; """)
    answer = Curl(workspace, port=port, address="::1").request(nginx)
    assert answer.seen()["client"] == answer.client and answer.seen()["local"] == f"::1 {port}"


@EveryFlavour
def test_the_same_server_also_listens_to_tcp(workspace, start, flavour):
    nginx = start(flavour)
    answer = Curl(workspace, port=PlainPort, source=Source).request(nginx)
    assert answer.seen()["client"] == answer.client
    assert answer.seen()["local"] == f"{workspace.address} {PlainPort}"
    handoff = handoff_of(Curl(workspace, port=PlainPort).request(nginx, "/handoff"))
    assert (handoff["name"], handoff["id"], handoff["stated"]) == ("", "", "")


@EitherWay
@EveryFlavour
def test_files_uploads_and_keep_alive(workspace, start, curl, flavour, port):
    nginx = start(flavour)
    curl.port = port
    body = files_directory(workspace) / "big"
    body.write_bytes(os.urandom(BigBytes))
    expected = hashlib.sha256(body.read_bytes()).hexdigest()
    for version in ("--http1.1", "--http2"):
        received = workspace.path / "received"
        assert curl.run(nginx, version, "-o", received, curl.url(nginx, "/files/big")).returncode == 0
        assert hashlib.sha256(received.read_bytes()).hexdigest() == expected
        assert curl.request(nginx, f"/uploads/{version}", version, "-T", body).status == 201
        assert hashlib.sha256((nginx.uploads / version).read_bytes()).hexdigest() == expected
        answers = curl.requests(nginx, ["/"] * 5, version)
        assert [answer.connections for answer in answers] == [1, 0, 0, 0, 0]
        assert [answer.seen()["request"] for answer in answers] == ["1", "2", "3", "4", "5"]


@EitherWay
@EveryFlavour
def test_tls_sessions_are_resumed(workspace, start, flavour, port):
    nginx = start(flavour)
    context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose tickets come with the handshake
    session = None
    for is_reused in (False, True):
        with socket.create_connection((workspace.address, port), DeadlineSeconds) as connection, \
                context.wrap_socket(connection, server_hostname=nginx.host, session=session) as client:
            client.sendall(Get)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert client.session_reused == is_reused
            session = client.session


@EitherWay
@EveryFlavour
def test_web_sockets_are_proxied(workspace, start, flavour, port):
    """Both ways through an upgraded connection, as large as it takes to fill buffers."""
    upstream = workspace.close_at_end(socket.create_server(("127.0.0.1", 0)))
    upstream.settimeout(DeadlineSeconds)
    nginx = start(flavour, server=f"""location /socket {{
        proxy_pass http://127.0.0.1:{upstream.getsockname()[1]};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_set_header Client $remote_addr:$remote_port;
    }}""")
    context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
    with socket.create_connection((workspace.address, port), DeadlineSeconds) as connection, \
            context.wrap_socket(connection, server_hostname=nginx.host) as client:
        client.sendall(f"GET /socket HTTP/1.1\r\nHost: {nginx.host}\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\n\r\n".encode())
        server, _ = upstream.accept()
        with server:
            server.settimeout(DeadlineSeconds)
            assert "Client: %s:%d\r\n" % client.getsockname() in server.recv(65536).decode()
            server.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
            for sender, receiver in ((client, server), (server, client)):
                data = os.urandom(1 << 16)
                sender.sendall(data)
                received = b""
                while len(received) < len(data):
                    part = receiver.recv(65536)
                    assert part
                    received += part
                assert received == data


@EveryFlavour
def test_stated_addresses_are_for_realip(workspace, start, flavour):
    """A load balancer in front of proxyd names a client; $remote_addr is its own until it's trusted."""
    trusted = f"set_real_ip_from {Source}; real_ip_header proxy_protocol;"
    listener = {"address": f"{workspace.address}:{HttpPort}", "proxy_protocol": True}
    nginx = start(flavour, [f"{workspace.address}:{Port}", listener], http=trusted)
    header = f"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n".encode()
    for source, expected in ((Source, "192.0.2.1 1024"), ("127.0.0.12", None)):
        client = workspace.connect(header + Get, port=HttpPort, source=source)
        seen = re.search(rb"client (\S+ \d+) local (\S+ \d+)", client.read_to_end())
        assert seen[1].decode() == (expected or "%s %d" % client.address[:2])
        assert seen[2].decode() == f"{workspace.address} {HttpPort}"


@EitherWayOfHttp
@EveryFlavour
@pytest.mark.parametrize("events", ["", "accept_mutex on;", "multi_accept on;"])
def test_clients_at_once(workspace, start, flavour, events, port):
    start(flavour, events=events)
    assert_all_served(load_of(workspace, port=port, count=LoadCount, seconds=10 * DeadlineSeconds).result(), LoadCount)


@EveryPatched
def test_stream(workspace, start, flavour):
    upstream = workspace.close_at_end(socket.create_server(("127.0.0.1", 0)))
    upstream.settimeout(DeadlineSeconds)
    site, certificate = workspace.site("nginx"), certificate_of_servers(workspace)
    stream = f"""stream {{
        ssl_certificate {certificate[0]};
        ssl_certificate_key {certificate[1]};
        server {{
            {flavour.listen(site / f"{StreamPort}.sock", "ssl")}
            return "$remote_addr $remote_port $server_addr $server_port $handoff_name $protocol\\n";
        }}
        server {{
            {flavour.listen(site / f"{PassPort}.sock")}
            proxy_protocol on;
            proxy_pass 127.0.0.1:{upstream.getsockname()[1]};
        }}
    }}"""
    nginx = start(flavour, [f"{workspace.address}:{port}" for port in (Port, HttpPort, StreamPort, PassPort)],
                  stream=stream, modules=["ngx_stream_module.so"])
    context = ssl.create_default_context(cafile=certificate[0])
    with socket.create_connection((workspace.address, StreamPort), DeadlineSeconds, (Source, 0)) as connection, \
            context.wrap_socket(connection, server_hostname=nginx.host) as client, client.makefile("r") as answer:
        expected = f"{Source} {client.getsockname()[1]} {workspace.address} {StreamPort} {nginx.host} TCP\n"
        assert answer.readline() == expected
    client = workspace.connect(Get, port=PassPort, source=Source)
    server, _ = upstream.accept()
    with server:
        server.settimeout(DeadlineSeconds)
        expected = f"PROXY TCP4 {Source} {workspace.address} {client.address[1]} {PassPort}\r\n".encode() + Get
        received = b""
        while len(received) < len(expected):
            received += server.recv(65536)
        assert received == expected
        server.sendall(b"answer")
    assert client.read_to_end() == b"answer"


@EveryPatched
def test_stated_addresses_are_for_realip_in_stream_and_mail_too(workspace, start, flavour):
    authority = workspace.close_at_end(socket.create_server(("127.0.0.1", 0)))
    authority.settimeout(DeadlineSeconds)
    site = workspace.site("nginx")
    blocks = f"""stream {{
        set_real_ip_from {Source};
        server {{ {flavour.listen(site / f"{StreamPort}.sock")} return "$remote_addr $remote_port $realip_remote_addr\n"; }}
    }}
    mail {{
        set_real_ip_from {Source};
        auth_http 127.0.0.1:{authority.getsockname()[1]};
        server {{ {flavour.listen(site / f"{MailPort}.sock")} protocol smtp; smtp_auth none; }}
    }}"""
    listeners = [{"address": f"{workspace.address}:{port}", "proxy_protocol": True, "site": str(site)}
                 for port in (StreamPort, MailPort)]
    start(flavour, [*(f"{workspace.address}:{port}" for port in (Port, HttpPort)), *listeners], stream=blocks,
          modules=["ngx_stream_module.so", "ngx_mail_module.so"])
    header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 25\r\n"
    for source, expected in ((Source, "192.0.2.1"), ("127.0.0.12", "127.0.0.12")):
        client = workspace.connect(header, port=StreamPort, source=source)
        port = 1024 if source == Source else client.address[1]
        assert client.read_to_end() == f"{expected} {port} {source}\n".encode()
        client = workspace.connect(header, port=MailPort, source=source)
        client.read(4)
        client.send(b"HELO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n")
        server, _ = authority.accept()
        with server:
            assert f"Client-IP: {expected}\r\n".encode() in server.recv(65536)


@EveryPatched
def test_mail(workspace, start, flavour):
    """nginx speaks first: proxyd hands over at accept. Whom it serves, another server tells it."""
    authority = workspace.close_at_end(socket.create_server(("127.0.0.1", 0)))
    authority.settimeout(DeadlineSeconds)
    site = workspace.site("nginx")
    mail = f"""mail {{
        auth_http 127.0.0.1:{authority.getsockname()[1]};
        server_name mail.example.org;
        server {{ {flavour.listen(site / f"{MailPort}.sock")} protocol smtp; smtp_auth none; }}
    }}"""
    listeners = [f"{workspace.address}:{port}" for port in (Port, HttpPort)]
    start(flavour, [*listeners, {"address": f"{workspace.address}:{MailPort}", "site": str(site)}],
          stream=mail, modules=["ngx_mail_module.so"])
    with socket.create_connection((workspace.address, MailPort), DeadlineSeconds, (Source, 0)) as client, \
            client.makefile("r") as answer:
        assert answer.readline() == "220 mail.example.org ESMTP ready\n"
        for command, code in (("HELO x", "250"), ("MAIL FROM:<a@x>", "250")):
            client.sendall(f"{command}\r\n".encode())
            assert answer.readline().startswith(code)
        client.sendall(b"RCPT TO:<b@x>\r\n")
        server, _ = authority.accept()
        with server:
            asked = server.recv(65536)
            assert f"Client-IP: {Source}\r\n".encode() in asked
            server.sendall(b"HTTP/1.0 200 OK\r\nAuth-Status: none today\r\n\r\n")
        assert "none today" in answer.readline()
