# SPDX-License-Identifier: MIT
"""The whole way, from clients that others wrote through proxyd to unmodified servers under proxyrun."""

import hashlib
import os
import pathlib
import shutil
import socket
import ssl

import pytest

from preload_support import NOBODY
from support.control import objects
from support.http_clients import Curl, Download, run_tls_client
from support.processes import DeadlineSeconds
from support.servers import (Nginx, Node, Python, PythonModule, both_families, certificate_of_servers, files_directory,
                             reserve_port, start_for_both_families, start_proxyd)
from support.workspace import Port, wait_until_equal

Source = "127.0.0.11"
OtherSource = "127.0.0.12"
BigBytes = 16 << 20

EveryServer = pytest.mark.parametrize("server_type", [Nginx, Node, Python], ids=lambda server: server.kind)
TlsServer = pytest.mark.parametrize("server_type", [Nginx, Node], ids=lambda server: server.kind)


@pytest.fixture
def curl(workspace):
    return Curl(workspace, source=Source)


def assert_sees(answer, workspace, source=Source, port=Port):
    """The server sees the client that curl was, and the address that curl asked."""
    seen = answer.seen()
    assert seen["client"] == answer.client
    assert seen["client"].split()[0] == source
    assert seen["local"] == f"{workspace.address} {port}"


def assert_all_served(result, count):
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().splitlines() == ["200 1"] * count


