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


def proxyctl(workspace, *arguments):
    return subprocess.run([program("proxyctl"), "--control", workspace.path / "control.sock", *arguments],
                          capture_output=True, text=True, timeout=DeadlineSeconds)


def start(workspace, **tcpshim):
    """proxyd with a control socket, a route to a backend, whom it returns too."""
    backend = workspace.close_at_end(socket.create_server((workspace.address, 0)))
    backend.settimeout(DeadlineSeconds)
    routes = TcpRoutes(workspace, {Name: "tcp://%s:%d" % backend.getsockname()}, tcpshim=tcpshim,
                       control=str(workspace.path / "control.sock"))
    return routes, backend


def serve(workspace, backend, name=Name):
    client = workspace.connect(request(name))
    accepted, _ = backend.accept()
    with accepted:
        accepted.recv(1000)
        accepted.sendall(b"here")
    assert client.read_to_end() == b"here"
    client.close()


def test_a_reload_that_tcpshim_refuses_is_told(workspace):
    routes, backend = start(workspace)
    taken = workspace.close_at_end(socket.create_server((workspace.address, 0)))
    place = "%s:%d" % taken.getsockname()
    configuration = routes.proxyd.configuration
    configuration["tcpshim"]["metrics"] = place
    configuration["routes"]["b.example.org"] = configuration["routes"][Name]
    routes.proxyd.write_configuration()
    problem = f"tcpshim: {workspace.path}/tcp/.tcpshim.json:"
    refused = proxyctl(workspace, "reload")
    assert refused.returncode == 0 and problem in refused.stdout + refused.stderr, refused
    assert f"cannot listen on {place}: Address already in use" in refused.stdout + refused.stderr
    routes.proxyd.wait_for_line(" error tcpshim has not taken over its part of the configuration and goes on as before")
    assert f"cannot listen on {place}: Address already in use" in proxyctl(workspace, "status").stdout
    serve(workspace, backend)
    # The same again, when nothing is in the way any more.
    taken.close()
    fine = proxyctl(workspace, "reload")
    assert fine.returncode == 0 and "tcpshim:" not in fine.stdout + fine.stderr, fine
    assert "cannot listen" not in proxyctl(workspace, "status").stdout
    serve(workspace, backend, "b.example.org")


def test_why_tcpshim_does_not_start_is_told(workspace):
    taken = workspace.close_at_end(socket.create_server((workspace.address, 0)))
    place = "%s:%d" % taken.getsockname()
    routes, backend = start(workspace, metrics=place)
    wait_until(lambda: f"cannot listen on {place}: Address already in use" in proxyctl(workspace, "status").stdout,
               "the reason")
    taken.close()
    wait_until(lambda: "cannot listen" not in proxyctl(workspace, "status").stdout, "its start")
    serve(workspace, backend)


def test_news_of_tcpshim_are_heard_after_an_upgrade(workspace):
    routes, backend = start(workspace)
    assert proxyctl(workspace, "upgrade").returncode == 0
    routes.proxyd.configuration["tcpshim"]["access_log"] = str(workspace.path / "not/there")
    routes.proxyd.write_configuration()
    told = proxyctl(workspace, "reload")
    assert f"cannot open {workspace.path}/not/there: No such file or directory" in told.stdout + told.stderr, told
    serve(workspace, backend)


def test_the_place_for_news_goes_with_tcpshim(workspace):
    routes, backend = start(workspace)
    place = workspace.path / "tcp/.tcpshim.notify"
    serve(workspace, backend)
    assert place.is_socket()
    routes.proxyd.signal(15)
    assert routes.proxyd.wait_for_exit() == 0
    assert not place.exists()
