# SPDX-License-Identifier: MIT
"""Routes to TCP servers: proxyd runs tcpshim for them, through reloads, upgrades and its death."""

import json
import os
import signal
import ssl
import subprocess

import pytest

from support.control import objects, own_user, proxyctl
from support.load import Load
from support.processes import DeadlineSeconds, program
from support.servers import certificate_of_servers
from support.tcp_servers import TcpNginx
from support.workspace import Port, wait_until

PlainPort = 8080
Name, Other = "nginx.example.org", "node.example.org"  # the certificate's names
MiB = 1 << 20


@pytest.fixture
def server(workspace):
    return TcpNginx(workspace, "first", Port, PlainPort)


def configuration_with(workspace, routes, **tcpshim):
    directory = workspace.site("tcp")
    return {"listen": [f"{workspace.address}:{Port}", f"{workspace.address}:{PlainPort}"], "routes": routes,
            "control": str(workspace.path / "control.sock"),
            "tcpshim": {"directory": str(directory), "control": str(workspace.path / "tcpshim.sock"), **tcpshim},
            **own_user()}


def start(workspace, routes, **tcpshim):
    proxyd = workspace.start_proxyd(**configuration_with(workspace, routes, **tcpshim))
    return proxyd


def reload(workspace, proxyd, routes, **tcpshim):
    proxyd.configuration.update(configuration_with(workspace, routes, **tcpshim))
    proxyd.write_configuration()
    result = proxyctl(workspace, "reload")
    assert result.returncode == 0, result


def tls_client(workspace, name):
    context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
    return context.wrap_socket(workspace.connect().socket, server_hostname=name)


def get(workspace, name, path="/"):
    """The body, by TLS with the server's own certificate."""
    with tls_client(workspace, name) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer[:200]
    return body


def tcpshim_of(workspace):
    [status] = objects(workspace, "status")
    return status["tcpshim"]


def test_clients_come_to_a_tcp_server_by_its_name(workspace, server):
    proxyd = start(workspace, {Name: f"tcp://{server.where()}"})
    assert get(workspace, Name) == b"first\n"
    line = proxyd.access_line()
    assert (line["verdict"], line["route"]) == ("handed_over", Name)
    assert line["site"] == str(workspace.path / "tcp" / Name / f"{Port}.sock")
    # What tcpshim did with it stands in its own line, with the same id.
    relayed = proxyd.wait_for_line(rf" access id={line['id']} .* backend=(\S+) .* ending=(\S+)")
    assert relayed.group(1) == server.where()


def test_a_backend_without_a_port_is_asked_for_the_one_that_the_client_came_to(workspace, server):
    start(workspace, {Name: f"tcp://{server.address}"})
    assert get(workspace, Name) == b"first\n"
    plain = workspace.connect(f"GET / HTTP/1.0\r\nHost: {Name}\r\n\r\n".encode(), port=PlainPort)
    assert plain.read_to_end().endswith(b"first\n")


def test_a_listener_leads_to_a_tcp_server_by_itself(workspace, server):
    second = TcpNginx(workspace, "second", Port, PlainPort)

    def listen(backend):
        return [{"address": f"{workspace.address}:{PlainPort}", "site": backend}]

    def configuration(backend):
        return {**configuration_with(workspace, {}), "listen": listen(backend)}

    def answer():
        client = workspace.connect(b"GET / HTTP/1.0\r\n\r\n", port=PlainPort)
        body = client.read_to_end().partition(b"\r\n\r\n")[2]
        client.close()
        return body

    proxyd = workspace.start_proxyd(**configuration(f"tcp://{server.where(PlainPort)}"))
    assert answer() == b"first\n"
    line = proxyd.access_line()
    assert (line["protocol"], line["reason"], line["site"]) == (
        "-", "listener_site", str(workspace.path / f"tcp/{workspace.address}:{PlainPort}/{PlainPort}.sock"))
    proxyd.configuration.update(configuration({"tcp": second.where(PlainPort), "check": "connect"}))
    proxyd.write_configuration()
    assert proxyctl(workspace, "reload").returncode == 0
    wait_until(lambda: answer() == b"second\n", "the new server")


def test_lists_hold_for_routes_to_tcp_servers(workspace, server):
    start(workspace, {Name: {"tcp": [server.where(PlainPort)], "deny": ["127.0.0.0/8"]}})
    refused = workspace.connect(f"GET / HTTP/1.1\r\nHost: {Name}\r\n\r\n".encode(), port=PlainPort)
    assert refused.read_to_end().startswith(b"HTTP/1.1 403")


