# SPDX-License-Identifier: MIT
"""nginx that receives handoffs by itself: reload, upgrade, crash, restart, and what stands in its way."""

import os
import signal
import socket
import subprocess
import sys

from nginx_native_support import EitherWayOfHttp, EveryFlavour, Get, assert_all_served, curl, load_of, start
from support.load import Load, state_of
from support.native_nginx import HttpPort, NativeNginx, PlainHttpPort
from support.processes import DeadlineSeconds, children_of, descriptors_of
from support.servers import is_live_socket
from support.workspace import wait_until

# nginx lets itself be upgraded only when the process that started it has gone, as a daemon's has.
Orphan = ["sh", "-c", 'pid_file=$0; "$@" & until test -s "$pid_file"; do sleep 0.01; done']


def start_orphan(workspace, start, flavour):
    nginx = start(flavour, launcher=[*Orphan, workspace.path / "nginx-own" / "nginx.pid"])
    nginx.process.wait(DeadlineSeconds)
    return nginx


@EitherWayOfHttp
@EveryFlavour
def test_nobody_notices_reload_and_upgrade(workspace, start, flavour, port):
    nginx = start_orphan(workspace, start, flavour)
    load = load_of(workspace, port=port, seconds=10 * DeadlineSeconds, progress=100)
    load.wait_until_done(100)
    old = nginx.master_pid()
    workers = set(children_of(old))
    os.kill(old, signal.SIGHUP)
    wait_until(lambda: len(children_of(old)) == 2 and not workers & set(children_of(old)), "other workers")
    os.kill(old, signal.SIGUSR2)
    new = wait_until(lambda: (pid := nginx.master_pid()) != old and pid, "another master")
    wait_until(lambda: len(children_of(new)) == 2, "its workers")
    os.kill(old, signal.SIGQUIT)
    wait_until(lambda: state_of(old) in ("Z", ""), "the end of the first master")
    workers = set(children_of(new))
    os.kill(new, signal.SIGHUP)  # what it has inherited must be found again
    wait_until(lambda: len(children_of(new)) == 2 and not workers & set(children_of(new)), "other workers of the second")
    clients = len(nginx.access_log.read_text().splitlines())
    wait_until(lambda: len(nginx.access_log.read_text().splitlines()) > clients + 100, "clients of the second")
    load.signal(signal.SIGTERM)
    assert_all_served(load.result())
    assert all(is_live_socket(nginx.socket_path(port)) for port in nginx.site_ports)


@EveryFlavour
def test_an_upgrade_is_taken_back(workspace, start, curl, flavour):
    """The second master ends, and takes nothing with it that is the first's."""
    nginx = start_orphan(workspace, start, flavour)
    first = nginx.master_pid()
    for _ in range(2):  # what has been tried once can be tried again
        os.kill(first, signal.SIGUSR2)
        second = wait_until(lambda: (pid := nginx.master_pid()) != first and pid, "another master")
        wait_until(lambda: len(children_of(second)) == 2, "its workers")
        os.kill(second, signal.SIGQUIT)
        wait_until(lambda: state_of(second) in ("Z", "") and nginx.master_pid() == first, "the end of the second master")
        assert curl.request(nginx).status == 200


@EveryFlavour
def test_it_starts_over_the_file_that_a_crash_has_left(workspace, start, curl, flavour):
    nginx = start(flavour)
    assert os.stat(nginx.socket_path()).st_mode & 0o7777 == 0o660
    nginx.kill()
    assert nginx.socket_path().exists()
    after = NativeNginx(workspace, flavour).wait_until_ready()
    assert curl.request(after).status == 200


