# SPDX-License-Identifier: MIT
"""proxyrun --keep: what it holds, passes on and starts again, and how it ends."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

import pytest

import preload_support
from support.kept import Family, KeptServer, Server, ServerPort, complaints
from support.load import state_of
from support.notifications import Notifications
from support.processes import DeadlineSeconds, children_of, program
from support.workspace import free_port, wait_until

PassedOn = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU,
            signal.SIGRTMIN + 3]


def test_a_kept_socket_stays_the_same_over_restarts(workspace):
    server = KeptServer(workspace).wait_until_serving()
    inode, files = server.inode, server.file_inodes()
    assert list(files) == [f"443.4-7f000001-{ServerPort}-0.sock"]
    for _ in range(3):
        pid = server.pid
        os.kill(pid, signal.SIGKILL)
        server.wait_until_serving()
        assert (server.inode, server.file_inodes()) == (inode, files)
        assert server.pid != pid


def test_sockets_of_any_number_of_addresses_stay_the_same(workspace):
    server = KeptServer(workspace, "more=140").wait_until_serving()
    inode, files = server.inode, server.file_inodes()
    assert len(files) == 141
    os.kill(server.pid, signal.SIGKILL)
    server.wait_until_serving()
    assert (server.inode, server.file_inodes()) == (inode, files)


def test_clients_wait_in_it_while_the_server_is_started_again(workspace):
    server = KeptServer(workspace).wait_until_serving()
    edge = workspace.close_at_end(preload_support.Edge(server.site, "127.0.0.1", 0, 443))
    os.kill(server.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(server.pid) == "T", "a stopped server")  # it would take one of them otherwise
    clients = [edge.connect() for _ in range(3)]
    os.kill(server.pid, signal.SIGKILL)
    server.wait_until_serving()
    for client in clients:
        with client:
            client.sendall(b"hello\n")
            assert preload_support.says_goodbye(client) == f"{server.pid}\n".encode()


@pytest.mark.parametrize("number", PassedOn, ids=lambda number: f"signal-{number}")
def test_signals_are_passed_on(workspace, number):
    server = KeptServer(workspace).wait_until_serving()
    server.proxyrun.signal(number)
    server.proxyrun.wait_for_line(f"^got {number:d}$")


@pytest.mark.parametrize("how, number, code", [
    ([], signal.SIGTERM, 5),
    (["default"], signal.SIGTERM, 128 + signal.SIGTERM),
    (["default"], signal.SIGQUIT, 128 + signal.SIGQUIT),
    (["default"], signal.SIGINT, 1),  # a Python program's own way: it would be 130 without it
], ids=["caught", "term", "quit", "int"])
def test_a_server_that_is_told_to_end_ends_proxyrun(workspace, how, number, code):
    server = KeptServer(workspace, *how).wait_until_serving()
    server.proxyrun.signal(number)
    ended = server.proxyrun.wait_for_exit()
    assert ended in (code, 130 if number == signal.SIGINT else code)
    assert complaints(server.proxyrun) == []
    assert os.listdir(server.site.path) == []


def test_a_server_that_ends_by_itself_ends_proxyrun(workspace):
    server = KeptServer(workspace, "after=0")
    assert server.proxyrun.wait_for_exit() == 0
    assert (complaints(server.proxyrun), os.listdir(server.site.path)) == ([], [])


def test_a_server_s_end_is_seen_even_if_whoever_started_proxyrun_ignores_the_ends_of_children(workspace):
    ignoring = ["bash", "-c", "trap '' CHLD; exec \"$@\"", "bash"]
    server = KeptServer(workspace, before=ignoring).wait_until_serving()
    os.kill(server.pid, signal.SIGKILL)
    server.wait_until_serving()
    server.proxyrun.signal(signal.SIGTERM)
    assert server.proxyrun.wait_for_exit() == 5


def test_a_mistake_on_the_command_line_is_not_repeated(workspace):
    server = KeptServer(workspace, "fail=3")
    assert server.proxyrun.wait_for_exit() == 3
    assert server.proxyrun.lines == [
        "proxyrun: the server ended with 3 before it had bound a port, so it is not started again"]


def test_a_server_that_fails_is_started_again_ever_more_slowly(workspace):
    server = KeptServer(workspace, "after=7")
    server.proxyrun.wait_for(lambda lines: len(lines) >= 3 or None, "three restarts")
    beginning = "proxyrun: the server ended with 7; starting it again in "
    delays = [float(line.removeprefix(beginning).removesuffix(" s")) for line in server.proxyrun.lines]
    assert delays == sorted(delays) and 0.1 <= delays[0] <= 0.2 and delays[2] >= 0.4
    server.proxyrun.signal(signal.SIGTERM)
    assert server.proxyrun.wait_for_exit() == 7


def test_a_server_may_go_into_the_background(workspace):
    server = KeptServer(workspace, "daemon").wait_until_serving()
    os.kill(server.pid, signal.SIGKILL)
    server.wait_until_serving()
    wait_until(lambda: children_of(server.proxyrun.pid) == [server.pid], "the end of the server's first process")
    server.proxyrun.signal(signal.SIGUSR1)
    server.proxyrun.wait_for_line(f"^got {signal.SIGUSR1:d}$")
    server.proxyrun.signal(signal.SIGTERM)
    assert server.proxyrun.wait_for_exit() == 5


def on_terminal(command):
    """A process on a terminal of its own, and the other end of that."""
    master, slave = pty.openpty()
    child = subprocess.Popen([str(word) for word in command], stdin=slave, stdout=slave, stderr=slave,
                             start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    return child, master


def read_until(master, wanted):
    deadline = time.monotonic() + DeadlineSeconds
    text = ""
    while wanted not in text and select.select([master], [], [], deadline - time.monotonic())[0]:
        text += os.read(master, 4096).decode()
    assert wanted in text, text
    return text


def test_the_terminals_signals_come_once(workspace):
    """Ctrl-C goes to the server from the terminal, as to all of the group; proxyrun doesn't add another one."""
    child, master = on_terminal([program("proxyrun"), "--site", workspace.site("kept"), "--port", f"443={ServerPort}",
                                 "--keep", "--", sys.executable, "-u", Server, ServerPort])
    try:
        read_until(master, "serving ")
        os.write(master, b"\x03")
        seen = read_until(master, "got 2\r\n")
        child.send_signal(signal.SIGUSR1)
        seen += read_until(master, f"got {signal.SIGUSR1:d}\r\n")
        assert seen.count("got 2\r\n") == 1
        child.send_signal(signal.SIGTERM)
        assert child.wait(DeadlineSeconds) == 5
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(master)


