# SPDX-License-Identifier: MIT
"""Real servers behind proxyd's routes to TCP servers, and their own clients: each protocol works as if nothing were
between. For what becomes of clients when servers don't, see test_tcpshim_troubles.py."""

import asyncio
import hashlib
import http.client
import ssl
import subprocess

import pytest
import websockets

from support.protocol_servers import send_mail
from support.processes import DeadlineSeconds
from support.relay_ends import random_bytes
from support.servers import certificate_of_servers
from support.tcp_backends import Haproxy, Mariadb, Postgresql, Redis, Smtpd, Sshd, TcpRoutes, WebSocketServer
from support.tcp_servers import TcpNginx
from support.workspace import Port, own_loopback_address

PlainPort = 8080
Name, Other = "nginx.example.org", "node.example.org"  # the certificate's names
MiB = 1 << 20


def tls(workspace, **settings):
    context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
    for key, value in settings.items():
        setattr(context, key, value)
    return context


def tls_client(workspace, context, name=Name, session=None):
    client = context.wrap_socket(workspace.connect().socket, server_hostname=name, session=session)
    return workspace.close_at_end(client)


def get(client, connection="keep-alive"):
    """The body of nginx's short answer; the client stays."""
    client.sendall(f"GET / HTTP/1.1\r\nHost: {Name}\r\nConnection: {connection}\r\n\r\n".encode())
    response = http.client.HTTPResponse(client)
    response.begin()
    assert response.status == 200
    return response.read()


def test_http_stays_alive_over_one_relay(workspace):
    server = TcpNginx(workspace, "first", Port, PlainPort)
    routes = TcpRoutes(workspace, {Name: f"tcp://{server.address}"}, (Port, PlainPort))
    client = tls_client(workspace, tls(workspace))
    plain = workspace.connect(port=PlainPort)
    for _ in range(5):
        assert get(client) == get(plain.socket) == b"first\n"
    client.close()
    plain.close()
    server.seen(rf".* name={Name} .* connection=5 GET / HTTP/1.1 200")
    server.seen(r".* name=- .* connection=5 GET / HTTP/1.1 200")
    for port in (Port, PlainPort):
        line = routes.line(port=str(port), attempts="1", ending="client_closed")
        assert (line["backend"], line["name"]) == (server.address, Name)


def test_many_requests_of_one_http2_client(workspace):
    server = TcpNginx(workspace, "first", Port, PlainPort)
    routes = TcpRoutes(workspace, {Name: f"tcp://{server.where()}"})
    url = f"https://{Name}:{Port}/"
    result = subprocess.run(["curl", "-sS", "--no-progress-meter", "--http2", "--parallel", "--cacert",
                             certificate_of_servers(workspace)[0], "--resolve", f"{Name}:{Port}:{workspace.address}", f"{url}[1-20]"],
                            capture_output=True, text=True, timeout=DeadlineSeconds)
    assert (result.stdout, result.stderr) == ("first\n" * 20, "")
    server.seen(r".* GET /\d+ HTTP/2.0 200")
    assert routes.edge_line()["alpn"].startswith("h2")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tls_session_is_resumed(workspace, version):
    server = TcpNginx(workspace, "first", Port, PlainPort)
    TcpRoutes(workspace, {Name: f"tcp://{server.where()}"})
    context = tls(workspace, minimum_version=version, maximum_version=version)
    first = tls_client(workspace, context)
    assert get(first) == b"first\n"
    second = tls_client(workspace, context, session=first.session)
    assert get(second) == b"first\n"
    assert (first.session_reused, second.session_reused) == (False, True)
    server.seen(r".* reused=r connection=1 GET / HTTP/1.1 200")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_websocket(workspace, scheme):
    """By TLS it ends in nginx, which has it from the server."""
    server = WebSocketServer(workspace)
    nginx = TcpNginx(workspace, "first", Port, PlainPort, more=server.location())
    routes = TcpRoutes(workspace, {Name: f"tcp://{nginx.where() if scheme == 'wss' else server.where}"})

    async def talk():
        options = {"ssl": tls(workspace), "server_hostname": Name} if scheme == "wss" else {}
        async with websockets.connect(f"{scheme}://{Name}:{Port}/socket", host=workspace.address, port=Port,
                                      max_size=1 << 24, **options) as connection:
            for size in (0, 1, 125, 126, 65536, 2 * MiB):
                message = random_bytes(size, size)
                await connection.send(message)
                assert await connection.recv() == message
            await connection.send("text")
            assert await connection.recv() == "txet"
            await asyncio.wait_for(await connection.ping(), DeadlineSeconds)

    asyncio.run(asyncio.wait_for(talk(), 2 * DeadlineSeconds))
    line = routes.line(attempts="1")
    assert int(line["to_backend"]) > 2 * MiB < int(line["to_client"])


def test_ssh(workspace):
    server = Sshd(workspace)
    routes = TcpRoutes(workspace, {"@ssh": f"tcp://{server.where}"})
    assert server.run(workspace.address, "echo hello; exit 0") == b"hello\n"
    data = random_bytes(8 * MiB, 1)
    assert server.run(workspace.address, "sha256sum", data).split()[0].decode() == hashlib.sha256(data).hexdigest()
    (workspace.path / "file").write_bytes(data)
    assert server.run(workspace.address, f"cat {workspace.path}/file") == data
    assert routes.edge_line()["protocol"] == "ssh"
    assert routes.line()["backend"] == server.where


