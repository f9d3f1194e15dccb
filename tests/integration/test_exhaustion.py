# SPDX-License-Identifier: MIT
"""A machine that has run out: of descriptors, processes, memory, disk; and a clock that steps.

Each time proxyd says what is missing, serves whom it can, and goes on by itself when the want is over.
"""

import datetime
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

from support.counting import system_calls_of
from support.load import Load, kill_with_sessions, summary, wait_for_workers
from support.machine_trouble import SmallDisk, SteppedClock
from support.processes import IsSanitized, parse_access_line, status_of, takes_key
from support.servers import PlainNginx
from support.workspace import Port, wait_until

Get = PlainNginx.request
Few = ("prlimit", "--nofile=32")
PausesPerSecond = 10  # that accepting looks again for a descriptor
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_workers = pytest.mark.skipif(not takes_key("workers"), reason="this proxyd has no workers")


def start(workspace, **configuration):
    configuration.setdefault("access_log", str(workspace.path / "log"))
    return workspace.start_proxyd(routes={PlainNginx.host: str(workspace.site("load"))}, **configuration)


def assert_served(result, count):
    assert result["ok"] == result["clients"] == count, (summary(result), result["failures"][:10])


def serve(workspace, count=100, **options):
    result = Load(workspace, Get, count=count, seconds=60, **options).result()
    assert_served(result, count)
    return result


# Descriptors

@pytest.mark.parametrize("workers", [1, pytest.param(3, marks=needs_workers)])
def test_a_hundred_clients_at_once_are_served_with_32_descriptors(workspace, workers):
    PlainNginx(workspace).wait_until_ready()
    proxyd = start(workspace, prefix=Few, **({"workers": workers} if workers > 1 else {}))
    serve(workspace, 100, at_once=100)
    print(summary(serve(workspace, 2000, at_once=100)))
    proxyd.stop()
    assert sum("accepting pauses" in line for line in proxyd.lines) <= 10 * workers


def test_a_hundred_clients_wait_for_a_site_with_32_descriptors(workspace):
    """Few of them are accepted, and the others are still in the kernel's queue when the site comes."""
    proxyd = start(workspace, prefix=Few, wait_for_site="1m")
    load = Load(workspace, Get, count=100, at_once=100, seconds=60)
    proxyd.wait_for_line("accepting pauses at")
    begin, before = time.monotonic(), status_of(proxyd.serving_pid(), "voluntary_ctxt_switches")
    PlainNginx(workspace).wait_until_ready()
    result = load.result()
    elapsed = time.monotonic() - begin
    switches = status_of(proxyd.serving_pid(), "voluntary_ctxt_switches") - before
    assert_served(result, 100)
    wakeups = proxyd.stop()["wakeups"]
    print(f"{summary(result)}; {switches} voluntary context switches, {wakeups} wake-ups in all, {elapsed:.2f} s")
    assert switches <= 3 * 100 + PausesPerSecond * (elapsed + 1) + 50
    assert wakeups <= 3 * 100 + PausesPerSecond * (elapsed + 1) + 50


def test_silent_clients_on_every_descriptor_are_timed_out_and_the_next_are_served(workspace):
    """Nobody makes room who is within the limit that is configured: time does."""
    PlainNginx(workspace).wait_until_ready()
    proxyd = start(workspace, prefix=Few, hello_timeout="500ms")
    silent = [workspace.connect(b"GET / HTTP/1.1\r\n") for _ in range(60)]
    print(summary(serve(workspace, 100, at_once=100)))
    for client in silent:
        client.read_to_end_or_reset()
    assert proxyd.stop()["handed_over"] == 100


# Processes

class Somebody:
    """A user of whom nobody else has a process, so that a limit on processes concerns proxyd alone."""

    def __init__(self, workspace):
        self.number = 61000 + os.getpid() % 4000
        for directory, _, files in os.walk(workspace.path):
            for path in [directory, *(os.path.join(directory, file) for file in files)]:
                os.chown(path, self.number, self.number)

    def limit_processes(self, pid, limit):
        """As this user, who may change the soft limit of a process of his own up to the hard one."""
        subprocess.run([*self.prefix(), "prlimit", "--pid", str(pid), f"--nproc={limit}:"], check=True)

    def prefix(self):
        return ("setpriv", f"--reuid={self.number}", f"--regid={self.number}", "--clear-groups")


@needs_root
@needs_workers
def test_a_worker_that_dies_while_no_process_may_be_made_is_replaced_later(workspace):
    PlainNginx(workspace).wait_until_ready()
    somebody = Somebody(workspace)
    proxyd = start(workspace, prefix=somebody.prefix(), user=None)
    worker, = wait_for_workers(proxyd, 1)
    somebody.limit_processes(proxyd.pid, 1)
    kill_with_sessions(worker)
    proxyd.wait_for_line(r" (error|warning) .*worker.*Resource temporarily unavailable")
    load = Load(workspace, Get, count=50, at_once=50, seconds=60)  # they wait in the queue of the worker that died
    somebody.limit_processes(proxyd.pid, 1000)
    assert_served(load.result(), 50)
    wait_for_workers(proxyd, 1, without=[worker])
    assert sum("Resource temporarily unavailable" in line for line in proxyd.lines) <= 20  # with back-off


