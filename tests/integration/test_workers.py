# SPDX-License-Identifier: MIT
"""The worker processes: who they are, what they may do, how clients are shared out, and what happens when they end."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

import pytest

from support.control import objects
from support.load import state_of, wait_for_workers
from support.processes import (DeadlineSeconds, Child, IsSanitized, client_descriptors_of, descriptors_of,
                               listening_inodes, program, tcp_descriptors_of)
from support.workspace import Port, wait_until

Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change who its workers are")


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def start(workspace):
    def start(**configuration):
        proxyd = workspace.start_proxyd(routes={"blog.example.org": str(workspace.site("blog"))}, **configuration)
        wait_for_workers(proxyd, configuration.get("workers", 1))
        return proxyd

    return start


def serve(workspace, inbox, count=1):
    """So many clients at once, all of whom get their answer."""
    clients = [workspace.connect(Get) for _ in range(count)]
    for _ in clients:
        inbox.receive().answer(b"served")
    for client in clients:
        assert client.read_to_end() == b"served"
        client.close()


def status_fields(pid):
    """Of all of /proc/PID/status, as lists of words."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: rest.split() for key, _, rest in (line.partition(":") for line in text.splitlines())}


def wait_until_it_listens_no_more(workspace, port=Port):
    address = f"{workspace.address}:{port}"
    wait_until(lambda: not subprocess.run(["ss", "-H", "-lnt", "src", address], capture_output=True).stdout,
               "the end of listening")


# --- who they are ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_there_are_as_many_as_configured(workspace, start, inbox, workers):
    proxyd = start(workers=workers)
    assert len(proxyd.workers()) == workers
    serve(workspace, inbox, 5)


def test_by_default_there_is_one_for_each_processor_up_to_four(workspace, start):
    proxyd = workspace.start_proxyd(workers=None)
    wait_for_workers(proxyd, min(4, len(os.sched_getaffinity(0))))


def assert_confined(pid, uid, gid, groups):
    status = status_fields(pid)
    assert status["Uid"] == [str(uid)] * 4
    assert status["Gid"] == [str(gid)] * 4
    assert sorted(map(int, status["Groups"])) == sorted(groups)
    assert status["NoNewPrivs"] == ["1"]
    assert status["Seccomp"] == ["2"]  # a filter
    capabilities = {key: int(status[key][0], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    if os.geteuid() != 0:
        del capabilities["CapBnd"]  # it takes a capability to change it, and privileges can't be gained any more
    assert set(capabilities.values()) == {0}, capabilities


@needs_root
def test_those_of_root_are_nobody_by_default(workspace):
    workspace.path.chmod(0o711)
    proxyd = workspace.start_proxyd(workers=2, user=None)
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("proxyd" if "proxyd" in names else "nobody")
    for pid in wait_for_workers(proxyd, 2):
        assert_confined(pid, user.pw_uid, user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid))


@needs_root
def test_those_of_a_named_user_have_its_groups(workspace):
    """Whoever is in most groups here: with what nsswitch.conf(5) says, as that user would log in."""
    user = max((entry for entry in pwd.getpwall() if entry.pw_uid != 0),
               key=lambda entry: len(os.getgrouplist(entry.pw_name, entry.pw_gid)))
    workspace.path.chmod(0o711)
    proxyd = workspace.start_proxyd(user=user.pw_name)
    assert_confined(*wait_for_workers(proxyd, 1), user.pw_uid, user.pw_gid,
                    os.getgrouplist(user.pw_name, user.pw_gid))


def test_those_of_oneself_are_confined_too(workspace):
    proxyd = workspace.start_proxyd(user=pwd.getpwuid(os.geteuid()).pw_name)
    assert_confined(*wait_for_workers(proxyd, 1), os.geteuid(), os.getegid(), os.getgroups())


def start_in_vain(workspace, prefix=(), code=1, **configuration):
    configuration = {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites), **configuration}
    path = workspace.write_configuration(json.dumps(configuration, indent=1))
    result = subprocess.run([*prefix, program("proxyd"), "--config", path], capture_output=True, text=True,
                            timeout=DeadlineSeconds)
    assert (result.returncode, result.stdout) == (code, "")
    return result.stderr.replace(str(path), "FILE")


def test_a_user_that_is_not_there(workspace):
    message = start_in_vain(workspace, code=2, user="no-such-user")
    assert message == "FILE:6: user: there is no user 'no-such-user'\n"