@EveryFlavour
def test_a_second_instance_and_a_test_of_the_configuration_do_no_harm(workspace, start, curl, flavour):
    nginx = start(flavour)
    hidden = nginx.socket_path().with_name(f".{nginx.socket_path().name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as starting:  # another one has got so far
        starting.bind(str(hidden))
        before = {path: path.stat().st_ino for path in nginx.site.iterdir()}
        tested = nginx.run("-t")
        assert tested.returncode == 0 and "test is successful" in tested.stderr
        assert {path: path.stat().st_ino for path in nginx.site.iterdir()} == before
    hidden.unlink()
    del before[hidden]
    second = nginx.run()
    assert second.returncode == 1
    assert f"bind() to unix:{nginx.socket_path()} failed (98: Address already in use)" in second.stderr
    assert {path: path.stat().st_ino for path in nginx.site.iterdir()} == before
    assert curl.request(nginx).status == 200


@EveryFlavour
def test_its_own_signals_reach_it_and_it_leaves_its_files_there(workspace, start, curl, flavour):
    """They may be another process's by then: a service manager's, who keeps the sockets for the next nginx."""
    nginx = start(flavour)
    files = {path: path.stat().st_ino for path in nginx.site.iterdir()}
    workers = set(wait_until(lambda: len(found := children_of(nginx.pid)) == 2 and found, "its workers"))
    assert nginx.run("-s", "reload").returncode == 0
    wait_until(lambda: len(children_of(nginx.pid)) == 2 and not workers & set(children_of(nginx.pid)), "other workers")
    assert curl.request(nginx).status == 200
    assert nginx.run("-s", "reopen").returncode == 0
    assert nginx.run("-s", "quit").returncode == 0
    assert nginx.wait_for_exit() == 0
    assert {path: path.stat().st_ino for path in nginx.site.iterdir()} == files


@EveryFlavour
def test_a_reload_that_fails_leaves_no_socket_in_which_clients_would_wait(workspace, start, curl, flavour):
    nginx = start(flavour)
    first, missing = nginx.site / "81.sock", nginx.site / "missing" / "82.sock"
    nginx.write_configuration(server=f"}} server {{ {flavour.listen(first)} {flavour.listen(missing)} return 200; ")
    nginx.signal(signal.SIGHUP)
    nginx.wait_for_line(rf"\[emerg\] .* bind\(\) to unix:{missing} failed \(2: No such file or directory\)")
    wait_until(lambda: not is_live_socket(first), "the end of the one that could be made")
    assert curl.request(nginx).status == 200


@EveryFlavour
def test_a_listener_comes_and_goes_with_a_reload(workspace, start, curl, flavour):
    nginx = start(flavour)
    other = nginx.site / "81.sock"
    listen = flavour.listen(other)
    nginx.write_configuration(server=f"}} server {{ {listen} return 200; ")
    nginx.signal(signal.SIGHUP)
    wait_until(lambda: is_live_socket(other), "the new site socket")
    nginx.write_configuration(server="")
    nginx.signal(signal.SIGHUP)
    wait_until(lambda: not is_live_socket(other), "its end")
    assert curl.request(nginx).status == 200


KeeperProgram = """
import os, socket, sys
number = 3
for path in sys.argv[1].split(","):
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    os.fchmod(inbox.fileno(), 0o666)
    inbox.bind(path)
    os.chmod(path, 0o666)
    kept = os.dup2(inbox.detach(), 100 + number)
    number += 1
while True:
    pid = os.fork()
    if pid == 0:
        for i in range(3, number):
            os.dup2(100 + i, i)
            os.set_inheritable(i, True)
            os.close(100 + i)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(number - 3))
        os.execv(sys.argv[2], sys.argv[2:])
    print("server", pid, flush=True)
    os.waitpid(pid, 0)
"""


@EveryFlavour
def test_a_keeper_loses_nobody_while_it_is_killed(workspace, start, flavour):
    """The sockets are those of a service manager (LISTEN_FDS), which starts it again."""
    site = workspace.site("nginx")
    paths = ",".join(str(site / f"{port}.sock") for port in NativeNginx.site_ports)
    nginx = start(flavour, launcher=[sys.executable, "-c", KeeperProgram, paths], main="master_process off;")
    load = Load(workspace, Get, port=HttpPort, at_once=20, seconds=10 * DeadlineSeconds, progress=100)
    killed = 0
    for done in (100, 400, 700):
        load.wait_until_done(done)
        servers = [int(line.split()[1]) for line in nginx.lines if line.startswith("server ")]
        os.kill(servers[-1], signal.SIGSTOP)
        in_hand = len([fd for fd in os.listdir(f"/proc/{servers[-1]}/fd")])
        os.kill(servers[-1], signal.SIGKILL)
        killed += in_hand
        wait_until(lambda: len([line for line in nginx.lines if line.startswith("server ")]) > len(servers), "another")
    load.wait_until_done(1000)
    load.signal(signal.SIGTERM)
    result = load.result()
    # Those whom it had accepted go with it, and nobody else: none is refused or told to come later.
    assert result["refused"] == result["wrong"] == result["timed_out"] == result["other"] == 0, result
    assert result["reset"] + result["end_of_file"] <= killed, result
    assert any(f"using inherited socket #3 for unix:{site}/8443.sock" in line for line in nginx.lines)


@EveryFlavour
def test_a_full_table_of_descriptors_loses_nobody(workspace, start, flavour):
    nginx = start(flavour, main="worker_rlimit_nofile 40;")
    request = Get.replace(b"Connection: close\r\n", b"")
    clients = [workspace.connect(request, port=HttpPort) for _ in range(100)]
    nginx.wait_for_line(r"\[crit\] .*\(24: Too many open files\)")
    for client in clients:  # those who are answered first make room for others
        assert client.read(12) == b"HTTP/1.1 200"
        client.close()


@EveryFlavour
def test_a_table_of_descriptors_that_other_clients_have_filled_loses_nobody(workspace, start, flavour):
    """When the last handoff came, it was nearly empty."""
    descriptors_max = 40
    nginx = start(flavour, main="master_process off;", launcher=["prlimit", f"--nofile={descriptors_max}"])
    request = Get.replace(b"Connection: close\r\n", b"")
    assert workspace.connect(request, port=HttpPort).read(12) == b"HTTP/1.1 200"
    others = []
    while len(descriptors_of(nginx.pid)) < descriptors_max:
        others.append(workspace.connect(request, port=PlainHttpPort))
        assert others[-1].read(12) == b"HTTP/1.1 200"
    client = workspace.connect(Get, port=HttpPort)
    nginx.wait_for_line(r"\[crit\] .*\(24: Too many open files\)|descriptor could not be received")
    others[0].close()
    assert client.read(12) == b"HTTP/1.1 200"
