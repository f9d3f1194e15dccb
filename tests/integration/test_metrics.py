# SPDX-License-Identifier: MIT
"""Metrics as Prometheus gets them: over HTTP, with real sessions behind them, and whatever clients do."""

import contextlib
import json
import os
import pathlib
import socket
import stat
import subprocess
import time
import urllib.request

import pytest

from support.processes import DeadlineSeconds, descriptors_of, run_proxyd
from support.workspace import Port, wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
Scrape = b"GET /metrics HTTP/1.1\r\nHost: proxyd\r\n\r\n"
MetricsPort = 9100
ConnectionsMax = 16


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def start(workspace, inbox):
    def start(**configuration):
        configuration.setdefault("metrics", f"{workspace.address}:{MetricsPort}")
        return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, **configuration)

    return start


def connect(workspace):
    return workspace.close_at_end(socket.create_connection((workspace.address, MetricsPort), DeadlineSeconds))


def read_to_end(client):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def ask(workspace, request):
    client = connect(workspace)
    client.sendall(request)
    return read_to_end(client)


def scrape_text(workspace):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://{workspace.address}:{MetricsPort}/metrics", timeout=DeadlineSeconds) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.read().decode()


def scrape(workspace):
    """Sample to value."""
    lines = [line for line in scrape_text(workspace).splitlines() if not line.startswith("#")]
    return {sample: float(value) for sample, value in (line.rsplit(" ", 1) for line in lines)}


def sessions(verdict, reason):
    return f'proxyd_sessions_total{{verdict="{verdict}",reason="{reason}"}}'


def test_what_sessions_leave_behind(workspace, start, inbox):
    start(wait_for_site="5s")
    for _ in range(3):
        workspace.connect(Get)
        inbox.receive()
    workspace.connect(b"GET / HTTP/1.1\r\nHost: nobody.example.org\r\n\r\n").read_to_end()
    silent = workspace.connect(b"GET / HT")
    metrics = wait_until(lambda: (found := scrape(workspace))['proxyd_sessions{state="awaiting_hello"}'] == 1 and found,
                         "the silent client")
    assert metrics[sessions("handed_over", "exact_name")] == 3
    assert metrics[sessions("rejected", "no_route")] == 1
    assert metrics["proxyd_accepted_connections_total"] == 5
    assert metrics["proxyd_hello_seconds_count"] == 4
    assert metrics["proxyd_handoff_seconds_count"] == metrics['proxyd_handoff_seconds_bucket{le="60"}'] == 3
    assert metrics["proxyd_site_wait_seconds_count"] == 0
    assert 0 < metrics["proxyd_hello_seconds_sum"] < 60
    assert metrics['proxyd_workers{state="serving"}'] >= 1
    silent.close()
    wait_until(lambda: scrape(workspace)['proxyd_sessions{state="awaiting_hello"}'] == 0, "its end")
    assert scrape(workspace)[sessions("closed", "client_closed")] == 1


def test_who_waits_for_a_site_is_seen(workspace):
    workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, metrics=f"{workspace.address}:{MetricsPort}")
    workspace.connect(Get)
    wait_until(lambda: scrape(workspace)['proxyd_sessions{state="awaiting_site"}'] == 1, "one who waits")
    workspace.inbox("blog").receive()
    # The worker counts one after the other, and is read in between.
    metrics = wait_until(lambda: (found := scrape(workspace))["proxyd_site_wait_seconds_count"] == 1
                         and found['proxyd_sessions{state="awaiting_site"}'] == 0 and found, "the end of its wait")
    assert metrics["proxyd_site_wait_seconds_sum"] > 0


