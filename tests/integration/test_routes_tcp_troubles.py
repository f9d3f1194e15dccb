# SPDX-License-Identifier: MIT
"""What becomes of routes to TCP servers when a name leads back to proxyd, when proxyd dies, and when tcpshim can't do
what its part of the configuration says."""

import json
import os
import socket
import subprocess

import pytest

from support import client_hello
from support.control import own_user
from support.processes import DeadlineSeconds, program
from support.tcp_backends import TcpRoutes
from support.workspace import Port, wait_until

Name = "a.example.org"
InternalErrorAlert = bytes([21, 3, 3, 0, 2, 2, 80])


def request(name=Name):
    return f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode()


def active(routes):
    """Relayed at the moment."""
    told = subprocess.run([program("proxyctl"), "--control", str(routes.control), "--json", "status"],
                          capture_output=True, text=True, timeout=DeadlineSeconds)
    return json.loads(told.stdout)["sites"][0]["active"]


@pytest.mark.parametrize("first_bytes, answer", [(request(), b"HTTP/1.1 508 Loop Detected\r\n"),
                                                 (client_hello.captured(Name), InternalErrorAlert)],
                         ids=["http", "tls"])
def test_a_name_that_leads_back_to_proxyd_costs_two_connections(workspace, first_bytes, answer):
    routes = TcpRoutes(workspace, {Name: f"tcp://{workspace.address}:{Port}"})
    for _ in range(2):
        client = workspace.connect(first_bytes)
        assert client.read_to_end().startswith(answer)
        client.close()
    wait_until(lambda: len(routes.lines()) == 4, "all lines")
    assert [line["cause"] for line in routes.lines() if line["ending"] == "no_backend"] == ["loop"] * 2
    told = [line for line in routes.proxyd.lines if " warning " in line and "has come back as a client" in line]
    assert len(told) == 1, told
    assert told[0].endswith(f"site {Name}: a connection to {workspace.address}:{Port} has come back as a client: a backend's "
                            "address leads to proxyd itself")
    wait_until(lambda: active(routes) == 0, "the end of both")
