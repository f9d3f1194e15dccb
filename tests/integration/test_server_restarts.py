# SPDX-License-Identifier: MIT
"""Real servers that come, go, are killed and reload, and what their clients notice of it: nothing, or a wait."""

import signal

import pytest

from support.http_clients import Curl, run_tls_client
from support.servers import Nginx, Node, Python, both_families, reserve_port, start_for_both_families, start_proxyd
from support.workspace import Port, wait_until

Source = "127.0.0.11"

EveryServer = pytest.mark.parametrize("server_type", [Nginx, Node, Python], ids=lambda server: server.kind)
TlsServer = pytest.mark.parametrize("server_type", [Nginx, Node], ids=lambda server: server.kind)


@pytest.fixture
def curl(workspace):
    return Curl(workspace, source=Source)


def wait_until_in_hand(proxyd, count, listeners=1):
    """Until proxyd holds so many clients: beside its listeners, they are its only TCP sockets."""
    wait_until(lambda: proxyd.tcp_descriptor_count() == listeners + count, f"{count} clients that wait")


@EveryServer
def test_clients_wait_for_a_server_that_was_not_there(workspace, curl, server_type):
    proxyd = start_proxyd(workspace)
    clients = [curl.start(server_type, curl.url(server_type)) for _ in range(5)]
    wait_until_in_hand(proxyd, len(clients))
    server = server_type(workspace)
    for client in clients:
        assert client.wait_for_exit() == 0
        assert client.lines[0].startswith(f"{server.kind} client {Source} ")


@EveryServer
def test_clients_wait_while_a_server_is_started_again(workspace, curl, server_type):
    proxyd = start_proxyd(workspace)
    server = server_type(workspace)
    assert curl.request(server).status == 200
    server.stop()
    clients = [curl.start(server, curl.url(server)) for _ in range(5)]
    wait_until_in_hand(proxyd, len(clients))
    server_type(workspace)
    for client in clients:
        assert client.wait_for_exit() == 0
        assert client.lines[0].startswith(f"{server.kind} client {Source} ")


@EveryServer
def test_files_of_a_killed_server_stand_in_nobodys_way(workspace, curl, server_type):
    start_proxyd(workspace)
    server = server_type(workspace).wait_until_ready()
    files = server.site_sockets()
    assert len(files) == server.sockets_count
    for _ in range(3):
        assert curl.request(server).status == 200
        server.kill()
        assert server.site_sockets() == files
        server = server_type(workspace).wait_until_ready()
        assert server.site_sockets() == files
    assert curl.request(server).status == 200


@TlsServer
def test_alert_after_the_limit(workspace, curl, server_type):
    """The same to each TLS client, for a server that has never been there and for one that has been killed."""
    proxyd = start_proxyd(workspace, wait_for_site="250ms")
    server = server_type
    for first_line, reason in [(0, "site_absent"), (3, "site_refused")]:
        result = curl.run(server, curl.url(server))
        assert result.returncode == 35 and b"alert internal error" in result.stderr, result.stderr
        output = run_tls_client(server, "openssl", "s_client", "-connect", f"{workspace.address}:{Port}",
                                "-servername", server.host)
        assert "alert internal error" in output
        output = run_tls_client(server, "gnutls-cli", "--sni-hostname", server.host, "--port", Port, workspace.address)
        assert "Internal error" in output
        assert [proxyd.access_line(first_line + index)["reason"] for index in range(3)] == [reason] * 3
        server = server_type(workspace).wait_until_ready()
        server.kill()


def test_503_after_the_limit(workspace, curl):
    proxyd = start_proxyd(workspace, wait_for_site="250ms")
    assert curl.request(Python).status == 503
    assert proxyd.access_line(0)["reason"] == "site_absent"
    Python(workspace).wait_until_ready().kill()
    assert curl.request(Python).status == 503
    assert proxyd.access_line(1)["reason"] == "site_refused"


@EveryServer
def test_ipv6_clients_wait_for_the_socket_of_their_family(workspace, server_type):
    """A server that listens on both families binds one after the other."""
    port = reserve_port(workspace)
    proxyd = start_proxyd(workspace, listen=both_families(workspace, port))
    curl = Curl(workspace, port=port, address="::1")
    client = curl.start(server_type, curl.url(server_type))
    wait_until_in_hand(proxyd, 1, listeners=2)
    start_for_both_families(server_type, workspace, port)
    assert client.wait_for_exit() == 0
    assert client.lines[0].startswith(f"{server_type.kind} client ::1 ")


def test_nginx_reloads_while_clients_come(workspace, curl):
    proxyd = start_proxyd(workspace)
    server = Nginx(workspace).wait_until_ready()
    bursts = []
    for _ in range(5):
        if not bursts or bursts[-1].process.poll() is not None:
            bursts.append(curl.start(server, *curl.burst(server, 200, 8)))
        old_workers = wait_until(lambda: len(server.worker_pids()) == 2 and server.worker_pids(), "two workers")
        wait_until_somebody_comes(proxyd, bursts[-1])
        server.signal(signal.SIGHUP)
        wait_until(lambda: has_only_new_workers(server, old_workers), "new workers")
        wait_until_somebody_comes(proxyd, bursts[-1])
    for burst in bursts:
        assert burst.wait_for_exit() == 0
        assert burst.lines == ["200 1"] * 200
    assert server.live_sockets() == server.site_sockets()


def wait_until_somebody_comes(proxyd, burst):
    so_far = len(proxyd.access_lines())
    wait_until(lambda: burst.process.poll() is not None or len(proxyd.access_lines()) > so_far, "another client")


def has_only_new_workers(server, old):
    workers = server.worker_pids()
    return len(workers) == 2 and not set(workers) & set(old)