@needs_root
def test_another_user_takes_root(workspace):
    workspace.path.chmod(0o755)
    message = start_in_vain(workspace, prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                            user="root", control="none")
    assert message == "FILE:6: user: workers can't be made to run as 'root' by a proxyd that isn't started as root\n"


# --- what they have -------------------------------------------------------------------------------


def test_each_has_its_own_listener_and_nothing_of_main(workspace, start):
    metrics = workspace.path / "metrics.sock"
    proxyd = start(workers=3, metrics=f"unix:{metrics}", access_log=str(workspace.path / "access.log"))
    listening = listening_inodes()
    mains = set(descriptors_of(proxyd.pid))
    assert len(mains & listening) == 3  # main keeps them all
    unix = {line.split()[6]: line.split()[-1] for line in
            pathlib.Path("/proc/net/unix").read_text().splitlines()[1:] if len(line.split()) == 8}
    seen = []
    for pid in proxyd.workers():
        own = descriptors_of(pid)
        seen += set(own) & listening
        names = {unix.get(word[8:-1]) for word in own if word.startswith("socket:[")}
        assert not names & {str(metrics), str(workspace.path / "control.sock")}
        # In common with main are the log, where messages go, and its listener.
        assert not {word for word in set(own) & mains if word.startswith("socket:[")} - listening
        assert not [word for word in own if "memfd" in word or word.startswith("/proc")], own
    assert sorted(seen) == sorted(mains & listening)


