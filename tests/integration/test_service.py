# SPDX-License-Identifier: MIT
"""proxyd under a service manager: what it tells, the watchdog, and listening sockets passed to it."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from support.notifications import Notifications
from support.processes import DeadlineSeconds, program
from support.workspace import Port, wait_until

Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
Source = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def manager(workspace):
    return workspace.close_at_end(Notifications(workspace.path / "notify"))


def configuration(workspace, **settings):
    user = {"user": "root"} if os.getuid() == 0 else {}  # who may send to the sites of this test
    settings = {**user, "listen": [f"{workspace.address}:{Port}"],
                "routes": {"blog.example.org": str(workspace.site("blog"))}, **settings}
    return workspace.write_configuration(json.dumps(settings, indent=1))


def start(workspace, manager, variables=(), **settings):
    """As a unit's ExecStart=, with the variables that a manager sets."""
    file = configuration(workspace, **settings)
    return workspace.start("env", f"NOTIFY_SOCKET={manager.path}", *variables, program("proxyd"), "--config", file)


def is_served(workspace, inbox):
    client = workspace.connect(Get)
    handoff = inbox.receive()
    handoff.answer(b"served")
    return client.read_to_end() == b"served"


def test_tells_when_it_is_ready_and_serves_then(workspace, manager):
    inbox = workspace.inbox("blog")
    start(workspace, manager)
    ready, _ = manager.wait_for("READY")
    assert ready["READY"] == "1" and ready["STATUS"]
    assert is_served(workspace, inbox)


def test_a_wrong_configuration_is_never_ready(workspace, manager):
    proxyd = start(workspace, manager, wait_for_site="soon")
    assert proxyd.wait_for_exit() == 2
    assert manager.none_for(0.01)


def monotonic_usec():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_reload_is_told_from_its_begin_to_its_end(workspace, manager):
    proxyd = start(workspace, manager)
    manager.wait_for("READY")
    before = monotonic_usec()
    proxyd.signal(signal.SIGHUP)
    reloading, _ = manager.wait_for("RELOADING")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= monotonic_usec()
    ready, _ = manager.wait_for("READY")
    assert ready["STATUS"]


def test_a_reload_in_vain_ends_too_and_says_so(workspace, manager):
    inbox = workspace.inbox("blog")
    proxyd = start(workspace, manager)
    manager.wait_for("READY")
    workspace.write_configuration("{")
    proxyd.signal(signal.SIGHUP)
    manager.wait_for("RELOADING")
    ready, _ = manager.wait_for("READY")
    assert ready["READY"] == "1"
    assert is_served(workspace, inbox)


def test_tells_that_it_stops(workspace, manager):
    proxyd = start(workspace, manager)
    manager.wait_for("READY")
    proxyd.signal(signal.SIGTERM)
    stopping, _ = manager.wait_for("STOPPING")
    assert stopping["STOPPING"] == "1"
    assert proxyd.wait_for_exit() == 0


def test_an_upgrade_keeps_the_process_that_the_manager_knows(workspace, manager):
    inbox = workspace.inbox("blog")
    proxyd = start(workspace, manager)
    manager.wait_for("READY")
    proxyd.signal(signal.SIGUSR2)
    _, before = manager.wait_for("READY")
    assert not any("MAINPID" in message or "STOPPING" in message for message in before)
    assert proxyd.process.poll() is None
    assert is_served(workspace, inbox)


def test_feeds_the_watchdog(workspace, manager):
    start(workspace, manager, ["WATCHDOG_USEC=400000"])
    manager.wait_for("READY")
    for _ in range(3):
        began = time.monotonic()
        manager.wait_for("WATCHDOG")
        # Twice in its time; under load it may come late, but not as late as a time-out would.
        assert time.monotonic() - began < DeadlineSeconds


def test_does_not_feed_the_watchdog_unasked(workspace, manager):
    start(workspace, manager)
    manager.wait_for("READY")
    assert manager.none_for(0.3)


def test_another_process_is_watched(workspace, manager):
    start(workspace, manager, ["WATCHDOG_USEC=100000", "WATCHDOG_PID=1"])
    manager.wait_for("READY")
    assert manager.none_for(0.3)


def activated(workspace, addresses, **settings):
    """Under systemd-socket-activate(1), which starts proxyd when the first client comes."""
    file = configuration(workspace, **settings)
    listen = [f"--listen={address}" for address in addresses]
    child = workspace.start("systemd-socket-activate", *listen, program("proxyd"), "--config", file)
    for address in addresses:
        child.wait_for_line(f"Listening on {re.escape(address)} as ")
    return child


def test_uses_a_socket_of_the_manager_and_the_first_client_is_served(workspace):
    inbox = workspace.inbox("blog")
    address = f"{workspace.address}:{Port}"
    activated(workspace, [address], listen=[address])
    assert is_served(workspace, inbox)
    assert is_served(workspace, inbox)


def test_opens_what_the_manager_did_not_pass(workspace):
    inbox = workspace.inbox("blog", f"{Port + 1}.sock")
    listen = [f"{workspace.address}:{Port}", f"{workspace.address}:{Port + 1}"]
    proxyd = activated(workspace, listen[:1], listen=listen)
    workspace.connect()
    proxyd.wait_for_line(" notice ready: ")
    client = workspace.connect(Get, port=Port + 1)
    inbox.receive().answer(b"served")
    assert client.read_to_end() == b"served"


def test_a_socket_that_no_listener_names_is_an_error(workspace):
    stray = f"{workspace.address}:{Port + 1}"
    proxyd = activated(workspace, [f"{workspace.address}:{Port}", stray])
    workspace.connect()
    assert proxyd.wait_for_exit() == 2
    file = workspace.path / "proxyd.json"
    assert proxyd.lines[-1] == (
        f"{file}: listen: the service manager passed a socket for {stray}, which no listener names: "
        f'add "{stray}", or remove ListenStream={stray} from the socket unit')


