# SPDX-License-Identifier: MIT
"""Starting, what the system refuses, and stopping with sessions in hand."""

import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess

import pytest

from support.processes import program, run_proxyd
from support.workspace import Port, wait_until

Routes = {"*": "/run/site"}
Me = pwd.getpwuid(os.geteuid()).pw_name
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"


def version():
    return run_proxyd("--version").stdout.split()[1]


def start_in_vain(workspace, code=1, **configuration):
    """proxyd must end by itself, with that exit code; returns what it says."""
    path = workspace.write_configuration(json.dumps(configuration, indent=1))
    result = run_proxyd("--config", path)
    assert (result.returncode, result.stdout) == (code, "")
    return result.stderr.replace(str(path), "FILE")


def test_a_port_in_use_is_a_refusal_of_the_system(workspace):
    taken = workspace.close_at_end(socket.create_server((workspace.address, Port)))
    addresses = [f"{workspace.address}:8080", f"{workspace.address}:{Port}"]
    message = start_in_vain(workspace, listen=addresses, routes=Routes)
    assert message == f"FILE:4: listen[1]: cannot listen on {addresses[1]}: Address already in use (ss -ltnp tells by whom)\n"
    taken.close()
    # Nothing is left of the half that could be had.
    workspace.start_proxyd(listen=addresses)


def test_a_second_proxyd_on_the_same_port_is_refused(workspace):
    first = workspace.start_proxyd()
    path = workspace.path / "second.json"
    path.write_text(json.dumps({"listen": [f"{workspace.address}:{Port}"], "routes": Routes}))
    result = run_proxyd("--config", path)
    assert result.returncode == 1 and "Address already in use" in result.stderr
    assert first.process.poll() is None


def leave_a_connection_in_time_wait(workspace):
    """As a proxyd does that served a moment ago: the address can't be had without SO_REUSEADDR then."""
    def can_be_bound():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((workspace.address, Port))
            return True

    while can_be_bound():  # a busy machine keeps no more of them
        with socket.create_server((workspace.address, Port)) as server, \
                socket.create_connection((workspace.address, Port)) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""


@pytest.mark.parametrize("is_restart", [False, True], ids=["fresh", "restart"])
def test_of_two_proxyds_that_start_at_once_one_gets_the_port(workspace, is_restart):
    """Neither shares it with the other, whose clients would be served by chance."""
    if is_restart:
        leave_a_connection_in_time_wait(workspace)
    for name in ("first", "second"):
        (workspace.path / f"{name}.json").write_text(json.dumps({
            "listen": [f"{workspace.address}:{Port}"], "routes": Routes, "workers": 2, "user": Me,
            "control": str(workspace.path / f"{name}.sock")}))
    for _ in range(8):
        both = [workspace.start(program("proxyd"), "--config", workspace.path / f"{name}.json")
                for name in ("first", "second")]
        for proxyd in both:
            proxyd.wait_for(lambda lines: any(" notice ready: " in line or "in use" in line for line in lines) or None,
                            "its start or its end")
        ready = [proxyd for proxyd in both if any(" notice ready: " in line for line in proxyd.lines)]
        assert len(ready) == 1, [proxyd.lines for proxyd in both]
        other, = set(both) - set(ready)
        assert other.wait_for_exit() == 1
        ready[0].signal(signal.SIGTERM)
        assert ready[0].wait_for_exit() == 0


def test_an_address_that_is_not_ours(workspace):
    message = start_in_vain(workspace, listen=["192.0.2.1:8443"], routes=Routes)
    assert message == "FILE:3: listen[0]: cannot listen on 192.0.2.1:8443: Cannot assign requested address\n"


def test_a_user_who_does_not_exist_is_found_by_check_config_too(workspace):
    """It is the configuration's mistake: starting again won't help."""
    configuration = {"listen": [f"{workspace.address}:{Port}"], "routes": Routes, "user": "no-such-user"}
    message = "FILE:8: user: there is no user 'no-such-user'\n"
    assert start_in_vain(workspace, code=2, **configuration) == message
    path = workspace.path / "proxyd.json"
    result = run_proxyd("--check-config", "--config", path)
    assert (result.returncode, result.stderr.replace(str(path), "FILE")) == (2, message)


def test_an_access_log_that_cannot_be_opened(workspace):
    log = workspace.path / "absent" / "access.log"
    message = start_in_vain(workspace, listen=[f"{workspace.address}:{Port}"], routes=Routes, access_log=str(log))
    assert message == f"FILE:8: access_log: cannot open {log}: No such file or directory\n"


def test_all_that_is_in_the_way_is_told_at_once_and_no_file_is_made(workspace):
    taken = f"{workspace.address}:{Port}"
    workspace.close_at_end(socket.create_server((workspace.address, Port)))
    absent, log = workspace.path / "absent" / "access.log", workspace.path / "access.log"
    hint = "Address already in use (ss -ltnp tells by whom)"
    message = start_in_vain(workspace, listen=[taken], metrics=taken, routes=Routes, access_log=str(absent))
    assert message == (f"FILE:3: listen[0]: cannot listen on {taken}: {hint}\n"
                       f"FILE:5: metrics: cannot listen on {taken}: {hint}\n"
                       f"FILE:9: access_log: cannot open {absent}: No such file or directory\n")
    metrics = workspace.path / "metrics.sock"
    message = start_in_vain(workspace, listen=[taken], metrics=f"unix:{metrics}", routes=Routes, access_log=str(log))
    assert message == f"FILE:3: listen[0]: cannot listen on {taken}: {hint}\n"
    assert not log.exists() and not metrics.exists()