def test_main_never_has_a_client(workspace, start, inbox):
    """Nor does it make any call that a client's bytes could come from."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    proxyd = start(workers=2)
    mains = tcp_descriptors_of(proxyd.pid)
    strace = Child(["strace", "-q", "-e", "trace=accept,accept4,recvfrom,recvmsg,readv,read", "-y",
                    "-p", proxyd.pid])
    workspace.children.append(strace)
    wait_until(lambda: status_fields(proxyd.pid)["TracerPid"] == [str(strace.pid)], "strace at work")
    held = [workspace.connect(Get[:20]) for _ in range(5)]
    serve(workspace, inbox, 10)
    assert tcp_descriptors_of(proxyd.pid) == mains
    for client in held:
        client.close()
    strace.signal(signal.SIGINT)
    strace.wait_for_exit()
    assert not [line for line in strace.lines if "TCP" in line or "accept" in line], strace.log()


# --- how clients are shared out -------------------------------------------------------------------


def test_all_of_them_get_clients(workspace, start, inbox):
    proxyd = start(workers=4, control=str(workspace.path / "control.sock"))
    for _ in range(20):
        serve(workspace, inbox, 10)
    status, = objects(workspace, "status")
    counts = [worker["handed_over"] for worker in status["workers"]]
    assert len(counts) == 4 and sum(counts) == 200 and min(counts) > 0, counts


def test_sessions_max_is_shared_out(workspace, start):
    """4 for 2 workers: each has 2 in hand, and gives the oldest up for the next one."""
    proxyd = start(workers=2, sessions_max=4, log_level="info")
    held = [workspace.connect(Get[:20]) for _ in range(40)]
    wait_until(lambda: len([line for line in proxyd.access_lines() if line["reason"] == "sessions_max"]) == 36,
               "36 clients that gave way")
    for pid in proxyd.workers():
        assert len(client_descriptors_of(pid)) == 2
    for client in held:
        client.reset()


# --- how they end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [
    signal.SIGKILL,
    pytest.param(signal.SIGSEGV, marks=pytest.mark.skipif(IsSanitized, reason="a sanitizer makes an exit of it"))])
def test_one_that_dies_is_replaced_and_its_queue_is_served(workspace, start, inbox, number):
    """Clients that come while it is dead wait where main keeps them: it is stopped first, so that some do."""
    proxyd = start(workers=1)
    victim, = proxyd.workers()
    serve(workspace, inbox)
    os.kill(victim, signal.SIGSTOP)
    clients = [workspace.connect(Get) for _ in range(20)]
    os.kill(victim, number)
    os.kill(victim, signal.SIGCONT)
    for _ in clients:
        inbox.receive().answer(b"served")
    for client in clients:
        assert client.read_to_end() == b"served"
    wait_for_workers(proxyd, 1, without=[victim])
    proxyd.wait_for_line(rf" error worker 0 \(process {victim}\) was ended by {number.name}$")
    assert proxyd.process.poll() is None


def test_one_that_dies_again_and_again_comes_back_ever_later(workspace, start, inbox):
    proxyd = start(workers=1)
    killed, times = [], []
    for _ in range(6):
        victim, = wait_for_workers(proxyd, 1, without=killed)
        os.kill(victim, signal.SIGKILL)
        times.append(time.monotonic())
        killed.append(victim)
        proxyd.wait_for_line(rf"process {victim}\) was ended by SIGKILL")
    delays = [later - earlier for earlier, later in zip(times, times[1:])]
    # 100 ms, twice as much each time, less what the first one may have lived for.
    assert delays[-1] > 1.0 and delays[-1] > delays[-3], delays
    serve(workspace, inbox)
    assert len([line for line in proxyd.lines if " error " in line]) == 6


def test_one_that_hangs_is_killed_and_its_clients_are_served(workspace, start, inbox):
    proxyd = start(workers=1, worker_timeout="1s")
    victim, = proxyd.workers()
    os.kill(victim, signal.SIGSTOP)
    clients = [workspace.connect(Get) for _ in range(5)]
    proxyd.wait_for_line(rf" error worker 0 \(process {victim}\) has not answered for 1000 ms and is killed$")
    for _ in clients:
        inbox.receive().answer(b"served")
    for client in clients:
        assert client.read_to_end() == b"served"
    wait_for_workers(proxyd, 1, without=[victim])


def test_one_that_is_busy_or_idle_is_not_killed(workspace, start, inbox):
    proxyd = start(workers=2, worker_timeout="1s", source_connections_per_second_max=0)
    before = sorted(proxyd.workers())
    end = time.monotonic() + 3
    while time.monotonic() < end:
        serve(workspace, inbox, 5)
    assert sorted(proxyd.workers()) == before


def test_sigterm_has_it_finish_and_replaced_at_once(workspace, start, inbox):
    proxyd = start(workers=1)
    old, = proxyd.workers()
    held = workspace.connect(Get[:20])
    wait_until(lambda: len(client_descriptors_of(old)) == 1, "an accepted client")
    os.kill(old, signal.SIGTERM)
    wait_until(lambda: len(proxyd.workers()) == 2, "a replacement beside it")
    serve(workspace, inbox, 5)
    assert state_of(old) not in ("", "Z")
    held.send(Get[20:])
    inbox.receive().answer(b"late")
    assert held.read_to_end() == b"late"
    wait_for_workers(proxyd, 1, without=[old])
    assert not [line for line in proxyd.lines if " error " in line]


@pytest.mark.parametrize("workers", [1, 3])
def test_without_main_they_finish_and_end_and_another_proxyd_takes_over(workspace, start, inbox, workers):
    first = start(workers=workers)
    pids = first.workers()
    held = workspace.connect(Get[:20])
    wait_until(lambda: len(client_descriptors_of(*pids)) == 1, "an accepted client")
    first.process.kill()
    first.process.wait()
    wait_until_it_listens_no_more(workspace)
    second = start(workers=workers)
    serve(workspace, inbox, 5)
    held.send(Get[20:])
    inbox.receive().answer(b"late")
    assert held.read_to_end() == b"late"
    wait_until(lambda: all(state_of(pid) in ("", "Z") for pid in pids), "the end of the orphans")
    assert second.process.poll() is None
    assert sum("the supervisor has gone: no more clients are accepted" in line for line in first.lines) == workers


# --- stopping, at inconvenient times --------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2], ids=["reload", "upgrade"])
def test_nothing_is_taken_up_again_while_it_stops(workspace, start, inbox, number):
    proxyd = start(workers=2)
    held = workspace.connect(Get[:20])
    serve(workspace, inbox, 5)
    proxyd.signal(signal.SIGTERM)
    wait_until_it_listens_no_more(workspace)
    proxyd.signal(number)
    proxyd.signal(signal.SIGUSR1)
    proxyd.wait_for_line(" notice reopened the access log$")
    held.send(Get[20:])
    inbox.receive().answer(b"late")
    assert held.read_to_end() == b"late"
    assert proxyd.wait_for_exit() == 0


def test_a_worker_that_starts_while_proxyd_stops_is_no_error(workspace, start):
    """As often as it takes to stop while a replacement is on its way."""
    for _ in range(5):
        proxyd = start(workers=2)
        for pid in proxyd.workers():
            os.kill(pid, signal.SIGTERM)
        assert proxyd.stop() is not None
        assert not [line for line in proxyd.lines if " error " in line]


def test_sigterm_while_it_starts_is_no_failure(workspace):
    path = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites), "control": "none", "workers": 20}))
    child = workspace.start(program("proxyd"), "--config", path)
    wait_until(lambda: len(pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()) > 2,
               "the first workers")
    child.signal(signal.SIGTERM)
    assert child.wait_for_exit() == 0, child.log()