def test_the_terminals_signals_come_to_a_server_in_the_background(workspace):
    """It has left the terminal, so it gets them from proxyrun alone."""
    child, master = on_terminal([program("proxyrun"), "--site", workspace.site("kept"), "--port", f"443={ServerPort}",
                                 "--keep", "--", sys.executable, "-u", Server, ServerPort, "daemon"])
    try:
        server = int(re.search(r"serving (\d+) ", read_until(master, "\r\n")).group(1))
        wait_until(lambda: children_of(child.pid) == [server], "the end of the server's first process")
        os.write(master, b"\x03")
        read_until(master, "got 2\r\n")
        child.send_signal(signal.SIGTERM)
        assert child.wait(DeadlineSeconds) == 5
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(master)


# What it tells.


HintText = (f"proxyrun: the server listens on port {{port}} itself, where proxyd's clients don't come, and on none of "
            f"{ServerPort}: start it with --port 443={{port}}")


def wrong_port_command(workspace, port, *options):
    return [program("proxyrun"), "--site", workspace.site("kept"), "--port", f"443={ServerPort}", *options, "--",
            sys.executable, "-u", Server, port]


def test_a_server_on_another_port_is_told(workspace):
    port = free_port("127.0.0.1")
    child = Family(workspace, *wrong_port_command(workspace, port, "--keep"))
    child.wait_for_line("^proxyrun: ")
    assert complaints(child) == [HintText.format(port=port)]
    child.signal(signal.SIGTERM)
    assert child.wait_for_exit() == 5


