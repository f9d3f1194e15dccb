# SPDX-License-Identifier: MIT
"""tcpshim from its command line to its end: what it refuses, reloads, replaces and finishes."""

import json
import os
import pathlib
import signal
import socket

from support.configured_relay import ConfiguredRelay, run_tcpshim
from support.processes import Child, DeadlineSeconds, children_of, program
from support.relay_ends import Tcpshim
from support.workspace import Port, wait_until


def test_wrong_command_lines_are_refused_in_one_line():
    def complaint(*arguments):
        result = run_tcpshim(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        return result.stderr

    assert complaint("--site", "/s") == "tcpshim: --site and --to are needed, see tcpshim --help\n"
    assert complaint("--to", "nas.lan:443") == "tcpshim: --site and --to are needed, see tcpshim --help\n"
    assert complaint("--site", "/s", "--to", "a:1", "--port", "0") == \
        "tcpshim: --port 0: a port from 1 to 65535 is allowed\n"
    assert complaint("--site", "a/b", "--to", "a:1") == \
        "tcpshim: --site a/b: the absolute path of a directory, or a site's name, is allowed\n"
    assert complaint("--site", "/s", "--to", ":1").startswith("tcpshim: --to :1: has no host before its port, ")
    assert complaint("--site", "/s", "--to", "a:1", "--to", "a:1") == "tcpshim: --to a:1: is given twice\n"
    assert complaint("--site", "/s", "--to", "a:1", "--proxy-protocol", "3") == \
        "tcpshim: --proxy-protocol 3: 1 or 2 is allowed\n"
    assert complaint("--site", "/s", "--to", "a:1", "--config", "/c") == \
        "tcpshim: --config and --site, --port or --to don't go together\n"
    assert complaint("nas") == "tcpshim: unknown argument 'nas', see tcpshim --help\n"


def test_check_and_print_of_a_configuration(tmp_path):
    file = tmp_path / "tcpshim.json"
    file.write_text(json.dumps({"sites": {str(tmp_path): "nas.lan:443"}}))
    assert run_tcpshim("--config", file, "--check-config").stdout == f"{file}: fine, sites: 1\n"
    printed = run_tcpshim("--config", file, "--print-config")
    assert json.loads(printed.stdout)["sites"][str(tmp_path)]["to"] == \
        [{"address": "nas.lan:443", "weight": 1, "backup": False, "connections_max": 0}]

    file.write_text('{"sites": {"/s/nas": ":443",\n "/s/tv": {"to": "tv:80", "port": 80}}}')
    wrong = run_tcpshim("--config", file, "--check-config")
    assert wrong.returncode == 2
    assert [line.partition(", ")[0] for line in wrong.stderr.splitlines()] == [
        f"{file}:1: sites./s/nas: ':443' has no host before its port",
        f"{file}:2: sites./s/tv.port: is not a key of a site"]

    file.write_text('{"sites": {"/nowhere/nas": "nas.lan:443"}}')
    missing = run_tcpshim("--config", file, "--check-config")
    assert (missing.returncode, missing.stderr) == (
        1, f"{file}:1: sites./nowhere/nas: cannot open /nowhere/nas: No such file or directory\n")
    started = run_tcpshim("--config", file)
    assert (started.returncode, started.stderr.splitlines()[-1]) == (1, missing.stderr.strip())

    file.write_text(json.dumps({"sites": {str(tmp_path): "nas.lan:443"}, "user": "nobody-there", "control": "none"}))
    for arguments in (["--check-config"], []):
        result = run_tcpshim("--config", file, *arguments)
        assert (result.returncode, result.stderr) == (1, f"{file}:1: user: there is no user 'nobody-there'\n")


def test_a_site_that_somebody_receives_at_is_left_alone(workspace):
    site = workspace.site("taken")
    taken = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    taken.bind(str(site / f"{Port}.sock"))
    inode = (site / f"{Port}.sock").stat().st_ino
    result = run_tcpshim("--site", site, "--port", Port, "--to", "127.0.0.1:1")
    assert (result.returncode, result.stderr) == (
        1, f"--site: somebody receives at {site}/{Port}.sock already\n")
    assert (site / f"{Port}.sock").stat().st_ino == inode
    assert sorted(path.name for path in site.iterdir()) == [f"{Port}.sock"]


def test_a_client_of_a_killed_worker_s_queue_is_served_by_its_successor(workspace):
    relay = ConfiguredRelay(workspace)
    relay.relay_once()
    relay.access_line(0)
    first = relay.worker()
    os.kill(first, signal.SIGSTOP)  # so that the client is queued
    client = relay.new_client(first_bytes=b"hello")
    os.kill(first, signal.SIGKILL)
    backend = relay.accept()
    assert backend.recv(100) == b"hello"
    backend.sendall(b"welcome")
    assert client.recv(100) == b"welcome"
    relay.shim.wait_for_line(rf" error worker \(process {first}\) was ended by SIGKILL$")
    assert relay.worker() != first
    # What the first one has counted isn't lost.
    wait_until(lambda: relay.metrics()['tcpshim_accepted_connections_total{site="relayed"}'] == 2, "both clients")
    assert relay.metrics()["tcpshim_worker_restarts_total"] == 1


def test_a_reload_leads_new_clients_elsewhere_and_leaves_relays_alone(workspace):
    relay = ConfiguredRelay(workspace, backends=2, drain_timeout="1ms")
    relay.site_configuration["to"] = relay.names[:1]
    assert " notice reloaded: " in relay.reload()
    client, backend = relay.new_pair(first_bytes=b"one")
    assert backend.recv(100) == b"one"
    inode = (relay.site / f"{Port}.sock").stat().st_ino

    relay.site_configuration["to"] = relay.names[1:]
    assert " notice reloaded: " in relay.reload()

    assert (relay.site / f"{Port}.sock").stat().st_ino == inode
    other = relay.new_client(first_bytes=b"two")
    other_backend = relay.accept(1)
    assert other_backend.recv(100) == b"two"
    backend.sendall(b"still here")
    assert client.recv(100) == b"still here"
    assert [worker["state"] for worker in relay.objects("status")[0]["workers"]] == ["draining", "serving"]
    client.close()
    backend.close()
    wait_until(lambda: len(children_of(relay.shim.pid)) == 1, "the end of the old worker")


def test_reloads_in_a_row_while_workers_end(workspace):
    """strace(1) makes main slow to reap, as a busy machine does: what workers say then comes with their end."""
    relay = ConfiguredRelay(workspace)
    main = relay.shim
    tracer = Child(["strace", "-p", str(main.pid), "-e", "trace=wait4", "-e", "inject=wait4:delay_enter=30000"])
    workspace.children.append(tracer)
    tracer.wait_for_line("attached")
    reloads_before = 0
    for _ in range(30):
        main.signal(signal.SIGHUP)
        reloads = wait_until(lambda: len([line for line in main.lines if " notice reloaded: " in line]) - reloads_before
                             or main.process.poll() is not None, "a reload")
        assert main.process.poll() is None
        reloads_before += reloads
        for _ in range(3):
            main.signal(signal.SIGHUP)
    tracer.signal(signal.SIGINT)
    tracer.process.wait(DeadlineSeconds)
    relay.relay_once()


def test_a_wrong_configuration_changes_nothing(workspace):
    relay = ConfiguredRelay(workspace)
    right = relay.configuration
    relay.configuration = {"sites": {}}
    assert " error reload failed, everything goes on as before" in relay.reload()
    answer = relay.proxyctl("reload")
    assert (answer.returncode, answer.stderr.splitlines()[0]) == (
        1, "proxyctl: reload failed, everything goes on as before")
    relay.relay_once()
    relay.configuration = right
    relay.write()
    assert relay.proxyctl("reload").stdout == "The configuration is in force.\n"
    relay.relay_once()


def test_a_site_that_is_new_and_one_that_is_gone(workspace):
    relay = ConfiguredRelay(workspace)
    added = workspace.site("added")
    relay.configuration["sites"][str(added)] = {"ports": [80], "to": relay.names}
    relay.reload()
    assert (added / "80.sock").is_socket()
    assert (added / "80.sock").stat().st_mode & 0o777 == 0o660
    del relay.configuration["sites"][str(added)]
    relay.reload()
    assert list(added.iterdir()) == []
    relay.relay_once()


def test_sigterm_lets_relays_end_and_takes_no_more_clients(workspace):
    relay = ConfiguredRelay(workspace)
    client, backend = relay.new_pair(first_bytes=b"hello")
    relay.shim.signal(signal.SIGTERM)
    wait_until(lambda: not (relay.site / f"{Port}.sock").exists(), "the site socket's end")
    backend.sendall(b"late")
    assert client.recv(100) == b"late"
    client.close()
    backend.close()
    assert relay.shim.wait_for_exit() == 0
    assert relay.shim.lines[-1].endswith(" notice stopped: connections=1")
    assert not relay.control.exists()


def test_sigterm_cuts_relays_off_when_their_time_is_over(workspace):
    relay = ConfiguredRelay(workspace, drain_timeout="1ms")
    client, _ = relay.new_pair(first_bytes=b"hello")
    relay.shim.signal(signal.SIGTERM)
    assert relay.shim.wait_for_exit() == 0
    assert relay.access_line()["ending"] == "drain_timeout"


def test_sigquit_lets_relays_go_on_beside_a_successor(workspace):
    relay = ConfiguredRelay(workspace, drain_timeout="1ms")
    client, backend = relay.new_pair(first_bytes=b"hello")
    leaving = relay.shim
    leaving.signal(signal.SIGQUIT)
    wait_until(lambda: not relay.control.exists() and not (relay.site / f"{Port}.sock").exists(), "free places")
    relay.start()
    relay.relay_once()
    assert backend.recv(100) == b"hello"
    backend.sendall(b"late")
    assert client.recv(100) == b"late"
    leaving.signal(signal.SIGTERM)  # now there is a limit
    assert leaving.wait_for_exit() == 0


def test_relays_outlive_a_killed_main(workspace):
    relay = ConfiguredRelay(workspace)
    client, backend = relay.new_pair(first_bytes=b"hello")
    worker = relay.worker()
    relay.shim.signal(signal.SIGKILL)
    relay.shim.process.wait()
    backend.sendall(b"still here")
    assert client.recv(100) == b"still here"
    again = Tcpshim("--config", relay.file)
    workspace.children.append(again)
    again.wait_for_line(r" notice ready: ")
    client.close()
    backend.close()
    wait_until(lambda: not pathlib.Path(f"/proc/{worker}").exists(), "the worker's end")


def test_two_instances_share_a_site(workspace):
    relay = ConfiguredRelay(workspace)
    second = Tcpshim("--site", relay.site, "--port", Port, "--to", relay.names[0], "--instance", "second")
    workspace.children.append(second)
    second.wait_for_line(r" notice ready: ")
    assert sorted(path.name for path in relay.site.iterdir()) == [f"{Port}.second.sock", f"{Port}.sock"]
    second.signal(signal.SIGTERM)
    assert second.wait_for_exit() == 0
    assert [path.name for path in relay.site.iterdir()] == [f"{Port}.sock"]


def start_with_socket(workspace, keeper, *arguments):
    """As a service manager does that has opened the socket."""
    script = f'exec 3<&{keeper.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    return workspace.start("bash", "-c", script, "bash", program("tcpshim"), *arguments,
                           pass_fds=[keeper.fileno()])