@EveryServer
def test_a_server_sees_the_real_client(workspace, curl, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    answer = curl.request(server)
    assert_sees(answer, workspace)
    assert answer.seen()["server"] == server.kind
    server.wait_for_request_of(Source, "/")
    assert_sees(Curl(workspace, source=OtherSource).request(server), workspace, OtherSource)
    server.wait_for_request_of(OtherSource, "/")
    line = proxyd.access_line()
    assert line["client"].replace(":", " ") == answer.client
    assert (line["name"], line["verdict"]) == (server.host, "handed_over")


def test_python_http_server_as_it_comes(workspace, curl):
    start_proxyd(workspace)
    server = PythonModule(workspace)
    (files_directory(workspace) / "page").write_text("a page\n")
    assert curl.request(server, "/files/page").text == "a page\n"
    server.wait_for_request_of(Source, "/files/page")


@EveryServer
def test_proxyd_comes_after_the_server(workspace, curl, server_type):
    server = server_type(workspace).wait_until_ready()
    start_proxyd(workspace)
    assert_sees(curl.request(server), workspace)


@EveryServer
def test_keep_alive(workspace, curl, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    answers = curl.requests(server, ["/"] * 5)
    assert [answer.connections for answer in answers] == [1, 0, 0, 0, 0]
    assert [answer.seen()["request"] for answer in answers] == ["1", "2", "3", "4", "5"]
    assert len({answer.seen()["client"] for answer in answers}) == 1
    assert proxyd.stop()["sessions"] == 1


def test_http2(workspace, curl):
    proxyd = start_proxyd(workspace)
    server = Nginx(workspace)
    answer = curl.request(server, "/", "--http2")
    assert answer.seen()["protocol"] == "HTTP/2.0"
    assert_sees(answer, workspace)
    assert proxyd.access_line()["alpn"] == "h2,http/1.1"


@pytest.mark.parametrize("server_type, version", [
    (Nginx, "--http1.1"), (Nginx, "--http2"), (Node, "--http1.1"), (Python, "--http1.1"),
], ids=["nginx", "nginx-http2", "node", "python"])
def test_big_bodies(workspace, curl, server_type, version):
    start_proxyd(workspace)
    server = server_type(workspace)
    body = files_directory(workspace) / "big"
    body.write_bytes(os.urandom(BigBytes))
    expected = hashlib.sha256(body.read_bytes()).hexdigest()
    answer = curl.request(server, "/uploads/big", version, "-T", body)
    assert answer.status in (200, 201)
    assert server.uploaded_digest("big", answer.text) == expected
    received = workspace.path / "received"
    assert curl.run(server, version, "-o", received, curl.url(server, "/files/big")).returncode == 0
    assert hashlib.sha256(received.read_bytes()).hexdigest() == expected


@EveryServer
def test_ipv6(workspace, server_type):
    port = reserve_port(workspace)
    start_proxyd(workspace, listen=both_families(workspace, port))
    server = start_for_both_families(server_type, workspace, port).wait_until_ready()
    answer = Curl(workspace, port=port, address="::1").request(server)
    assert answer.seen()["client"] == answer.client
    assert answer.seen()["local"] == f"::1 {port}"
    answer = Curl(workspace, port=port, source=Source).request(server)
    # To a listener on [::] IPv4 addresses are v4-mapped, as always.
    prefix = "" if server_type is Nginx else "::ffff:"
    assert answer.seen()["client"] == prefix + answer.client
    assert answer.seen()["local"] == f"{prefix}{workspace.address} {port}"


@EveryServer
def test_ipv6_clients_of_a_server_for_ipv4_only(workspace, server_type):
    """It could make nothing of their addresses: Python reads them from memory that nobody wrote."""
    port = reserve_port(workspace)
    proxyd = start_proxyd(workspace, listen=both_families(workspace, port))
    listens = {"families": ["ipv4"]} if server_type is Nginx else {"address": "0.0.0.0"}
    server = server_type(workspace, port, **listens).wait_until_ready()
    curl = Curl(workspace, port=port, address="::1")
    result = curl.run(server, "-w", "%{http_code}", curl.url(server))
    assert b"503" in result.stdout or b"alert internal error" in result.stderr
    assert proxyd.access_line()["reason"] == "site_wrong_family"
    for source, verdict in (("::1", ("rejected", "site_wrong_family")), ("127.0.0.1", ("handed_over", "exact_name"))):
        said, = objects(workspace, "explain", server.host, "--port", port, "--from", source)
        assert (said["verdict"], said["reason"]) == verdict


def assert_served(output, server, proxyd):
    line = proxyd.access_line()
    host, port = line["client"].split(":")
    assert f"{server.kind} client {host} {port} local {line['listener'].replace(':', ' ')} " in output, output


@TlsServer
def test_openssl(workspace, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    output = run_tls_client(server, "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile",
                            certificate_of_servers(workspace)[0], "-connect", f"{workspace.address}:{Port}",
                            "-servername", server.host)
    assert_served(output, server, proxyd)


@TlsServer
def test_gnutls(workspace, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    output = run_tls_client(server, "gnutls-cli", "--x509cafile", certificate_of_servers(workspace)[0],
                            "--sni-hostname", server.host, "--verify-hostname", server.host, "--port", Port,
                            workspace.address)
    assert_served(output, server, proxyd)


@TlsServer
def test_python(workspace, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
    connection = workspace.close_at_end(socket.create_connection((workspace.address, Port), DeadlineSeconds))
    tls = workspace.close_at_end(context.wrap_socket(connection, server_hostname=server.host))
    tls.sendall(f"GET / HTTP/1.0\r\nHost: {server.host}\r\n\r\n".encode())
    output = b"".join(iter(lambda: tls.recv(65536), b"")).decode()
    assert_served(output, server, proxyd)


@TlsServer
def test_a_hello_as_long_as_a_post_quantum_one(workspace, server_type):
    """No client here has a post-quantum key share, so something else fills it, beyond one segment."""
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    protocols = ",".join(["http/1.1", *(f"protocol-{number:0200}" for number in range(8))])
    output = run_tls_client(server, "openssl", "s_client", "-quiet", "-connect", f"{workspace.address}:{Port}",
                            "-servername", server.host, "-alpn", protocols)
    assert_served(output, server, proxyd)


@EveryServer
def test_two_hundred_connections_at_twenty_at_once(workspace, curl, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    assert_all_served(curl.run(server, *curl.burst(server, 200, 20)), 200)
    counts = proxyd.stop()
    assert (counts["sessions"], counts["handed_over"]) == (200, 200)


def test_both_workers_of_nginx_with_a_listener_each(workspace, curl):
    """With reuseport there are two site sockets for each address, and proxyd shares the clients among them."""
    proxyd = start_proxyd(workspace)
    server = Nginx(workspace, listen_options="reuseport").wait_until_ready()
    assert_all_served(curl.run(server, *curl.burst(server, 100, 20)), 100)
    assert len({proxyd.access_line(index)["site"] for index in range(100)}) == 2


def test_two_names_on_one_port(workspace, curl):
    start_proxyd(workspace)
    servers = [Nginx(workspace), Node(workspace), Python(workspace)]
    for server in servers * 3:
        assert curl.request(server).seen()["server"] == server.kind


def proc_net_address(address, port):
    """As /proc/net/tcp writes it (proc(5))."""
    return f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"


def connections_to(address, port):
    """How /proc/PID/fd calls the server's ends of all established connections."""
    established = "01"
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows
            if row[1] == proc_net_address(address, port) and row[3] == established}


def test_proxyd_keeps_nothing_of_a_connection(workspace, curl):
    proxyd = start_proxyd(workspace)
    # With all their sockets: proxyd has a descriptor for each.
    servers = [server(workspace).wait_until_ready() for server in (Nginx, Node, Python)]
    (files_directory(workspace) / "file").write_bytes(bytes(BigBytes))
    for server in servers:
        curl.request(server)
    proxyd.access_line(len(servers) - 1)  # written when proxyd has closed its copy
    before = proxyd.descriptors()
    downloads = [Download(curl, server, "/files/file") for server in servers * 2]
    for server, download in zip(servers * 2, downloads):
        download.wait_until_flowing()
        assert_all_served(curl.run(server, *curl.burst(server, 20, 5)), 20)
    proxyd.access_line(3 + 6 + 6 * 20 - 1)

    wait_until_equal(proxyd.descriptors, before)
    connections = connections_to(workspace.address, Port)
    assert len(connections) == len(downloads)
    assert not connections & set(proxyd.descriptors())
    assert connections <= {descriptor for server in servers for descriptor in server.descriptors()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as somebody else")
@EveryServer
def test_a_server_of_another_user(workspace, curl, server_type):
    proxyd = start_proxyd(workspace)
    for directory in (workspace.site(server_type.kind), workspace.site("nginx-own")):
        # Workers are in the group of its sockets, and nothing else.
        shutil.chown(directory, "nobody", os.getegid())
        os.chmod(directory, 0o2750)
    os.chmod(certificate_of_servers(workspace)[1], 0o644)
    server = server_type(workspace, launcher=NOBODY)
    assert_sees(curl.request(server), workspace)
    assert {os.stat(path).st_uid for path in server.site_sockets()} == {os.stat(server.site).st_uid}
    assert proxyd.access_line()["verdict"] == "handed_over"