@needs_root
@needs_workers
def test_a_reload_while_no_process_may_be_made_changes_nothing(workspace):
    PlainNginx(workspace).wait_until_ready()
    somebody = Somebody(workspace)
    proxyd = start(workspace, prefix=somebody.prefix(), user=None)
    workers = wait_for_workers(proxyd, 1)
    somebody.limit_processes(proxyd.pid, 1)
    line = proxyd.reload()
    assert line.endswith(" error reload failed, everything goes on as before")
    proxyd.wait_for_line(" error cannot start a worker: Resource temporarily unavailable$")
    assert proxyd.workers() == workers
    serve(workspace)
    somebody.limit_processes(proxyd.pid, 1000)
    assert " notice reloaded: " in proxyd.reload()
    serve(workspace)


# Memory

@needs_workers
@pytest.mark.skipif(IsSanitized, reason="a sanitizer's address space has no room for a limit")
def test_a_worker_without_memory_is_named_and_serves_on_or_is_replaced(workspace):
    PlainNginx(workspace).wait_until_ready()
    proxyd = start(workspace, sessions_max=100_000)
    worker, = wait_for_workers(proxyd, 1)
    # What a worker has spare serves some hundreds of clients.
    resource.prlimit(worker, resource.RLIMIT_AS, (status_of(worker, "VmSize") * 1024,) * 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def has_been_named():
        slow = workspace.close_at_end(socket.socket())
        slow.bind((f"127.3.{len(workspace._closables) // 250}.{len(workspace._closables) % 250 + 1}", 0))
        slow.connect((workspace.address, Port))
        slow.sendall(b"GET / HTTP/1.1\r\n")
        return any(re.search("memory|bad_alloc", line) for line in proxyd.lines) or len(workspace._closables) > hard - 100

    wait_until(has_been_named, "a line about memory")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert any(re.search(" (error|warning) .*memory", line) for line in proxyd.lines)
    serve(workspace, 100, at_once=100)


# Disks

def test_a_full_disk_of_the_access_log_is_told_once_and_lines_come_again(workspace):
    PlainNginx(workspace).wait_until_ready()
    disk = SmallDisk(workspace, "disk")
    log = disk.path / "access.log"
    proxyd = start(workspace, access_log=str(log))
    serve(workspace)
    disk.fill()
    serve(workspace, 1000)
    proxyd.wait_for_line(r" error access log: No space left on device; lines are lost$")
    disk.empty()
    so_far = log.stat().st_size
    serve(workspace)
    wait_until(lambda: log.stat().st_size > so_far, "lines again")
    lost = int(proxyd.wait_for_line(r" warning access log: (\d+) lines lost, it is written again$").group(1))
    counts = proxyd.stop()
    lines = log.read_text().splitlines()
    torn = [line for line in lines if " handoff_us=" not in line]
    assert len(torn) <= 1, "the last one that the disk had some room for, ended by itself"
    whole = [parse_access_line(line) for line in lines if line not in torn]
    # It is lost, and looks whole if it ends within its last field.
    assert len(whole) + lost - counts["handed_over"] in ([0] if torn else [0, 1])
    assert sum("No space left" in line for line in proxyd.lines) == 1


@pytest.mark.skipif(not takes_key("control"), reason="this proxyd has no control socket")
def test_a_directory_of_the_control_socket_that_becomes_read_only(workspace):
    """Whoever listens goes on listening; what must be made anew waits until it can be."""
    PlainNginx(workspace).wait_until_ready()
    disk = SmallDisk(workspace, "run")
    proxyd = start(workspace, control=str(disk.path / "control.sock"))
    serve(workspace)
    disk.make_read_only()
    assert " notice reloaded: " in proxyd.reload()
    serve(workspace)
    assert " notice upgraded: " in proxyd.upgrade()
    serve(workspace)
    disk.make_writable()
    assert " notice reloaded: " in proxyd.reload()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.connect(str(disk.path / "control.sock"))


# The clock

@pytest.mark.skipif(IsSanitized, reason="a sanitizer must be loaded before other libraries")
@pytest.mark.parametrize("seconds", [+86400 * 400, -86400 * 400], ids=["forwards", "backwards"])
def test_a_clock_that_steps_changes_no_deadline(workspace, seconds):
    clock = SteppedClock(workspace)
    proxyd = start(workspace, prefix=clock.prefix(), wait_for_site="1500ms", hello_timeout="1m", access_log="stderr")
    timed = workspace.connect(Get)
    patient = workspace.connect(Get[:20])
    clock.step(seconds)
    begin = time.monotonic()
    assert timed.read_to_end().startswith(b"HTTP/1.1 503 ")
    assert time.monotonic() - begin <= 20  # neither at once, for then 503 would not take its time, nor never
    line = proxyd.access_line_of(timed)
    assert 1_500_000 <= int(line["handoff_us"]) < 20_000_000
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    written = datetime.datetime.fromisoformat(line["time"])
    assert abs((written - now).total_seconds()) < 60, "lines carry the time of the day, as it is now"

    PlainNginx(workspace).wait_until_ready()
    patient.send(Get[20:])
    assert patient.read_to_end().startswith(b"HTTP/1.1 200 ")
    line = proxyd.access_line_of(patient)
    assert 0 <= int(line["hello_us"]) < 60_000_000
    clock.step(0)
    serve(workspace)
    if proxyd.workers():
        assert " notice reloaded: " in proxyd.reload()
        os.kill(wait_for_workers(proxyd, 1)[0], signal.SIGKILL)
        serve(workspace)


# --- a site directory that is full ------------------------------------------------------------------


def test_a_site_directory_with_very_many_files_costs_the_other_sites_nothing(workspace):
    """Its owner may fill it; whoever waits for that site has it looked at again and again."""
    full, good = workspace.site("full"), workspace.inbox("good")
    for number in range(20_000):
        (full / f"{Port}.{number}.sock").touch()
    proxyd = workspace.start_proxyd(wait_for_site="3s", routes={
        "full.example.org": str(full), "good.example.org": str(workspace.site("good"))})
    waiting = [workspace.connect(b"GET / HTTP/1.1\r\nHost: full.example.org\r\n\r\n") for _ in range(3)]
    proxyd.wait_for_line(f" warning site {full} has more than 1000 files: the others are not looked at$")
    for _ in range(50):
        workspace.connect(b"GET / HTTP/1.1\r\nHost: good.example.org\r\n\r\n")
        good.receive().close()
    with system_calls_of(proxyd.serving_pid()) as calls:
        for client in waiting:
            assert b" 503 " in client.read_to_end()
    assert calls["openat"] <= 1100 * calls["getdents64"], calls  # of each look at the directory
    assert len([line for line in proxyd.lines if "more than 1000 files" in line]) == 1


Storm = """
import os, sys
files = [entry.path for entry in os.scandir(sys.argv[1])]
print("begins", flush=True)
while True:
    for file in files:
        os.chmod(file, 0o600)
"""


def test_a_site_directory_that_changes_all_the_time_takes_a_small_part_of_a_worker(workspace):
    """Each change is one that a client who waits for the site may have waited for."""
    full, good = workspace.site("full"), workspace.inbox("good")
    for number in range(900):
        (full / f"{Port}.{number}.sock").touch()
    proxyd = workspace.start_proxyd(wait_for_site="1m", log_level="debug", routes={
        "full.example.org": str(full), "good.example.org": str(workspace.site("good"))})
    for _ in range(2):
        workspace.connect(b"GET / HTTP/1.1\r\nHost: full.example.org\r\n\r\n")
    look = f" debug site {full}: read for port {Port}, sockets: 0"
    proxyd.wait_for_line(f"{look}$")
    workspace.start(sys.executable, "-c", Storm, full).wait_for_line("begins")
    so_far = len(proxyd.lines)
    for _ in range(500):
        workspace.connect(b"GET / HTTP/1.1\r\nHost: good.example.org\r\n\r\n")
        good.receive().close()
    looks = sum(line.endswith(look) for line in proxyd.lines[so_far:])
    print(f"{looks} looks while 500 clients of another site were served")
    assert looks < 250  # one for each client and more, when there is no pause between them


# --- more connections on their way than descriptors -------------------------------------------------


@needs_root
def test_servers_that_take_nothing_until_the_kernel_lets_no_more_be_on_their_way(workspace):
    """It counts for a user, so the workers are somebody whom nobody else is here."""
    os.chmod(workspace.path, 0o755)
    stalled = [workspace.inbox("stalled", f"{Port}.{number}.sock") for number in range(8)]
    good = workspace.inbox("good")
    for inbox in (*stalled, good):
        os.chmod(inbox.path, 0o666)
    proxyd = workspace.start_proxyd(prefix=("prlimit", "--nofile=64"), user="games", wait_for_site="1s", routes={
        "stalled.example.org": str(workspace.site("stalled")), "good.example.org": str(workspace.site("good"))})
    in_flight = [workspace.connect(b"GET / HTTP/1.1\r\nHost: stalled.example.org\r\n\r\n") for _ in range(70)]
    warning = proxyd.wait_for_line(" warning site (.*)/stalled: too many connections are on their way to servers that "
                                   r"do not take them \(RLIMIT_NOFILE, proxyctl sites shows which\)$")
    assert warning.group(1) == str(workspace.path)
    client = workspace.connect(b"GET / HTTP/1.1\r\nHost: good.example.org\r\n\r\n")
    assert b"(handoffs_in_flight)" in client.read_to_end()
    assert proxyd.access_line_of(client)["reason"] == "handoffs_in_flight"
    for inbox in stalled:
        while inbox.receive_if_any():
            pass
    workspace.connect(b"GET / HTTP/1.1\r\nHost: good.example.org\r\n\r\n")
    good.receive().close()
    assert len(in_flight) == 70
