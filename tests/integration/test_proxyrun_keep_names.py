# SPDX-License-Identifier: MIT
"""proxyrun --keep: what becomes of its sockets' files, and of who is queued, when others have a hand in it."""

import fcntl
import os
import pathlib
import select
import signal
import socket
import sys

import pytest

import preload_support
from support.kept import Family, KeptServer, ServerPort, complaints
from support.load import state_of
from support.processes import DeadlineSeconds, children_of, program
from support.workspace import wait_until

Name = f"443.4-7f000001-{ServerPort}-0.sock"


def edge_for(workspace, server):
    return workspace.close_at_end(preload_support.Edge(server.site, "127.0.0.1", 0, 443))


def served_by(client):
    with client:
        client.sendall(b"hello\n")
        return int(preload_support.says_goodbye(client))


def stop_to_be_killed(server):
    """It would take one of the clients otherwise who come before it is killed."""
    os.kill(server.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(server.pid) == "T", "a stopped server")


def remove(server, *, hidden, keeper=False):
    for name in sorted(os.listdir(server.site.path)):  # hidden ones first
        if name.startswith("443.") or (hidden and name.startswith(".443.")) or (keeper and name.startswith(".keeper-")):
            (server.site.path / name).unlink()


def test_a_file_that_somebody_removes_is_there_again(workspace):
    server = KeptServer(workspace).wait_until_serving()
    files = server.file_inodes()
    for _ in range(2):
        remove(server, hidden=False)
        wait_until(lambda: server.file_inodes() == files, "its file")
        assert served_by(edge_for(workspace, server).connect()) == server.pid
    wait_until(lambda: len(complaints(server.proxyrun)) == 2, "two lines")
    path = server.site.path / Name
    assert complaints(server.proxyrun) == [f"proxyrun: {path}: somebody had removed it; it is there again"] * 2
    server.proxyrun.signal(signal.SIGTERM)
    assert server.proxyrun.wait_for_exit() == 5
    assert os.listdir(server.site.path) == []


@pytest.mark.parametrize("restarts", [0, 1], ids=["first-run", "restarted"])
@pytest.mark.parametrize("keeper", [False, True], ids=["site-sockets", "everything"])
def test_after_the_directory_was_emptied_the_next_run_gets_a_fresh_socket_and_who_is_queued(workspace, keeper, restarts):
    """A server that has been restarted has an unused socket in store, whose file is gone as well."""
    server = KeptServer(workspace).wait_until_serving()
    for _ in range(restarts):
        os.kill(server.pid, signal.SIGKILL)
        server.wait_until_serving()
    edge = edge_for(workspace, server)
    stop_to_be_killed(server)
    clients = [edge.connect() for _ in range(3)]
    inode = server.inode
    remove(server, hidden=True, keeper=keeper)
    server.proxyrun.wait_for_line("^proxyrun: .*/" + Name + ": somebody has removed it, so no client comes to the server "
                                  "before it is started again$")
    os.kill(server.pid, signal.SIGKILL)
    server.wait_until_serving()
    assert server.inode != inode and list(server.file_inodes()) == [Name]
    assert [served_by(client) for client in clients] == [server.pid] * 3
    assert served_by(edge.connect()) == server.pid
    inode = server.inode
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait_until_serving().inode == inode


def test_it_says_that_the_directory_is_another_one(workspace):
    server = KeptServer(workspace).wait_until_serving()
    path = server.site.path
    path.rename(path.with_name("old"))
    path.mkdir()
    os.kill(server.pid, signal.SIGKILL)
    server.wait_until_serving()
    assert os.listdir(path) == [Name]
    assert complaints(server.proxyrun)[-1] == (
        f"proxyrun: {path}: this is another directory than the one that proxyrun has started with, or none, so the server's "
        "sockets aren't kept any more: start proxyrun again")


def test_the_keeper_is_asked_by_its_path_again_after_that_was_removed(workspace):
    server = KeptServer(workspace).wait_until_serving()
    inode = server.inode
    [keeper] = server.site.path.glob(".keeper-*")
    keeper.unlink()
    wait_until(keeper.exists, "the keeper's file")
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait_until_serving().inode == inode
    server.proxyrun.signal(signal.SIGTERM)
    assert server.proxyrun.wait_for_exit() == 5
    assert os.listdir(server.site.path) == []


def test_when_another_server_has_taken_the_place_and_has_gone_it_is_there_again(workspace):
    server = KeptServer(workspace).wait_until_serving()
    files = server.file_inodes()
    path = server.site.path / Name
    edge = edge_for(workspace, server)
    other = KeptServer(workspace, proxyrun=["--takeover"]).wait_until_serving()
    server.proxyrun.wait_for_line(f"^proxyrun: {path}: another server has taken the place, and gets the clients$")
    assert served_by(edge.connect()) == other.pid
    os.kill(other.pid, signal.SIGKILL)
    wait_until(lambda: server.file_inodes() == files, "its file")
    assert served_by(edge.connect()) == server.pid
    server.proxyrun.wait_for_line(f"^proxyrun: {path}: the other server has gone; it is there again$")