def test_sites_that_is_not_there(workspace):
    sites = workspace.path / "absent"
    message = start_in_vain(workspace, listen=[f"{workspace.address}:{Port}"], sites=str(sites))
    assert message == f"FILE:5: sites: cannot read {sites}: No such file or directory\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_sites_that_the_workers_may_not_read(workspace):
    workspace.path.chmod(0o755)
    sites = workspace.path / "closed"
    sites.mkdir(mode=0o700)
    message = start_in_vain(workspace, listen=[f"{workspace.address}:{Port}"], sites=str(sites), user="nobody",
                            workers=2, control="none")
    assert message == f"FILE:5: sites: cannot read {sites} as the user nobody: Permission denied\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_the_workers_are_is_told_where_the_configuration_leaves_it_open(workspace):
    workspace.path.chmod(0o755)
    proxyd = workspace.start_proxyd(user=None)
    user = pwd.getpwuid(os.stat(f"/proc/{proxyd.workers()[0]}").st_uid).pw_name
    proxyd.wait_for_line(rf" notice workers run as {user}$")


def test_signals_that_ask_for_something_are_noted(workspace):
    proxyd = workspace.start_proxyd()
    proxyd.process.send_signal(signal.SIGHUP)
    proxyd.wait_for_line(" notice reload asked for by SIGHUP$")
    proxyd.wait_for_line(" notice reloaded: ")
    proxyd.process.send_signal(signal.SIGUSR2)
    proxyd.wait_for_line(" notice upgrade asked for by SIGUSR2$")
    proxyd.wait_for_line(" notice upgraded: ")


def test_a_port_may_be_taken_again_at_once(workspace):
    """Connections that linger from the last run don't keep the next one out."""
    inbox = workspace.inbox("blog")
    for _ in range(3):
        proxyd = workspace.start_proxyd(routes={"blog.example.org": str(workspace.site("blog"))})
        client = workspace.connect(Get)
        inbox.receive().answer(b"done")
        client.read_to_end()
        rejected = workspace.connect(b"GET / HTTP/1.1\r\n\r\n")
        rejected.read_to_end()
        rejected.close()
        proxyd.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(workspace, number):
    proxyd = workspace.start_proxyd()
    counts = proxyd.stop(number)
    assert set(counts) == {"sessions", "handed_over", "rejected", "closed", "timed_out", "wakeups"}
    assert counts["sessions"] == 0
    with socket.socket() as probe:
        assert probe.connect_ex((workspace.address, Port)) != 0


def wait_until_it_listens_no_more(workspace, port=Port):
    address = f"{workspace.address}:{port}"
    wait_until(lambda: not subprocess.run(["ss", "-H", "-lnt", "src", address], capture_output=True).stdout,
               "the end of listening")


def test_sessions_in_hand_are_finished_after_sigterm(workspace):
    proxyd = workspace.start_proxyd(routes={"blog.example.org": str(workspace.path / "blog"),
                                            "other.example.org": str(workspace.site("other"))})
    with_hello, without = workspace.connect(Get), workspace.connect(Get[:20])
    inbox = workspace.inbox("other")
    workspace.connect(Get.replace(b"blog", b"other"))
    inbox.receive()  # and so the two others were accepted too
    proxyd.signal(signal.SIGTERM)
    wait_until_it_listens_no_more(workspace)
    assert proxyd.process.poll() is None
    without.send(Get[20:])
    inbox = workspace.inbox("blog")
    assert sorted(inbox.receive().client for _ in range(2)) == sorted([with_hello.address, without.address])
    assert proxyd.wait_for_exit() == 0
    counts = proxyd.stopped_counts()
    assert (counts["sessions"], counts["handed_over"]) == (3, 3)


def test_a_session_that_does_not_end_is_ended_by_its_deadline_after_sigterm(workspace):
    proxyd = workspace.start_proxyd(routes={"blog.example.org": str(workspace.path / "blog")}, wait_for_site="500ms")
    client = workspace.connect(Get)
    refused = workspace.connect(Get.replace(b"blog", b"other"))
    assert refused.read_to_end().startswith(b"HTTP/1.1 421 ")
    refused.close()
    proxyd.signal(signal.SIGTERM)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    client.close()
    assert proxyd.wait_for_exit() == 0
    assert proxyd.access_line_of(client)["reason"] == "site_absent"


def test_a_second_signal_ends_the_waiting(workspace):
    proxyd = workspace.start_proxyd(routes={"blog.example.org": str(workspace.path / "blog")})
    client = workspace.connect(Get)
    refused = workspace.connect(Get.replace(b"blog", b"other"))
    refused.read_to_end()
    proxyd.signal(signal.SIGTERM)
    wait_until_it_listens_no_more(workspace)
    proxyd.signal(signal.SIGTERM)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    client.close()
    assert proxyd.wait_for_exit() == 0
    assert proxyd.access_line_of(client)["reason"] == "stopping"


def test_a_stop_while_accepting_pauses(workspace):
    proxyd = workspace.start_proxyd(routes={"blog.example.org": str(workspace.path / "blog")},
                                    wait_for_site="500ms", prefix=("prlimit", "--nofile=32"))
    clients = [workspace.connect(Get) for _ in range(10)]
    proxyd.wait_for_line("accepting pauses")
    proxyd.signal(signal.SIGTERM)
    for client in clients[:4]:  # the others have never been accepted
        assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
        client.close()
    assert proxyd.wait_for_exit() == 0


def test_the_log_names_the_listeners_before_it_is_ready(workspace):
    addresses = [f"{workspace.address}:8443", f"{workspace.address}:8080"]
    proxyd = workspace.start_proxyd(listen=addresses)
    assert [line.partition(" ")[2] for line in proxyd.lines] == [
        *(f"notice listening on {address}" for address in addresses),
        f"notice ready: version {version()}, process {proxyd.pid}, workers 1"]