def test_the_next_server_takes_over_for_one_that_is_down(workspace, server):
    down = f"{server.address}:1"
    proxyd = start(workspace, {Name: {"tcp": [down, {"address": server.where(), "backup": True}]}})
    assert get(workspace, Name) == b"first\n"
    proxyd.wait_for_line(rf" access .* backend={server.where()} .* attempts=2 ")


def test_status_and_sites_tell_of_tcpshim(workspace, server):
    start(workspace, {Name: f"tcp://{server.where()}"})
    wait_until(lambda: tcpshim_of(workspace)["pid"], "tcpshim")
    assert tcpshim_of(workspace) == {"pid": tcpshim_of(workspace)["pid"], "restarts": 0,
                                     "control": str(workspace.path / "tcpshim.sock"), "problems": []}
    assert f"tcpshim        process {tcpshim_of(workspace)['pid']}" in proxyctl(workspace, "status").stdout
    get(workspace, Name)
    asked = subprocess.run([program("proxyctl"), "--control", workspace.path / "tcpshim.sock", "backends"],
                           capture_output=True, text=True, timeout=DeadlineSeconds)
    assert asked.returncode == 0 and server.where() in asked.stdout, asked


def test_without_such_a_route_there_is_no_tcpshim(workspace):
    start(workspace, {Name: str(workspace.site("sites/one"))})
    assert tcpshim_of(workspace) is None
    assert list((workspace.path / "tcp").iterdir()) == []


def test_a_reload_changes_routes_and_cuts_nobody(workspace, server):
    second = TcpNginx(workspace, "second", Port, PlainPort)
    proxyd = start(workspace, {Name: f"tcp://{server.where()}"}, drain_timeout="1ms")
    with tls_client(workspace, Name) as kept:
        request = f"GET / HTTP/1.1\r\nHost: {Name}\r\n\r\n".encode()
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        pid = tcpshim_of(workspace)["pid"]
        reload(workspace, proxyd, {Name: f"tcp://{second.where()}", Other: f"tcp://{server.where()}"})
        wait_until(lambda: get(workspace, Name) == b"second\n", "the new server")
        assert get(workspace, Other) == b"first\n"
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        assert tcpshim_of(workspace)["pid"] == pid
        # The last such route goes; who is there stays.
        reload(workspace, proxyd, {Name: str(workspace.site("sites/one"))})
        proxyd.wait_for_line(f"tcpshim, process {pid}, takes no more clients and finishes what it has")
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        # And comes again, while the first tcpshim still has a client.
        reload(workspace, proxyd, {Name: f"tcp://{second.where()}"})
        assert get(workspace, Name) == b"second\n"
        assert proxyctl(workspace, "upgrade").returncode == 0
        assert get(workspace, Name) == b"second\n"
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
    proxyd.wait_for_line(f"tcpshim, process {pid}, ended with exit code 0")


def test_an_upgrade_cuts_nobody(workspace, server):
    start(workspace, {Name: f"tcp://{server.where()}"})
    with tls_client(workspace, Name) as kept:
        request = f"GET / HTTP/1.1\r\nHost: {Name}\r\n\r\n".encode()
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        pid = tcpshim_of(workspace)["pid"]
        assert proxyctl(workspace, "upgrade").returncode == 0
        assert tcpshim_of(workspace)["pid"] == pid
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
    assert get(workspace, Name) == b"first\n"


@pytest.mark.parametrize("where", [None, "elsewhere"], ids=["no-route", "elsewhere"])
def test_an_upgrade_may_change_what_is_relayed(workspace, server, where):
    """The new program knows the tcpshim of the old one: it takes no more clients."""
    proxyd = start(workspace, {Name: f"tcp://{server.where()}"})
    get(workspace, Name)
    pid = tcpshim_of(workspace)["pid"]
    routes = {Name: f"tcp://{server.where()}"} if where else {Name: str(workspace.site("sites/one"))}
    proxyd.configuration.update(configuration_with(workspace, routes))
    if where:
        proxyd.configuration["tcpshim"]["directory"] = str(workspace.path / where)
    proxyd.write_configuration()
    assert proxyctl(workspace, "upgrade").returncode == 0
    proxyd.wait_for_line(f"tcpshim, process {pid}, takes no more clients and finishes what it has")
    proxyd.wait_for_line(f"tcpshim, process {pid}, ended with exit code 0")
    assert not where or get(workspace, Name) == b"first\n"


