# SPDX-License-Identifier: MIT
"""The control socket: who may use it, and what those can't do who use it badly."""

import json
import os
import random
import resource
import signal
import socket
import stat

import pytest

from support.control import ControlClient, objects, own_user, proxyctl, start_with_control
from support.processes import IsSanitized, run_proxyd
from support.workspace import Port, wait_until

Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
AsStranger = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def path(workspace):
    return workspace.path / "control.sock"


@pytest.fixture
def connect(workspace, path):
    return lambda: workspace.close_at_end(ControlClient(path))


def descriptor_count(proxyd):
    """Of main alone: workers have senders to sites, too."""
    return len(os.listdir(f"/proc/{proxyd.pid}/fd"))


def assert_alive(workspace, connect, inbox=None):
    assert connect().ask({"do": "log-level"}) == [{"item": {"level": "notice"}}, {"ok": True}]
    inbox = inbox or workspace.inbox("sites/blog.example.org")
    client = workspace.connect(Get)
    inbox.receive().answer(b"fine")
    assert client.read_to_end() == b"fine"


def test_is_for_owner_and_group_only(workspace, path):
    before = os.umask(0)
    start_with_control(workspace)
    os.umask(before)
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o660, os.geteuid(), os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_kept_out(workspace, path):
    start_with_control(workspace)
    workspace.path.chmod(0o755)
    result = proxyctl(workspace, "status", prefix=AsStranger)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"proxyctl: {path}: Permission denied; the socket is for its owner and group\n")
    os.chown(path, -1, 65534)
    assert proxyctl(workspace, "status", prefix=AsStranger).returncode == 0


def test_garbage_harms_nothing(workspace, connect):
    proxyd = start_with_control(workspace)
    source = random.Random(7)
    for _ in range(50):
        client = connect()
        client.send(source.randbytes(source.randrange(1, 3000)) + b"\n")
        assert client.line()["ok"] is False
        client.close()
    client = connect()
    client.send(b"[" * 60000 + b"\n" + b'{"do":' * 5000 + b"\n" + b'{"do":{"do":["status"]}}\n')
    assert [client.line()["ok"] for _ in range(3)] == [False] * 3
    assert_alive(workspace, connect)
    assert proxyd.process.poll() is None


def test_a_line_without_end_is_refused(connect, workspace):
    start_with_control(workspace)
    client = connect()
    try:
        for _ in range(64):
            client.send(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass
    else:
        raise AssertionError("4 MiB were taken")
    assert client.line() == {"ok": False, "error": "a request has more than 65536 bytes"}
    assert_alive(workspace, connect)


def test_requests_of_a_client_that_has_ended_its_half(connect, workspace):
    start_with_control(workspace)
    client = connect()
    client.send(b'{"do":"log-level"}\n{"do":"sessions"}\n')
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.line() for _ in range(4)] == [{"item": {"level": "notice"}}, {"ok": True}, {"ok": True}, None]


def test_a_thousand_connections(workspace, connect, path):
    """Those who want nothing make room; main stays within its bounds."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    proxyd = start_with_control(workspace)
    before = descriptor_count(proxyd)
    clients = []
    for _ in range(1000):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(path))
        clients.append(workspace.close_at_end(client))
    assert_alive(workspace, connect)
    assert descriptor_count(proxyd) <= before + 33
    for client in clients:
        client.close()
    wait_until(lambda: descriptor_count(proxyd) <= before + 1, "the end of all connections")


def test_clients_that_never_read_keep_nobody_else_waiting(workspace, connect):
    site = str(workspace.site("sites/blog.example.org"))
    proxyd = start_with_control(workspace, routes={f"name-{i}.example.org": site for i in range(3000)}
                                | {"blog.example.org": site})
    for _ in range(8):
        deaf = connect()
        deaf.socket.setblocking(False)
        try:
            while True:
                deaf.socket.send(b'{"do":"routes","limit":3000}\n' * 100)
        except BlockingIOError:
            pass
    subscriber = connect()
    subscriber.send(b'{"do":"events"}\n')
    inbox = workspace.inbox("sites/blog.example.org")
    for _ in range(20):
        assert_alive(workspace, connect, inbox)
    memory = int(next(line for line in open(f"/proc/{proxyd.pid}/status") if line.startswith("VmRSS")).split()[1])
    assert memory < (600_000 if IsSanitized else 150_000), "KiB"


def test_clients_leave_in_the_middle(workspace, connect, path):
    proxyd = start_with_control(workspace)
    before = descriptor_count(proxyd)
    for request in (b'{"do":"sites"}\n', b'{"do":"events"}\n', b'{"do":"reload"}\n', b'{"do', b""):
        for _ in range(5):
            client = ControlClient(path)
            client.send(request)
            client.close()
    assert_alive(workspace, connect)
    wait_until(lambda: descriptor_count(proxyd) <= before + 2, "the end of all connections")


def test_a_socket_that_is_in_use_is_not_taken(workspace, path):
    start_with_control(workspace)
    second = workspace.path / "second.json"
    second.write_text(json.dumps({"listen": [f"{workspace.address}:{Port + 1}"], "sites": str(workspace.sites),
                                  **own_user(), "control": str(path)}, indent=1))
    result = run_proxyd("--config", second)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].endswith(
        f" control: cannot listen at {path}: somebody answers there already")
    assert objects(workspace, "log-level") == [{"level": "notice"}]


def test_a_stale_socket_is_replaced_and_goes_at_the_end(workspace, path):
    proxyd = start_with_control(workspace)
    os.kill(proxyd.pid, signal.SIGKILL)
    proxyd.wait_for_exit()
    assert path.is_socket()
    again = start_with_control(workspace)
    assert objects(workspace, "status")[0]["pid"] == again.pid
    again.stop()
    assert not path.exists()


def test_it_can_be_turned_off(workspace):
    proxyd = start_with_control(workspace, control="none")
    assert not (workspace.path / "control.sock").exists()
    proxyd.stop()


def test_the_socket_moves_with_a_reload(workspace, path):
    proxyd = start_with_control(workspace)
    configuration = json.loads((workspace.path / "proxyd.json").read_text())
    elsewhere = workspace.path / "elsewhere.sock"
    (workspace.path / "proxyd.json").write_text(json.dumps(configuration | {"control": str(elsewhere)}))
    assert proxyctl(workspace, "reload").returncode == 0
    assert elsewhere.is_socket() and not path.exists()
    assert workspace.close_at_end(ControlClient(elsewhere)).ask({"do": "status"})[0]["item"]["pid"] == proxyd.pid
