# SPDX-License-Identifier: MIT
"""Reloading: what takes effect for whom, what is refused, and that nothing else changes then."""

import json
import os
import signal
import socket
import subprocess
import urllib.request

import pytest

from support.control import objects, proxyctl
from support.load import wait_for_workers
from support.processes import (IsSanitized, client_descriptors_of, descriptors_of, status_of,
                               tcp_descriptors_of)
from support.workspace import Port, free_port, wait_until

Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def start(workspace):
    def start(**configuration):
        configuration.setdefault("routes", {"blog.example.org": str(workspace.site("blog"))})
        proxyd = workspace.start_proxyd(**configuration)
        wait_for_workers(proxyd, configuration.get("workers", 1))
        return proxyd

    return start


def reloaded(proxyd, **changes):
    line = proxyd.reload(**changes)
    assert " notice reloaded: " in line, line


def serve(workspace, inbox, count=1, port=Port, hello=Get):
    clients = [workspace.connect(hello, port=port) for _ in range(count)]
    for _ in clients:
        inbox.receive().answer(b"served")
    for client in clients:
        assert client.read_to_end() == b"served"
        client.close()


def wait_until_accepted(pid, count):
    """By that worker."""
    wait_until(lambda: len(client_descriptors_of(pid)) >= count, f"{count} accepted clients")


def wait_until_it_listens_no_more(workspace, port=Port):
    address = f"{workspace.address}:{port}"
    wait_until(lambda: not subprocess.run(["ss", "-H", "-lnt", "src", address], capture_output=True).stdout,
               "the end of listening")


# --- what takes effect, and for whom --------------------------------------------------------------