def test_a_database_by_tls(workspace):
    server = Postgresql(workspace)
    routes = TcpRoutes(workspace, {"@other": f"tcp://{server.where}"})
    text = server.query(workspace.address, "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()",
                        "create table numbers as select generate_series(1, 200000) as number",
                        "select sum(number) from numbers", "select number from numbers order by number desc")
    encryption, total, *numbers = text.splitlines()
    assert (encryption, total) == ("t|TLSv1.3", "20000100000")
    assert numbers == [str(number) for number in range(200_000, 0, -1)]
    assert routes.edge_line()["protocol"] == "other"
    assert routes.line()["backend"] == server.where


def test_databases_at_listeners_of_their_own(workspace):
    """Without a name or a protocol to go by: each has a port."""
    mariadb, redis = Mariadb(workspace), Redis(workspace)
    routes = TcpRoutes(workspace, {}, listen=[
        {"address": f"{workspace.address}:3306", "site": f"tcp://{mariadb.where}"},
        {"address": f"{workspace.address}:6379", "site": {"tcp": [redis.where], "balance": "least_connections"}}])
    large = random_bytes(2 * MiB, 1).hex()
    text = mariadb.query(workspace.address, 3306, f"""
        show status like 'ssl_version'; select md5('{large}');
        create database things; use things; create table numbers as select seq from seq_1_to_200000;
        select sum(seq) from numbers; select seq from numbers order by seq desc;""")
    encryption, digest, total, *numbers = text.splitlines()
    assert (encryption, digest, total) == (
        "Ssl_version\tTLSv1.3", hashlib.md5(large.encode()).hexdigest(), "20000100000")
    assert numbers == [str(number) for number in range(200_000, 0, -1)]

    commands = "".join(f"SET key{number} {number}\r\n" for number in range(100_000)).encode()
    assert redis.run(workspace.address, 6379, "--pipe", given=commands).endswith(b"errors: 0, replies: 100000\n")
    data = random_bytes(8 * MiB, 2)
    redis.run(workspace.address, 6379, "-x", "SET", "large", given=data)
    assert redis.run(workspace.address, 6379, "GET", "large").removesuffix(b"\n") == data
    assert redis.run(workspace.address, 6379, "DBSIZE") == b"100001\n"
    assert routes.line(site=f"{workspace.address}:3306")["backend"] == mariadb.where
    assert routes.line(site=f"{workspace.address}:6379")["backend"] == redis.where
    assert {routes.edge_line(index)["reason"] for index in range(5)} == {"listener_site"}


def test_ssh_at_a_listener_of_its_own(workspace):
    server = Sshd(workspace)
    routes = TcpRoutes(workspace, {}, listen=[{"address": f"{workspace.address}:{Port}", "site": f"tcp://{server.where}"}])
    assert server.run(workspace.address, "echo hello; exit 0") == b"hello\n"
    assert routes.line()["backend"] == server.where


def test_mail_to_a_server_that_speaks_first(workspace):
    server = Smtpd(workspace)
    routes = TcpRoutes(workspace, {"@silent": f"tcp://{server.where}"}, silent_after="100ms")
    plain = send_mail(workspace, workspace.address, "Subject: one\n\nin the clear\n")
    assert plain.returncode == 0, plain.stderr
    [mail] = server.mails(1)
    assert "in the clear" in mail
    by_tls = subprocess.run(
        ["curl", "-sS", "--ssl-reqd", "--cacert", server.certificate, "--resolve", f"{Name}:{Port}:{workspace.address}",
         f"smtp://{Name}:{Port}", "--mail-from", "a@example.org", "--mail-rcpt", "b@example.org", "-T",
         workspace.path / "mail.txt"], capture_output=True, text=True, timeout=DeadlineSeconds)
    assert by_tls.returncode == 0, by_tls.stderr
    server.mails(2)
    assert routes.edge_line()["protocol"] == "silent"
    assert routes.line()["backend"] == routes.line(1)["backend"] == server.where


@pytest.mark.parametrize("version", [1, 2])
def test_nginx_is_told_who_the_client_is(workspace, version):
    server = TcpNginx(workspace, "first", Port, PlainPort, listen_options="proxy_protocol")
    TcpRoutes(workspace, {Name: {"tcp": server.where(), "proxy_protocol": version}})
    client = tls_client(workspace, tls(workspace))
    host, port = client.getsockname()
    assert get(client) == b"first\n"
    server.seen(rf".* by={host}:{port} name={Name} .* GET / HTTP/1.1 200")


@pytest.mark.parametrize("version", [1, 2])
def test_haproxy_is_told_who_the_client_is(workspace, version):
    server = Haproxy(workspace)
    routes = TcpRoutes(workspace, {Name: {"tcp": [server.where], "proxy_protocol": version}})
    source = own_loopback_address()
    client = workspace.connect(f"GET / HTTP/1.0\r\nHost: {Name}\r\n\r\n".encode(), source=source)
    assert client.read_to_end().endswith(b"haproxy")
    # Version 1 has no room for more than addresses.
    known = {"1": "name - id -", "2": f"name {Name} id {routes.edge_line()['id']}"}[str(version)]
    server.child.wait_for_line(f"^seen {client.address_text} at {workspace.address}:{Port} {known} 200$")
