# SPDX-License-Identifier: MIT
"""Real servers whose sockets somebody keeps, killed, stopped and started under load: no client notices, but those
whom a killed process had in hand. PROXYD_SOAK=1 kills ten times.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

from support.load import Load, peers_of, state_of, summary
from support.processes import children_of, descriptors_of, program
from support.receivers import QueueLength
from support.servers import PlainNginx, Server, is_live_socket
from support.workspace import Port, wait_until

Source = pathlib.Path(__file__).resolve().parents[2]
Kills = 10 if os.environ.get("PROXYD_SOAK") else 3
# Clients each second, as far as the server can: a slow one gets as many as it can take, with so many at a time.
Paced = {"rate": 250, "at_once": 100}
# As many as the servers can take, and more than their queues.
Unpaced = {"at_once": 20}
# A server that has run for a second is started again at once.
Lifetime = 1.05

NodeProgram = """
const server = require('http').createServer((request, response) => response.end('served\\n'));
server.listen(%s, '0.0.0.0');
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
"""

PythonProgram = """
import http.server, signal, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"served\\n")
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128
server = Server(("0.0.0.0", %s), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""


class Script(Server):
    """A server in a file of its own, which ends gracefully at SIGTERM."""

    host = "load.example.org"
    graceful = signal.SIGTERM

    def __init__(self, workspace, port=Port, **options):
        script = workspace.path / f"server-{port}"
        script.write_text(self.text % port)
        super().__init__(workspace, [*self.interpreter, script], port, **options)


class NodeScript(Script):
    kind, interpreter, text = "node", ["node"], NodeProgram


class PythonScript(Script):
    kind, interpreter, text = "python", ["/usr/bin/python3", "-u"], PythonProgram


class GracefulNginx(PlainNginx):
    graceful = signal.SIGQUIT


class ReusingNginx(GracefulNginx):
    listen_options = "reuseport"


EveryServer = pytest.mark.parametrize("server_type", [GracefulNginx, NodeScript, PythonScript],
                                      ids=["nginx", "node", "python"])


def start_proxyd(workspace, server_type):
    return workspace.start_proxyd(routes={"*": str(workspace.site(server_type.kind))})


def start_load(workspace, how):
    request = b"GET / HTTP/1.1\r\nHost: load.example.org\r\nConnection: close\r\n\r\n"
    return Load(workspace, request, seconds=600, **how)


def end_load(load, what):
    load.signal(signal.SIGTERM)
    result = load.result()
    print(what, f"{result['ok'] / result['seconds']:.0f} a second,", summary(result))
    assert result["ok"] > 0
    return result


def family_of(pid):
    """The process and all that come from it."""
    return [pid, *(each for child in children_of(pid) for each in family_of(child))]


def kill_all(pids):
    """SIGKILL for a server, which is stopped before, so that we know exactly whom it had in hand: returns them."""
    in_hand = set()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        wait_until(lambda: state_of(pid) in ("T", "Z", ""), "a stopped process")
        if state_of(pid) == "T":
            in_hand |= peers_of(pid)
    for pid in reversed(pids):  # workers first: who is stopped and has lost its parent is made to go on
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return in_hand


def assert_only_those_in_hand_noticed(result, in_hand):
    lost = {failure["client"]: failure["outcome"] for failure in result["failures"]}
    assert set(lost) <= in_hand, [failure for failure in result["failures"] if failure["client"] not in in_hand][:5]
    assert set(lost.values()) <= {"reset", "end_of_file"}


@EveryServer
def test_a_kept_server_is_killed_again_and_again(workspace, server_type):
    start_proxyd(workspace, server_type)
    server = server_type(workspace, proxyrun_options=["--keep"]).wait_until_ready()
    load = start_load(workspace, Paced)
    in_hand = set()
    for _ in range(Kills):
        pids = wait_until(lambda: children_of(server.pid), "a server")
        assert not load.ends_within(Lifetime)
        in_hand |= kill_all(family_of(pids[0]))
        wait_until(lambda: (now := children_of(server.pid)) and now != pids, "the next run of the server")
    assert not load.ends_within(Lifetime)
    result = end_load(load, f"{server_type.kind} kept, {Kills} kills, {len(in_hand)} in hand:")
    assert_only_those_in_hand_noticed(result, in_hand)


class Manager:
    """Holds a site socket, as systemd does for a socket unit, and starts a server with it."""

    def __init__(self, workspace, server_type):
        site = workspace.site(server_type.kind)
        self.socket = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.path = site / f"{Port}.sock"
        self.socket.bind(str(self.path))
        os.chmod(self.path, 0o660)
        self.workspace, self.server_type = workspace, server_type

    def start(self, *options):
        number = self.socket.fileno()
        close = f"{number}<&-" if number != 3 else ""
        # Not sh: to dash a descriptor has one digit.
        launcher = ["bash", "-c", f'exec 3<&{number} {close}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "bash"]
        os.set_inheritable(number, True)
        return self.server_type(self.workspace, launcher=launcher, pass_fds=[number],
                                proxyrun_options=options)


@pytest.mark.parametrize("server_type, options", [(GracefulNginx, []), (NodeScript, []), (PythonScript, []),
                                                  (PythonScript, ["--keep"])],
                         ids=["nginx", "node", "python", "python-keep"])
def test_a_server_is_killed_again_and_again_while_systemd_holds_its_socket(workspace, server_type, options):
    start_proxyd(workspace, server_type)
    manager = Manager(workspace, server_type)
    inode = manager.path.stat().st_ino
    load = start_load(workspace, Paced)
    in_hand = set()
    for _ in range(Kills):
        server = manager.start(*options)
        wait_until(lambda: has_open(server, manager.socket), "a server with the socket")
        assert not load.ends_within(Lifetime / 2)
        in_hand |= kill_all(family_of(server.pid))
        server.wait_for_exit()
    server = manager.start(*options)
    assert not load.ends_within(Lifetime / 2)
    result = end_load(load, f"{server_type.kind} with systemd's socket, {Kills} kills, {len(in_hand)} in hand:")
    assert_only_those_in_hand_noticed(result, in_hand)
    assert [path.name for path in server.site_sockets()] == [f"{Port}.sock"]
    assert manager.path.stat().st_ino == inode


def has_open(server, held):
    name = f"socket:[{os.fstat(held.fileno()).st_ino}]"
    return any(name in descriptors_of(pid) for pid in family_of(server.pid))


@EveryServer
def test_without_a_keeper_those_in_the_queue_are_lost_as_well(workspace, server_type):
    """No more than those, and proxyd holds the others until the next one is there."""
    start_proxyd(workspace, server_type)
    server = server_type(workspace).wait_until_ready()
    load = start_load(workspace, Paced)
    in_hand = set()
    for _ in range(3):
        assert not load.ends_within(Lifetime / 2)
        in_hand |= kill_all(family_of(server.pid))
        server.wait_for_exit()
        server = server_type(workspace).wait_until_ready()
    assert not load.ends_within(Lifetime / 2)
    result = end_load(load, f"{server_type.kind} without a keeper, 3 kills, {len(in_hand)} in hand:")
    assert len(result["failures"]) <= len(in_hand) + 3 * QueueLength
    assert {failure["outcome"] for failure in result["failures"]} <= {"reset", "end_of_file"}


def start_instance(workspace, server_type, port, *options, count=1):
    """One more on the site, and its sockets."""
    site = workspace.site(server_type.kind)

    def live():
        return {str(path) for path in site.glob(f"{Port}.*.sock") if is_live_socket(path)}

    before = live()
    server = server_type(workspace, port=port, edge_port=Port, proxyrun_options=options)
    server.sockets = wait_until(lambda: len(live() - before) == count and live() - before, "its sockets")
    return server


def wait_until_all_get_clients(proxyd, *instances):
    so_far = len(proxyd.lines)
    paths = set().union(*(instance.sockets for instance in instances))
    wait_until(lambda: all(any(f" site={path} " in line for line in proxyd.lines[so_far:]) for path in paths),
               "all to get clients")


@pytest.mark.parametrize("server_type, ports", [(GracefulNginx, (9001, 9002)), (NodeScript, (9001, 9002)),
                                                (PythonScript, (9001, 9002)), (ReusingNginx, (9001, 9001))],
                         ids=["nginx", "node", "python", "nginx-reuseport"])
def test_two_instances_share_the_load_and_either_may_stop(workspace, server_type, ports):
    """Each binds a port of its own, or they share one by SO_REUSEPORT."""
    proxyd = start_proxyd(workspace, server_type)
    instances = [start_instance(workspace, server_type, port, "--keep") for port in ports]
    load = start_load(workspace, Unpaced)
    for which in (0, 1, 0, 1, 0, 1):
        wait_until_all_get_clients(proxyd, *instances)
        instances[which].signal(server_type.graceful)
        assert instances[which].wait_for_exit() == 0
        instances[which] = start_instance(workspace, server_type, ports[which], "--keep")
    result = end_load(load, f"{server_type.kind}, two instances:")
    assert result["failures"] == []


def test_workers_with_listeners_of_their_own_take_over_from_nobody_and_least_from_each_other(workspace):
    """With SO_REUSEPORT they share the place with a running server, as on TCP, until that is stopped."""
    proxyd = start_proxyd(workspace, ReusingNginx)
    first = start_instance(workspace, ReusingNginx, Port, "--keep")
    load = start_load(workspace, Unpaced)
    second = start_instance(workspace, ReusingNginx, Port, "--takeover", count=2)
    wait_until_all_get_clients(proxyd, first, second)
    first.signal(signal.SIGQUIT)
    assert first.wait_for_exit() == 0
    wait_until_all_get_clients(proxyd, second)
    result = end_load(load, "nginx with a listener for each worker, taking over:")
    assert result["failures"] == []
    assert {str(path) for path in second.live_sockets()} == second.sockets


def test_systemd_starts_a_server_with_a_socket_of_its_own(workspace):
    """With the first client: systemd-socket-activate opens the socket, waits, and becomes proxyrun."""
    workspace.start_proxyd(routes={"*": str(workspace.site("python"))})
    path = workspace.site("python") / f"{Port}.sock"
    launcher = ["systemd-socket-activate", "--datagram", "--listen", path]
    server = PythonScript(workspace, launcher=launcher)
    server.wait_for_line("^Listening on ")
    client = workspace.connect(b"GET / HTTP/1.0\r\nHost: load.example.org\r\n\r\n")
    assert client.read_to_end().endswith(b"served\n")
    assert server.site_sockets() == [path]


def verify(directory, *units):
    for name in units:
        text = (Source / "packaging" / "systemd" / name).read_text()
        stand_in = {"/usr/bin/node": "/usr/bin/true", "@PROXYD_BINDIR@": str(pathlib.Path(program("proxyrun")).parent)}
        for word, other in stand_in.items():
            text = text.replace(word, other)
        (directory / name.removesuffix(".in").replace("site", "blog")).write_text(text.replace("User=blog", "User=daemon"))
    files = sorted(str(path) for path in directory.iterdir())
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files], capture_output=True, text=True)
    return result.returncode, [line for line in result.stderr.splitlines() if "blog" in line]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_units_of_the_worked_example_are_right(tmp_path):
    assert verify(tmp_path, "site.socket", "site.service.in") == (0, [])