def test_tcpshim_is_started_again_and_no_new_client_notices(workspace, server):
    proxyd = start(workspace, {Name: f"tcp://{server.where()}"})
    get(workspace, Name)
    for times in range(1, 4):
        # None, while it waits to be started again, would be ourselves.
        pid = wait_until(lambda: tcpshim_of(workspace)["pid"], "tcpshim")
        os.kill(pid, signal.SIGKILL)
        assert get(workspace, Name) == b"first\n"
        wait_until(lambda: tcpshim_of(workspace)["restarts"] == times, "a restart")
    proxyd.wait_for_line("tcpshim was ended by SIGKILL; it is started again")


def test_reloads_and_upgrades_under_load_cost_no_client(workspace, server):
    proxyd = start(workspace, {Name: f"tcp://{server.where(PlainPort)}"})
    load = Load(workspace, f"GET / HTTP/1.1\r\nHost: {Name}\r\nConnection: close\r\n\r\n".encode(), port=PlainPort,
                expect="HTTP/1.1 200 OK", at_once=20, seconds=3, sources=100)
    turn = 0
    while not load.ends_within(0.2):
        turn += 1
        routes = {Name: f"tcp://{server.where(PlainPort)}", f"n{turn}.example.org": f"tcp://{server.where()}"}
        if turn % 4 == 0:
            assert proxyctl(workspace, "upgrade").returncode == 0
        else:
            reload(workspace, proxyd, routes)
    result = load.result()
    assert result["ok"] == result["clients"] > 0, json.dumps(result)


def test_proxyd_stops_when_tcpshim_has_finished(workspace, server):
    files = workspace.site("files")
    (files / "large").write_bytes(os.urandom(8 * MiB))
    proxyd = start(workspace, {Name: f"tcp://{server.where(PlainPort)}"})
    slow = workspace.connect(f"GET /files/large HTTP/1.1\r\nHost: {Name}\r\nConnection: close\r\n\r\n".encode(),
                             port=PlainPort)
    slow.socket.settimeout(DeadlineSeconds)
    first = slow.socket.recv(1000)
    proxyd.signal(signal.SIGTERM)
    proxyd.wait_for_line(" notice stopping")
    rest = b"".join(iter(lambda: slow.socket.recv(1 << 20), b""))
    body = (first + rest).partition(b"\r\n\r\n")[2]
    assert body == (files / "large").read_bytes()
    slow.close()
    assert proxyd.wait_for_exit() == 0


def test_tcpshim_finishes_when_proxyd_has_died(workspace, server):
    proxyd = start(workspace, {Name: f"tcp://{server.where()}"})
    get(workspace, Name)
    pid = tcpshim_of(workspace)["pid"]
    proxyd.process.kill()
    proxyd.wait_for_exit()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or
               open(f"/proc/{pid}/stat").read().split()[2] == "Z", "the end of tcpshim")


def test_a_tcpshim_that_has_lost_proxyd_is_not_in_the_way_of_the_next_one(workspace, server):
    proxyd = start(workspace, {Name: f"tcp://{server.where()}"}, metrics=f"unix:{workspace.path}/metrics.sock")
    with tls_client(workspace, Name) as kept:
        request = f"GET / HTTP/1.1\r\nHost: {Name}\r\n\r\n".encode()
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        proxyd.process.kill()
        proxyd.wait_for_exit()
        workspace.start_proxyd(**proxyd.configuration)
        assert get(workspace, Name) == b"first\n"
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_directory_that_cannot_be_made_is_named(workspace):
    configuration = configuration_with(workspace, {Name: "tcp://127.0.0.1:1"})
    configuration["tcpshim"]["directory"] = str(workspace.path / "not" / "there")
    path = workspace.write_configuration(json.dumps(configuration))
    result = subprocess.run([program("proxyd"), "--config", path], capture_output=True, text=True,
                            timeout=DeadlineSeconds)
    problem = f"{path}: tcpshim.directory: {workspace.path}/not: No such file or directory"
    assert (result.returncode, result.stderr) == (1, problem + "\n")
    checked = subprocess.run([program("proxyd"), "--config", path, "--check-config"], capture_output=True, text=True,
                             timeout=DeadlineSeconds)
    assert problem + " (a warning)\n" in checked.stderr