def test_the_next_client_meets_the_new_routes(workspace, start, inbox):
    proxyd = start()
    serve(workspace, inbox)
    reloaded(proxyd, routes={"new.example.org": str(workspace.site("blog"))})
    client = workspace.connect(Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 421 ")
    serve(workspace, inbox, hello=Get.replace(b"blog", b"new"))


def test_sessions_in_hand_end_as_they_have_begun(workspace, start, inbox):
    """One that has not said its name yet, and one whose site is not there yet: the old routes hold for both."""
    proxyd = start(routes={"blog.example.org": str(workspace.site("blog")),
                           "late.example.org": str(workspace.path / "late")}, hello_timeout="30s")
    old, = proxyd.workers()
    silent, waiting = workspace.connect(Get[:20]), workspace.connect(Get.replace(b"blog", b"late"))
    wait_until_accepted(old, 2)
    reloaded(proxyd, routes={"other.example.org": "/run/nothing"}, hello_timeout="1s")
    assert len(proxyd.workers()) == 2
    silent.send(Get[20:])
    inbox.receive().answer(b"old")
    assert silent.read_to_end() == b"old"
    late = workspace.inbox("late")
    late.receive().answer(b"late")
    assert waiting.read_to_end() == b"late"
    wait_for_workers(proxyd, 1, without=[old])


def test_a_time_limit_is_that_of_the_worker_that_accepted(workspace, start, inbox):
    proxyd = start(hello_timeout="60s")
    reloaded(proxyd, hello_timeout="100ms")
    client = workspace.connect(Get[:20])
    client.read_to_end_or_reset()
    assert proxyd.access_line_of(client)["reason"] == "hello_timeout"


def test_a_listener_is_opened_and_another_one_closed(workspace, start, inbox):
    late = workspace.inbox("blog", f"{Port + 1}.sock")
    proxyd = start()
    first, second = (f"{workspace.address}:{port}" for port in (Port, Port + 1))
    reloaded(proxyd, listen=[first, second])
    serve(workspace, inbox)
    serve(workspace, late, port=Port + 1)
    reloaded(proxyd, listen=[second])
    wait_until_it_listens_no_more(workspace)
    serve(workspace, late, port=Port + 1)
    assert len(tcp_descriptors_of(proxyd.pid)) == 1


def test_a_listener_goes_from_one_address_to_all_and_back(workspace, start, inbox):
    """Both have the same port, so they are in each other's way, and beside each other for a moment."""
    port = free_port("0.0.0.0")
    own, other = workspace.inbox("blog", f"{port}.sock"), workspace.inbox("own", f"{port}.sock")
    wildcard, explicit = f"0.0.0.0:{port}", f"{workspace.address}:{port}"
    proxyd = start(listen=[explicit])
    for listen in ([wildcard], [explicit], [wildcard], [wildcard, explicit], [explicit, wildcard], [explicit]):
        reloaded(proxyd, listen=listen)
        serve(workspace, own, 5, port=port)
    assert len(tcp_descriptors_of(proxyd.pid)) == 1
    reloaded(proxyd, listen=[wildcard, {"address": explicit, "site": str(workspace.site("own"))}])
    workspace.connect(Get, port=port)
    other.receive().close()
    workspace.connect(Get, port=port, address="127.0.0.1")
    own.receive().close()


def test_clients_in_the_queue_of_a_listener_that_goes_are_served(workspace, start, inbox):
    """The worker is stopped while they come, so that they are in the queue when it is told."""
    proxyd = start()
    old, = proxyd.workers()
    os.kill(old, signal.SIGSTOP)
    clients = [workspace.connect(Get) for _ in range(50)]
    reloaded(proxyd, listen=[f"{workspace.address}:{Port + 1}"])
    os.kill(old, signal.SIGCONT)
    for _ in clients:
        inbox.receive().answer(b"served")
    for client in clients:
        assert client.read_to_end() == b"served"
    wait_for_workers(proxyd, 1, without=[old])


def test_fewer_workers_serve_the_queues_of_all(workspace, start, inbox):
    proxyd = start(workers=4)
    for number in (1, 3, 2):
        reloaded(proxyd, workers=number)
        wait_for_workers(proxyd, number)
        serve(workspace, inbox, 40)
    reloaded(proxyd, workers=6)
    assert len(tcp_descriptors_of(proxyd.pid)) == 6


def test_clients_in_the_queues_of_surplus_workers_are_served(workspace, start, inbox):
    proxyd = start(workers=4)
    old = proxyd.workers()
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    clients = [workspace.connect(Get) for _ in range(40)]
    reloaded(proxyd, workers=1)
    for _ in clients:  # by the one new worker
        inbox.receive().answer(b"served")
    for client in clients:
        assert client.read_to_end() == b"served"
    for pid in old:
        os.kill(pid, signal.SIGCONT)
    wait_for_workers(proxyd, 1, without=old)


def test_the_access_log_moves(workspace, start, inbox):
    first, second = workspace.path / "first.log", workspace.path / "second.log"
    proxyd = start(access_log=str(first))
    serve(workspace, inbox, 3)
    wait_until(lambda: first.read_text().count("\n") == 3, "three lines")
    reloaded(proxyd, access_log=str(second))
    serve(workspace, inbox, 2)
    wait_until(lambda: second.read_text().count("\n") == 2, "two lines")
    assert first.read_text().count("\n") == 3


def test_a_log_that_is_moved_while_a_reload_is_at_work_stays_moved(workspace, start, inbox):
    """Whatever comes first, no worker goes on with the old file, not even one that replaces another later."""
    log, rotated = workspace.path / "access.log", workspace.path / "access.log.1"
    proxyd = start(access_log=str(log))
    for round_ in range(10):
        before = proxyd.workers()
        so_far = len(proxyd.lines)
        proxyd.signal(signal.SIGHUP)
        wait_until(lambda: set(proxyd.workers()) - set(before), "a new worker")
        log.rename(rotated)
        proxyd.signal(signal.SIGUSR1)
        proxyd.wait_for(lambda lines: True if any("reopened" in line for line in lines[so_far:])
                        and any("reloaded" in line for line in lines[so_far:]) else None, "both")
        worker, = wait_for_workers(proxyd, 1, without=before)
        os.kill(worker, signal.SIGTERM)
        wait_for_workers(proxyd, 1, without=[worker])
        serve(workspace, inbox)
        wait_until(lambda: log.exists() and log.read_text().count("\n") == 1, f"a line in the new log, {round_}")


def test_metrics_move_and_leave_nothing_behind(workspace, start, inbox):
    paths = [workspace.path / name for name in ("first.sock", "second.sock")]
    proxyd = start(metrics=f"unix:{paths[0]}")
    reloaded(proxyd, metrics=f"unix:{paths[1]}")
    assert not paths[0].exists() and paths[1].is_socket()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(paths[1]))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    reloaded(proxyd, metrics=f"{workspace.address}:9100")
    assert not paths[1].exists()
    assert b"proxyd_" in urllib.request.urlopen(f"http://{workspace.address}:9100/metrics", timeout=10).read()
    del proxyd.configuration["metrics"]
    reloaded(proxyd, workers=1)
    with socket.socket() as probe:
        assert probe.connect_ex((workspace.address, 9100)) != 0