def test_a_server_takes_over_when_it_is_started_and_not_again_after_a_crash(workspace):
    old = KeptServer(workspace, proxyrun=["--keep", "--takeover"]).wait_until_serving()
    new = KeptServer(workspace, proxyrun=["--keep", "--takeover"]).wait_until_serving()
    edge = edge_for(workspace, new)
    os.kill(old.pid, signal.SIGKILL)
    old.proxyrun.wait_for_line("^proxyrun: .* is another live server's, ")
    assert served_by(edge.connect()) == new.pid


@pytest.mark.parametrize("how", [["--takeover"], ["--takeover", "--keep"]], ids=["takeover", "takeover-keep"])
def test_a_server_whose_place_is_taken_is_told_so_when_it_is_started_again(workspace, how):
    """As on TCP, it can't bind; it serves when the other one has ended. Who was queued goes to that one."""
    server = KeptServer(workspace).wait_until_serving()
    edge = edge_for(workspace, server)
    stop_to_be_killed(server)
    clients = [edge.connect() for _ in range(3)]
    other = KeptServer(workspace, proxyrun=how).wait_until_serving()
    os.kill(server.pid, signal.SIGKILL)
    name, = other.site.files()
    server.proxyrun.wait_for_line(
        f"^proxyrun: {server.site.path}/{name} is another live server's, python3[.0-9]* \\(PID {other.pid}\\), so this one "
        "can't bind its port: end that one, or start this one with --takeover, or let it bind another port "
        r"\(--port 443=OTHER\)$")
    assert [served_by(client) for client in clients] == [other.pid] * 3
    assert served_by(edge.connect()) == other.pid
    other.proxyrun.signal(signal.SIGTERM)
    assert other.proxyrun.wait_for_exit() == 5
    server.wait_until_serving()
    assert served_by(edge.connect()) == server.pid
    assert len([line for line in complaints(server.proxyrun) if "another live server's" in line]) == 1


def test_a_second_server_hears_whose_the_place_is(workspace):
    first = KeptServer(workspace).wait_until_serving()
    second = KeptServer(workspace)
    assert second.proxyrun.wait_for_exit() == 1
    command = pathlib.Path(f"/proc/{first.pid}/comm").read_text().strip()
    assert complaints(second.proxyrun) == [
        f"proxyrun: {first.site.path}/{Name} is another live server's, {command} (PID {first.pid}), so this one can't bind "
        "its port: end that one, or start this one with --takeover, or let it bind another port (--port 443=OTHER)",
        "proxyrun: the server ended with 1 before it had bound a port, so it is not started again"]
    assert served_by(edge_for(workspace, first).connect()) == first.pid


