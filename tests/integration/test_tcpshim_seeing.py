# SPDX-License-Identifier: MIT
"""What tcpshim tells: access lines, status, backends, metrics."""

import json
import re
import socket

import pytest

from support.configured_relay import ConfiguredRelay
from support.processes import DeadlineSeconds
from support.workspace import wait_until

Fields = ["id", "client", "listener", "name", "site", "port", "backend", "address", "attempts", "failed", "ending", "cause",
          "to_backend", "to_client", "connect_us", "first_to_backend_us", "first_to_client_us", "total_us"]


def test_a_connection_s_line(workspace):
    relay = ConfiguredRelay(workspace)
    relay.relay_once(b"GET / HTTP/1.0\r\n\r\n", b"x" * 1000)
    line = relay.access_line()
    assert list(line) == Fields
    assert (line["site"], line["backend"], line["address"], line["attempts"]) == (
        "relayed", relay.names[0], relay.names[0], "1")
    assert (line["ending"], line["cause"], line["to_backend"], line["to_client"]) == ("backend_closed", "-", "18", "1000")
    assert 0 < int(line["connect_us"]) <= int(line["first_to_client_us"]) <= int(line["total_us"])


def test_a_connection_s_line_as_json(workspace):
    log = workspace.path / "access.log"
    relay = ConfiguredRelay(workspace, access_log=str(log), access_log_format="json")
    relay.relay_once()
    line = json.loads(wait_until(lambda: log.exists() and log.read_text(), "a line"))
    assert list(line) == ["time", *Fields]
    assert (line["backend"], line["cause"], line["to_backend"], line["to_client"]) == (relay.names[0], None, 8, 6)


def test_a_client_without_a_backend(workspace):
    relay = ConfiguredRelay(workspace, site_settings={"to": f"{workspace.address}:1", "backend_wait": "100ms"})
    client = relay.new_client(first_bytes=b"hello")
    client.recv(100)
    line = relay.access_line()
    nobody = f"{workspace.address}:1"
    assert (line["backend"], line["failed"]) == (nobody, f"{nobody}/refused")
    assert (line["ending"], line["cause"], line["connect_us"]) == ("no_backend", "refused", "-")
    [status] = relay.objects("status")
    assert status["sites"][0]["no_backend"] == {"refused": 1}
    [backend] = relay.objects("backends")
    assert backend["failed"]["refused"] >= 1


def test_status_and_backends(workspace):
    relay = ConfiguredRelay(workspace, backends=2)
    relay.site_configuration["to"] = [relay.names[0], {"address": relay.names[1], "backup": True}]
    relay.reload()
    relay.relay_once(b"q" * 10, b"a" * 20)
    relay.access_line()

    [status] = relay.objects("status")
    [site] = status["sites"]
    assert (status["program"], status["generation"], status["reloads"]) == ("tcpshim", 2, 1)
    assert (site["site"], site["connections"], site["active"], site["backends"], site["backends_up"]) == (
        "relayed", 1, 0, 2, 2)
    assert (site["to_backend"], site["to_client"], site["endings"]) == (10, 20, {"backend_closed": 1})
    first = wait_until(lambda: next((each for each in relay.objects("backends") if each["answered"]), None),
                       "an answer's count")
    assert (first["backend"], first["state"], first["connections"], first["answered"], first["to_client"]) == (
        relay.names[0], "up", 1, 1, 20)
    assert [each["backend"] for each in relay.objects("backends", relay.names[1])] == [relay.names[1]]

    shown = relay.proxyctl("status").stdout
    assert re.match(r"tcpshim \S+, process \d+, up \S+\nconfiguration  \S+, loaded \S+ ago \(generation 2\)\n", shown)
    assert re.search(rf"relayed +{relay.site_configuration['ports'][0]} +2 +2 +0 +1 +0 +10 +20\n", shown)
    shown = relay.proxyctl("backends").stdout
    assert re.search(rf"relayed +{relay.names[0]} +up +\S+ +0 +1 +0 +10 +20", shown)


def test_a_backend_that_is_down_says_why(workspace):
    relay = ConfiguredRelay(workspace, site_settings={
        "to": f"{workspace.address}:1", "check": {"kind": "connect", "interval": "100ms", "fall": 1}})
    down = wait_until(lambda: next((each for each in relay.objects("backends") if each["state"] == "down"), None),
                      "a backend that is down")
    assert down["cause"]
    assert down["checks_bad"] >= 1
    assert relay.metrics()[f'tcpshim_backend_up{{site="relayed",backend="{workspace.address}:1"}}'] == 0


def test_counters_never_go_down(workspace):
    relay = ConfiguredRelay(workspace)
    for count in range(1, 4):
        relay.relay_once()
        relay.access_line(count - 1)
        metrics = relay.metrics()
        assert metrics['tcpshim_accepted_connections_total{site="relayed"}'] == count
        assert metrics['tcpshim_ended_connections_total{site="relayed",ending="backend_closed"}'] == count
        assert metrics['tcpshim_relayed_bytes_total{site="relayed",to="client"}'] == 6 * count
        assert metrics['tcpshim_connect_seconds_count{site="relayed"}'] == count
        assert metrics['tcpshim_connection_seconds_bucket{site="relayed",le="+Inf"}'] == count
        relay.reload()


def test_metrics_over_http(workspace):
    path = workspace.path / "metrics.sock"
    ConfiguredRelay(workspace, metrics=f"unix:{path}")
    scraper = workspace.close_at_end(socket.socket(socket.AF_UNIX))
    scraper.settimeout(DeadlineSeconds)
    scraper.connect(str(path))
    scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b"".join(iter(lambda: scraper.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"# TYPE tcpshim_connect_seconds histogram\n" in answer


def test_the_log_level(workspace):
    relay = ConfiguredRelay(workspace)
    assert relay.proxyctl("log-level").stdout == "notice\n"
    assert relay.proxyctl("log-level", "debug").stdout == "debug\n"
    wrong = relay.proxyctl("log-level", "loud")
    assert (wrong.returncode, wrong.stderr) == (
        1, "proxyctl: 'loud' is no level: there are error, warning, notice, info, debug\n")


@pytest.mark.parametrize("command", ["sites", "upgrade"])
def test_commands_of_proxyd_are_refused(workspace, command):
    relay = ConfiguredRelay(workspace)
    answer = relay.proxyctl(command)
    assert (answer.returncode, answer.stderr) == (
        1, f"proxyctl: tcpshim has no command '{command}': there are status, backends, metrics, reload, log-level\n")