def test_promtool_finds_nothing_to_say(workspace, start, inbox):
    start()
    workspace.connect(Get)
    inbox.receive()
    workspace.connect(b"\0\0\0\0").read_to_end()
    result = subprocess.run(["promtool", "check", "metrics"], input=scrape_text(workspace), capture_output=True,
                            text=True, timeout=DeadlineSeconds, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_counters_tell_of_lost_lines_and_warnings(workspace, start, inbox):
    start(access_log="/dev/full")
    workspace.connect(Get)
    inbox.receive()
    metrics = wait_until(lambda: (found := scrape(workspace))["proxyd_access_log_lines_lost_total"] == 1 and found,
                         "the lost line")
    assert metrics['proxyd_log_lines_total{level="error"}'] == 1
    assert metrics['proxyd_log_lines_total{level="notice"}'] >= 2


@pytest.mark.parametrize("request_line, status, body", [
    (b"GET / HTTP/1.1", b"HTTP/1.1 404 Not Found", b"proxyd: there is /metrics and nothing else\n"),
    (b"GET /metrics/ HTTP/1.1", b"HTTP/1.1 404 Not Found", b"proxyd: there is /metrics and nothing else\n"),
    (b"POST /metrics HTTP/1.1", b"HTTP/1.1 405 Method Not Allowed", b"proxyd: metrics can only be got (GET)\n"),
    (b"DELETE /metrics HTTP/1.1", b"HTTP/1.1 405 Method Not Allowed", b"proxyd: metrics can only be got (GET)\n"),
    (b"HEAD /metrics HTTP/1.1", b"HTTP/1.1 405 Method Not Allowed", b"")])
def test_other_requests(workspace, start, request_line, status, body):
    start()
    head, answer_body = ask(workspace, request_line + b"\r\nHost: proxyd\r\n\r\n").split(b"\r\n\r\n", 1)
    assert head.split(b"\r\n")[0] == status
    assert answer_body == body
    assert b"Connection: close" in head
    assert (b"Allow: GET" in head) == (b"405" in status)


Garbage = {
    "zeros": b"\0\0\0\0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET /metrics\r\n\r\n",
    "long path": b"GET /" + 100_000 * b"x" + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET /metrics HTTP/1.1\r\n" + 10_000 * b"X: y\r\n" + b"\r\n",
}


@pytest.mark.parametrize("garbage", Garbage.values(), ids=Garbage)
def test_garbage_harms_nothing(workspace, start, garbage):
    start()
    client = connect(workspace)
    with contextlib.suppress(OSError):  # it may have been hung up on by now
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
    assert b"proxyd_sessions" not in read_to_end(client)
    assert scrape(workspace)["proxyd_accepted_connections_total"] == 0


def cpu_seconds(proxyd):
    fields = pathlib.Path(f"/proc/{proxyd.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_silent_clients_cost_nothing_and_are_ended(workspace, start, inbox):
    """More of them than connections are allowed: those that come later wait, and are served."""
    proxyd = start()
    before, tcp_before = len(descriptors_of(proxyd.pid)), proxyd.tcp_descriptor_count()
    silent = [connect(workspace) for _ in range(40)]
    wait_until(lambda: len(descriptors_of(proxyd.pid)) == before + ConnectionsMax, "all connections that are allowed")
    cpu_before, began = cpu_seconds(proxyd), time.monotonic()
    client = workspace.connect(Get)
    inbox.receive().answer(b"done")  # clients of proxyd itself don't notice
    assert client.read_to_end() == b"done"
    assert time.monotonic() - began < 2
    assert read_to_end(silent[0]) == b""
    assert 3 < time.monotonic() - began < 10
    assert cpu_seconds(proxyd) - cpu_before < 0.5
    for client in silent:
        client.close()
    assert scrape(workspace)["proxyd_accepted_connections_total"] == 1
    wait_until(lambda: proxyd.tcp_descriptor_count() == tcp_before, "the end of all but the listeners")


def test_a_client_that_never_reads_hurts_nobody(workspace, start):
    start()
    for _ in range(40):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        workspace.close_at_end(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.settimeout(DeadlineSeconds)
        client.connect((workspace.address, MetricsPort))
        client.sendall(Scrape)
    assert scrape(workspace)["proxyd_accepted_connections_total"] == 0


def test_out_of_descriptors_nothing_spins(workspace, start):
    proxyd = start(prefix=["prlimit", "--nofile=20"])
    clients = [connect(workspace) for _ in range(30)]
    cpu_before = cpu_seconds(proxyd)
    read_to_end(clients[0])
    assert cpu_seconds(proxyd) - cpu_before < 0.5
    for client in clients:
        client.close()
    assert scrape(workspace)["proxyd_accepted_connections_total"] == 0


# --- Unix sockets ---------------------------------------------------------------------------------


def scrape_unix(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(DeadlineSeconds)
        client.connect(str(path))
        client.sendall(Scrape)
        return read_to_end(client)


def test_a_unix_socket_is_for_its_owner_and_group(workspace, start):
    directory = workspace.site("run")
    path = directory / "metrics.sock"
    if os.getuid() == 0:
        os.chown(directory, 0, 12345)
    proxyd = start(metrics=f"unix:{path}")
    assert b"\nproxyd_build_info{" in scrape_unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.stat().st_gid == directory.stat().st_gid
    assert list(directory.iterdir()) == [path]
    proxyd.stop()
    assert list(directory.iterdir()) == []


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(workspace, start):
    path = workspace.path / "metrics.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as live:
        live.bind(str(path))
        live.listen()
        configuration = workspace.write_configuration(json.dumps(
            {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites), "metrics": f"unix:{path}"}))
        result = run_proxyd("--config", configuration)
        assert (result.returncode, result.stderr) == (
            1, f"{configuration}:1: metrics: cannot listen on unix:{path}: somebody answers there already\n")
    start(metrics=f"unix:{path}")
    assert b"\nproxyd_build_info{" in scrape_unix(path)


@pytest.mark.parametrize("path, why", [("nowhere/metrics.sock", "No such file or directory"),
                                       ("", "something else than a socket is there"),
                                       ("precious.txt", "something else than a socket is there")])
def test_where_no_socket_can_be(workspace, path, why):
    precious = workspace.path / "precious.txt"
    precious.write_text("mine")
    address = f"unix:{workspace.path}/{path}".rstrip("/")
    configuration = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites), "metrics": address}))
    result = run_proxyd("--config", configuration)
    assert (result.returncode, result.stderr) == (
        1, f"{configuration}:1: metrics: cannot listen on {address}: {why}\n")
    assert precious.read_text() == "mine"


def test_an_address_that_is_taken(workspace):
    with socket.create_server((workspace.address, MetricsPort)):
        configuration = workspace.write_configuration(json.dumps(
            {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites),
             "metrics": f"{workspace.address}:{MetricsPort}"}))
        result = run_proxyd("--config", configuration)
    assert (result.returncode, result.stderr) == (
        1, f"{configuration}:1: metrics: cannot listen on {workspace.address}:{MetricsPort}: "
        "Address already in use (ss -ltnp tells by whom)\n")