def test_silent_clients_are_let_in_once_there_is_a_route_for_them(workspace, start, inbox):
    proxyd = start()
    silent = workspace.inbox("silent")
    reloaded(proxyd, routes={**proxyd.configuration["routes"], "@silent": str(workspace.site("silent"))},
             silent_after="100ms")
    client = workspace.connect()
    silent.receive().answer(b"you first")
    assert client.read_to_end() == b"you first"


# --- what is refused ------------------------------------------------------------------------------

Absent = "/absent/directory"
Refused = {
    "wrong JSON": ("{", None),
    "unknown key": ({"rutes": 1}, "rutes"),
    "two errors": ({"sessions_max": 0, "hello_timeout": "soon"}, None),
    "an address that is not ours": ({"listen": ["192.0.2.1:80"]},
                                    "listen[0]: cannot listen on 192.0.2.1:80: Cannot assign requested address"),
    "sites that are not there": ({"sites": Absent}, f"sites: cannot read {Absent}: No such file or directory"),
    "a log that cannot be made": ({"access_log": f"{Absent}/log"},
                                  f"access_log: cannot open {Absent}/log: No such file or directory"),
    "an unknown user": ({"user": "no-such-user"}, "user: there is no user 'no-such-user'"),
    "metrics that cannot be served": ({"metrics": f"unix:{Absent}/m.sock"},
                                      f"metrics: cannot listen on unix:{Absent}/m.sock: No such file or directory"),
    "a control socket that cannot be made": ({"control": f"{Absent}/c.sock"},
                                             f"control: cannot listen at {Absent}/c.sock: No such file or directory"),
}


@pytest.mark.parametrize("change, message", Refused.values(), ids=Refused)
def test_what_is_wrong_is_told_and_nothing_changes(workspace, start, inbox, change, message):
    proxyd = start(workers=2)
    before = sorted(proxyd.workers())
    main_before = sorted(descriptors_of(proxyd.pid))
    good = proxyd.configuration_path.read_text()
    text = change if isinstance(change, str) else json.dumps({**proxyd.configuration, **change}, indent=1)
    proxyd.configuration_path.write_text(text)
    so_far = len(proxyd.lines)
    result = proxyctl(workspace, "reload")
    assert (result.returncode, result.stdout) == (1, "")
    first, *told = result.stderr.splitlines()
    assert first == "proxyctl: reload failed, everything goes on as before"
    assert told and all(line.startswith(f"{proxyd.configuration_path}:") for line in told), told
    if message:
        assert len(told) == 1 and message in told[0], told
    if "sessions_max" in change:
        assert len(told) == 2
    proxyd.wait_for(lambda lines: True if any("reload failed" in line for line in lines[so_far:]) else None, "failure")
    logged = [line.split(" error ", 1)[1] for line in proxyd.lines[so_far:] if " error " in line]
    assert logged == [*told, "reload failed, everything goes on as before"]
    assert sorted(proxyd.workers()) == before
    wait_until(lambda: sorted(descriptors_of(proxyd.pid)) == main_before, "the descriptors of before")
    metrics = proxyctl(workspace, "metrics").stdout
    assert "\nproxyd_config_last_reload_successful 0\n" in metrics
    serve(workspace, inbox, 4)
    proxyd.configuration_path.write_text(good)
    assert proxyctl(workspace, "reload").returncode == 0
    assert "\nproxyd_config_last_reload_successful 1\n" in proxyctl(workspace, "metrics").stdout
    wait_for_workers(proxyd, 2, without=before)


