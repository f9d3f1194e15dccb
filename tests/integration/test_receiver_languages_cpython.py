# SPDX-License-Identifier: MIT
"""Python's own tests of sockets and servers don't notice libpreload: neither when it has nothing to do, nor when their
servers get all their clients from proxyd.

PROXYD_SOAK=1 (./test.sh --soak) runs the whole of test_socket, test_ssl and test_asyncio, too: some minutes.
"""

import os
import pathlib

import pytest

from preload_support import LIBRARY
from support.cpython_suite import new_failures, run_tests
from support.workspace import free_port

PooledPorts = pathlib.Path(__file__).parents[1] / "support" / "pooled_ports.py"
IsLong = bool(os.environ.get("PROXYD_SOAK"))
ServerModules = ["test_httpservers", "test_socketserver"]
Modules = [*ServerModules, "test_socket", "test_ssl", "test_asyncio"]
Selection = [] if IsLong else [
    "test.test_httpservers.*", "test.test_socketserver.*", "test.test_socket.*TCP*", "test.test_socket.CreateServer*",
    "test.test_socket.GeneralModuleTests.test_[a-r]*", "test.test_ssl.BasicSocketTests.*", "test.test_ssl.ThreadedTests.test_[a-d]*",
    "test.test_asyncio.test_server.*", "test.test_asyncio.test_streams.*", "test.test_asyncio.test_sock_lowlevel.*"]
PassedMin = 3000 if IsLong else 250  # so that nobody runs none of them
PortsMax = 64  # that libpreload takes


def plain_environment():
    return {key: value for key, value in os.environ.items() if key != "LD_PRELOAD" and not key.startswith("PROXYD_")}


def preloaded(site=None, ports=()):
    variables = {"PROXYD_SITE": str(site), "PROXYD_PORTS": ",".join(map(str, ports))} if site else {}
    return {**plain_environment(), "LD_PRELOAD": str(LIBRARY), **variables}


@pytest.mark.parametrize("has_site", [False, True], ids=["without variables", "with a site for other ports"])
def test_an_idle_library_is_not_noticed(workspace, has_site):
    environment = preloaded(workspace.site("site"), [443, 80]) if has_site else preloaded()
    failures, results = new_failures(workspace, Modules, only=Selection, environment=environment,
                                     plain_environment=plain_environment())
    assert not failures, results.log
    assert len(results.passed) >= PassedMin
    assert "cannot be preloaded" not in results.log  # which ld.so(8) would have said


def start_proxyd_for_all_ports(workspace):
    """proxyd takes the clients of 64 ports, and hands them over as they come: the tests' servers don't all speak HTTP or TLS."""
    ports = sorted({free_port() for _ in range(PortsMax)})
    site = workspace.site("site")
    listeners = [{"address": f"{host}:{port}", "site": str(site)} for port in ports for host in ("127.0.0.1", "[::1]")]
    return workspace.start_proxyd(listen=listeners, routes={}, wait_for_site="200ms"), site, ports


def test_servers_that_get_their_clients_from_proxyd(workspace):
    proxyd, site, ports = start_proxyd_for_all_ports(workspace)
    results = run_tests(workspace, ServerModules, launcher=[PooledPorts, ",".join(map(str, ports))],
                        environment=preloaded(site, ports))
    assert not results.failed, results.log
    assert len(results.passed) >= 50
    counts = proxyd.stop()
    assert counts["handed_over"] == counts["sessions"] >= 50