def test_a_server_on_another_port_is_told_on_a_terminal_without_a_keeper(workspace):
    port = free_port("127.0.0.1")
    child, master = on_terminal(wrong_port_command(workspace, port))
    try:
        assert HintText.format(port=port) in read_until(master, f"--port 443={port}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(master)


def test_a_service_manager_hears_when_the_server_has_bound(workspace):
    manager = workspace.close_at_end(Notifications(workspace.path / "notify"))
    server = KeptServer(workspace, env={**os.environ, "NOTIFY_SOCKET": str(manager.path)})
    assert manager.next() == {"READY": "1", "STATUS": "the server has bound its ports"}
    server.wait_until_serving()
    os.kill(server.pid, signal.SIGKILL)
    text = "restarts: 1, the last since the server was killed by signal 9 (Killed)"
    assert manager.next() == {"STATUS": text}
    server.wait_until_serving()
    assert b"NOTIFY_SOCKET" not in pathlib.Path(f"/proc/{server.pid}/environ").read_bytes()
    server.proxyrun.signal(signal.SIGTERM)
    assert manager.next() == {"STOPPING": "1", "STATUS": "waiting for the server to end"}


# Neighbours.


def test_clients_that_a_stopping_server_leaves_go_to_its_neighbour(workspace):
    stopping = KeptServer(workspace, "deaf", port=ServerPort).wait_until_serving()
    edge = workspace.close_at_end(preload_support.Edge(stopping.site, "127.0.0.1", 0, 443))
    clients = [edge.connect() for _ in range(5)]
    neighbour = KeptServer(workspace, port=ServerPort + 1).wait_until_serving()
    stopping.proxyrun.signal(signal.SIGTERM)
    for client in clients:
        with client:
            client.sendall(b"hello\n")
            assert preload_support.says_goodbye(client) == f"{neighbour.pid}\n".encode()
    assert stopping.proxyrun.wait_for_exit() == 5
    assert complaints(stopping.proxyrun) == []


def test_it_says_how_many_clients_nobody_takes(workspace):
    server = KeptServer(workspace, "deaf").wait_until_serving()
    edge = workspace.close_at_end(preload_support.Edge(server.site, "127.0.0.1", 0, 443))
    clients = [workspace.close_at_end(edge.connect()) for _ in range(3)]
    server.proxyrun.signal(signal.SIGTERM)
    assert server.proxyrun.wait_for_exit() == 5
    assert complaints(server.proxyrun) == ["proxyrun: clients that were queued for the server, and are lost: 3"]
    assert [client.recv(1) for client in clients] == [b""] * 3


def test_a_listener_that_the_next_run_does_not_bind_is_given_up(workspace):
    """Its clients would wait for nobody. The second run binds another address of the same port."""
    script = workspace.path / "server.py"
    script.write_text("import os, pathlib, signal, socket\n"
                      "second = pathlib.Path('second')\n"
                      "address = '127.0.0.2' if second.exists() else '127.0.0.1'\n"
                      "second.touch()\n"
                      f"listener = socket.create_server((address, {ServerPort}))\n"
                      "print('serving', os.getpid(), flush=True)\n"
                      "signal.pause()\n")
    site = preload_support.Site(workspace.site("kept"))
    workspace.close_at_end(site)
    child = Family(workspace, program("proxyrun"), "--site", site.path, "--port", f"443={ServerPort}", "--keep", "--",
                   sys.executable, script, cwd=workspace.path)
    os.kill(int(child.wait_for_line(r"^serving (\d+)$").group(1)), signal.SIGKILL)
    child.wait_for_line("^proxyrun: the server doesn't bind 1 of the ports any more that it had before$")
    assert site.files() == [f"443.4-7f000002-{ServerPort}-0.sock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as somebody else")
def test_a_server_of_another_user_who_may_receive_for_the_site(workspace):
    """By the group of its directory; the owner is somebody else."""
    workspace.path.chmod(0o755)
    site = workspace.site("kept")
    shutil.chown(site, "root", "nogroup")
    site.chmod(0o2770)
    server = KeptServer(workspace, launcher=["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"])
    inode = server.wait_until_serving().inode
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait_until_serving().inode == inode