def test_a_reload_that_fails_late_takes_what_it_made_away_again(workspace, start, inbox):
    """The socket of metrics is made before the control socket turns out to be impossible."""
    proxyd = start()
    control = proxyd.configuration["control"]
    elsewhere = workspace.path / "metrics.sock"
    line = proxyd.reload(metrics=f"unix:{elsewhere}", control=f"{Absent}/c.sock")
    assert "reload failed" in line
    assert not elsewhere.exists()
    reloaded(proxyd, control=control)
    assert elsewhere.is_socket()


def test_a_taken_address_changes_nothing_and_can_be_had_later(workspace, start, inbox):
    proxyd = start()
    taken = socket.create_server((workspace.address, Port + 1))
    listen = [f"{workspace.address}:{Port}", f"{workspace.address}:{Port + 1}"]
    assert "reload failed" in proxyd.reload(listen=listen)
    serve(workspace, inbox)
    taken.close()
    reloaded(proxyd)
    serve(workspace, workspace.inbox("blog", f"{Port + 1}.sock"), port=Port + 1)


# --- many of them ---------------------------------------------------------------------------------


def test_twenty_at_once_are_one_or_two(workspace, start, inbox):
    proxyd = start(workers=2)
    before = proxyd.workers()
    proxyd.configuration["routes"]["new.example.org"] = str(workspace.site("blog"))
    proxyd.write_configuration()
    for _ in range(20):
        proxyd.signal(signal.SIGHUP)
    proxyd.wait_for_line(" notice reloaded: ")
    wait_for_workers(proxyd, 2, without=before)
    assert proxyctl(workspace, "reload").returncode == 0  # comes after all of them
    def count(lines):
        return sum(" notice reloaded: " in line for line in lines)

    proxyd.wait_for(lambda lines: count(lines) >= 2 or None, "a second reload")
    assert count(proxyd.lines) <= 4
    wait_for_workers(proxyd, 2)
    serve(workspace, inbox, 5, hello=Get.replace(b"blog", b"new"))


def test_while_a_worker_is_dead(workspace, start, inbox):
    proxyd = start(workers=2)
    for _ in range(3):
        before = proxyd.workers()
        os.kill(before[0], signal.SIGKILL)
        reloaded(proxyd)
        wait_for_workers(proxyd, 2, without=before)
        serve(workspace, inbox, 5)
    assert not [line for line in proxyd.lines if " error " in line and "was ended by SIGKILL" not in line]


def test_two_hundred_leave_nothing_behind(workspace, start, inbox):
    proxyd = start(workers=2, metrics=f"unix:{workspace.path / 'metrics.sock'}")
    for _ in range(20):
        reloaded(proxyd)
    wait_for_workers(proxyd, 2)
    descriptors, memory = len(descriptors_of(proxyd.pid)), status_of(proxyd.pid, "VmRSS")
    for _ in range(180):
        reloaded(proxyd)
        workers = wait_for_workers(proxyd, 2)  # each that drains at the same time needs memory of main's
    assert len(descriptors_of(proxyd.pid)) == descriptors
    # A sanitizer keeps what was freed for a while.
    assert status_of(proxyd.pid, "VmRSS") - memory < (65536 if IsSanitized else 1024)
    assert len({len(descriptors_of(pid)) for pid in workers}) == 1
    serve(workspace, inbox, 5)