BindsTwice = """
import os, signal, socket
first = socket.create_server(("::", %d), family=socket.AF_INET6, dualstack_ipv6=True)
try:
    socket.create_server(("0.0.0.0", %d))
except OSError as error:
    print("second:", error.errno, flush=True)
print("serving", os.getpid(), os.fstat(first.fileno()).st_ino, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", [["--takeover"], ["--takeover", "--keep"]], ids=["takeover", "takeover-keep"])
def test_no_server_takes_over_from_itself(workspace, how):
    """The second bind fails on TCP, whoever had the port before."""
    KeptServer(workspace).wait_until_serving()
    site = workspace.site("kept")
    child = Family(workspace, program("proxyrun"), "--site", site, "--port", f"443={ServerPort}", *how, "--",
                   sys.executable, "-c", BindsTwice % (ServerPort, ServerPort))
    child.wait_for_line("^serving ")
    assert child.lines[0] == "second: 98"
    assert [name.name for name in site.glob("443.*")] == [f"443.d-any-{ServerPort}-0.sock"]


def test_it_says_that_nobody_reads_a_socket_of_the_service_manager(workspace):
    path = workspace.site("kept") / f"443.4-7f000002-{ServerPort}-0.sock"
    held = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    held.bind(str(path))
    number = held.fileno()
    os.set_inheritable(number, True)
    # Not sh: to dash a descriptor has one digit.
    manager = ["bash", "-c", f'exec 3<&{number} {number}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "bash"]
    server = KeptServer(workspace, before=manager, pass_fds=[number]).wait_until_serving()
    server.proxyrun.wait_for_line("^proxyrun: ")
    assert complaints(server.proxyrun) == [
        f"proxyrun: {path}: nobody takes the clients who come there: the service manager holds it, and the server doesn't "
        "bind its address"]


# Locks and leftovers.


@pytest.mark.parametrize("proxyrun", [[], ["--keep"]], ids=["alone", "keep"])
def test_whoever_holds_the_directory_s_lock_delays_a_server_and_no_more(workspace, proxyrun):
    """Without the lock nothing that looks dead is removed."""
    site = preload_support.Site(workspace.site("kept"))
    workspace.close_at_end(site)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(site.path / Name))
    dead.close()
    holder = os.open(site.path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    server = KeptServer(workspace, proxyrun=proxyrun).wait_until_serving()
    assert site.files() == [Name, Name.replace("-0.sock", "-1.sock")]
    assert [site.is_alive(name) for name in site.files()] == [False, True]
    second = KeptServer(workspace, proxyrun=proxyrun)
    assert second.proxyrun.wait_for_exit() == 1
    os.close(holder)
    os.killpg(server.proxyrun.pid, signal.SIGKILL)
    server.proxyrun.wait_for_exit()
    KeptServer(workspace, proxyrun=proxyrun).wait_until_serving()
    assert site.files() == [Name]


def test_whoever_holds_the_lock_delays_a_server_once_and_not_at_each_bind(workspace):
    """Two seconds for each would be more than the test has."""
    holder = os.open(workspace.site("kept"), os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    server = KeptServer(workspace, "more=30", proxyrun=[]).wait_until_serving()
    os.close(holder)
    assert len(server.site.files()) == 31


def test_what_a_killed_proxyrun_has_left_is_cleared_away_by_the_next_one(workspace):
    server = KeptServer(workspace).wait_until_serving()
    before = set(os.listdir(server.site.path))
    os.kill(server.proxyrun.pid, signal.SIGKILL)
    server.proxyrun.process.wait(DeadlineSeconds)
    # Its server lives on: what that has open is not cleared.
    second = KeptServer(workspace, port=ServerPort + 1).wait_until_serving()
    left = before & set(os.listdir(server.site.path))
    assert left == {name for name in before if not name.startswith(".keeper-")} and len(left) == len(before) - 1
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: state_of(server.pid) in ("Z", ""), "a dead server")
    third = KeptServer(workspace).wait_until_serving()
    for each in second, third:
        each.proxyrun.signal(signal.SIGTERM)
        assert each.proxyrun.wait_for_exit() == 5
    assert os.listdir(server.site.path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a PID namespace without more ado")
def test_keepers_of_containers_have_the_same_pid_and_not_the_same_files(workspace):
    container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    servers = [KeptServer(workspace, port=ServerPort + number, before=container).wait_until_serving()
               for number in range(2)]
    assert servers[0].pid == servers[1].pid
    for server in servers:
        inode = server.inode
        keeper, = children_of(server.proxyrun.pid)
        os.kill(children_of(keeper)[0], signal.SIGKILL)
        assert server.wait_until_serving().inode == inode


# The end.


def fill(server, edge):
    """Clients for a stopped server, as many as it has room for."""
    os.kill(server.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(server.pid) == "T", "a stopped server")
    clients = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(str(server.site.path / server.site.files()[0]))
        while select.select([], [sender], [], 0)[1]:
            clients.append(edge.connect())
    return clients


@pytest.fixture
def stalled(workspace):
    """A server that ends, with clients in its queue, beside one that has no room for them."""
    neighbour = KeptServer(workspace, port=ServerPort + 1).wait_until_serving()
    edge = edge_for(workspace, neighbour)
    for_neighbour = fill(neighbour, edge)
    ending = KeptServer(workspace, "deaf").wait_until_serving()
    edge.site.files = lambda: [Name]
    clients = [edge.connect() for _ in range(10)]
    ending.proxyrun.signal(signal.SIGTERM)
    wait_until(lambda: state_of(ending.pid) in ("Z", ""), "the end of the server")
    wait_until(lambda: not os.path.exists(ending.site.path / Name), "a site without it")
    return ending, neighbour, clients, for_neighbour


def test_a_stalled_neighbour_gets_the_clients_when_it_goes_on(stalled):
    ending, neighbour, clients, for_neighbour = stalled
    assert ending.proxyrun.process.poll() is None
    os.kill(neighbour.pid, signal.SIGCONT)
    assert [served_by(client) for client in [*for_neighbour, *clients]] == [neighbour.pid] * (len(for_neighbour) + 10)
    assert ending.proxyrun.wait_for_exit() == 5
    assert complaints(ending.proxyrun) == []


def test_nobody_waits_for_a_stalled_neighbour_longer_than_he_likes(stalled):
    """All clients together wait for ten seconds, and not at all if proxyrun is told once more to end."""
    ending, _, _, _ = stalled
    ending.proxyrun.signal(signal.SIGTERM)
    assert ending.proxyrun.wait_for_exit() == 5
    assert complaints(ending.proxyrun) == ["proxyrun: clients that were queued for the server, and are lost: 10"]


def test_it_says_that_a_server_does_not_end(workspace):
    server = KeptServer(workspace, "stubborn").wait_until_serving()
    server.proxyrun.signal(signal.SIGTERM)
    server.proxyrun.wait_for_line("^proxyrun: ")
    assert complaints(server.proxyrun) == [
        f"proxyrun: the server (PID {server.pid}) goes on, though it was told to end; its sockets are out of service, so no "
        f"more clients come to it: kill -KILL {server.pid} ends it at once"]
    os.kill(server.pid, signal.SIGKILL)
    assert server.proxyrun.wait_for_exit() == 128 + signal.SIGKILL