def start_with_sockets(workspace, sockets, **settings):
    """Passes listening sockets as systemd does, several for one address too."""
    file = configuration(workspace, **settings)
    count = len(sockets)

    def pass_them():
        copies = [os.dup2(number, 100 + i) for i, number in enumerate(numbers)]
        for i, copy in enumerate(copies):
            os.dup2(copy, 3 + i, inheritable=True)

    numbers = [listener.fileno() for listener in sockets]
    command = f'LISTEN_PID=$$ LISTEN_FDS={count} exec "$0" "$@"'
    return workspace.start("sh", "-c", command, program("proxyd"), "--config", file,
                           preexec_fn=pass_them, close_fds=False)


def listener(workspace, address=None, port=Port):
    made = workspace.close_at_end(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((address or workspace.address, port))
    made.listen(128)
    return made


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_passed_socket_has_a_worker_and_each_worker_a_socket(workspace, workers):
    inbox = workspace.inbox("blog")
    sockets = [listener(workspace) for _ in range(2)]
    proxyd = start_with_sockets(workspace, sockets, workers=workers)
    for passed in sockets:
        passed.close()  # or the test would be one who doesn't accept
    proxyd.wait_for_line(" notice ready: ")
    for _ in range(20):
        assert is_served(workspace, inbox)


def test_what_can_not_be_a_listener_is_named(workspace):
    datagrams = workspace.close_at_end(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    proxyd = start_with_sockets(workspace, [datagrams])
    assert proxyd.wait_for_exit() == 1
    assert proxyd.lines == ["LISTEN_FDS: descriptor 3 (unknown) is no TCP socket: want ListenStream= with a "
                            "port or an address and a port"]


def test_sockets_of_the_manager_live_on_over_a_reload_and_an_upgrade(workspace):
    inbox = workspace.inbox("blog")
    passed = listener(workspace)
    proxyd = start_with_sockets(workspace, [passed])
    proxyd.wait_for_line(" notice ready: ")
    inode = os.readlink(f"/proc/self/fd/{passed.fileno()}")
    for number, end in ((signal.SIGHUP, " notice reloaded: "), (signal.SIGUSR2, " notice upgraded: ")):
        proxyd.signal(number)
        proxyd.wait_for_line(end)
        assert is_served(workspace, inbox)
    assert inode in {os.readlink(entry.path) for entry in os.scandir(f"/proc/{proxyd.pid}/fd")}
    passed.close()


def test_a_reload_without_the_listener_of_a_passed_socket_is_refused(workspace):
    """The manager would keep it open, and its clients would wait for ever."""
    inbox = workspace.inbox("blog")
    proxyd = start_with_sockets(workspace, [listener(workspace)])
    proxyd.wait_for_line(" notice ready: ")
    configuration(workspace, listen=[f"{workspace.address}:{Port + 1}"])
    proxyd.signal(signal.SIGHUP)
    proxyd.wait_for_line(rf"the service manager passed a socket for {workspace.address}:{Port}, which no listener names")
    assert is_served(workspace, inbox)


def allowed_system_calls(unit):
    """What SystemCallFilter= of the unit comes to."""
    groups = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True,
                            check=True).stdout
    members, group = {}, None
    for line in groups.splitlines():
        if line.startswith("@"):
            group = members.setdefault(line.strip(), set())
        elif line.strip() and not line.strip().startswith("#") and group is not None and line.startswith(" "):
            group.add(line.strip())

    def expand(name):
        if not name.startswith("@"):
            return {name}
        return set().union(*(expand(member) for member in members[name]))

    allowed = set()
    for words in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit.read_text()):
        named = set().union(*(expand(word) for word in words.lstrip("~").split()))
        allowed = allowed - named if words.startswith("~") else allowed | named
    return allowed


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.skipif("asan" in os.environ["PROXYD_BUILD"], reason="sanitizers make system calls of their own")
def test_the_unit_allows_every_system_call_of_main_and_workers(workspace, manager):
    allowed = allowed_system_calls(Source / "packaging" / "systemd" / "proxyd.service.in")
    assert {"read", "accept4", "sendmsg"} <= allowed and "mount" not in allowed
    inbox = workspace.inbox("blog")
    file, trace = configuration(workspace, access_log=str(workspace.path / "access.log")), workspace.path / "trace"
    child = workspace.start("strace", "-f", "-qq", "-o", trace, "env", f"NOTIFY_SOCKET={manager.path}",
                            "WATCHDOG_USEC=1000000", program("proxyd"), "--config", file)
    manager.wait_for("READY")
    main = wait_until(lambda: next((line.split()[0] for line in trace.read_text().splitlines()
                                    if f'execve("{program("proxyd")}"' in line and line.endswith(" = 0")), None))
    assert is_served(workspace, inbox)
    for number in (signal.SIGHUP, signal.SIGUSR2):
        os.kill(int(main), number)
        manager.wait_for("READY")
        assert is_served(workspace, inbox)
    os.kill(int(main), signal.SIGUSR1)
    os.kill(int(main), signal.SIGTERM)
    child.wait_for_exit()
    ours = re.split(r'(?m)^.*execve\("[^"]*/proxyd", .*$', trace.read_text(), maxsplit=1)[1]
    used = set(re.findall(r"(?m)^\d+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", ours))
    # The kernel's own, and what is made to fail without harm: limits may be what the unit sets.
    assert used - allowed - {"prlimit64", "restart_syscall", "exit", "exit_group", "rt_sigreturn"} == set()