def test_a_keeper_s_socket_is_used_and_left_to_it(workspace):
    site, path = workspace.site("kept"), workspace.site("kept") / f"{Port}.sock"
    keeper = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    keeper.bind(str(path))
    inode = path.stat().st_ino
    shim = start_with_socket(workspace, keeper, "--site", str(site), "--port", str(Port), "--to", "127.0.0.1:1")
    shim.wait_for_line(r" notice ready: ")
    sender = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    sender.connect(str(path))
    with socket.create_server((workspace.address, 0)) as listener:
        client = workspace.close_at_end(socket.create_connection(listener.getsockname()))
        served, _ = listener.accept()
        with served:
            socket.send_fds(sender, [b"x"], [served.fileno()])
    shim.wait_for_line(r" access .* ending=no_backend cause=refused ")
    client.close()
    shim.signal(signal.SIGTERM)
    assert shim.wait_for_exit() == 0
    assert path.stat().st_ino == inode


def test_a_keeper_s_socket_that_no_site_has_is_refused(workspace):
    site, path = workspace.site("kept"), workspace.site("kept") / "80.sock"
    keeper = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    keeper.bind(str(path))
    shim = start_with_socket(workspace, keeper, "--site", str(site), "--port", str(Port), "--to", "127.0.0.1:1")
    assert shim.wait_for_exit() == 1
    assert shim.lines == [f"LISTEN_FDS: no site has the socket {path}"]
    assert [each.name for each in site.iterdir()] == ["80.sock"]
