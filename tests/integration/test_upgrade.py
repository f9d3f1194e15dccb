# SPDX-License-Identifier: MIT
"""Upgrading: what goes on in the new program, and what becomes of an upgrade that can't be."""

import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from support.control import Events, objects, proxyctl
from support.load import wait_for_workers
from support.processes import Child, client_descriptors_of, descriptors_of, program, tcp_descriptors_of
from support.workspace import wait_until

Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def start(workspace):
    """A copy of the program, in whose place a test can put something else."""
    executable = workspace.path / "proxyd"
    shutil.copy(program("proxyd"), executable)

    def start(**configuration):
        routes = {"blog.example.org": str(workspace.site("blog")), "late.example.org": str(workspace.path / "late")}
        proxyd = workspace.start_proxyd(executable=executable, **{"routes": routes, **configuration})
        wait_for_workers(proxyd, configuration.get("workers", 1))
        return proxyd

    return start


def replace_program(workspace, source):
    """As a package does: a new file under the old name."""
    new = workspace.path / "proxyd.new"
    shutil.copy(source, new)
    new.rename(workspace.path / "proxyd")


def replace_by_script(workspace, script, mode=0o755):
    new = workspace.path / "proxyd.new"
    new.write_text(script)
    new.chmod(mode)
    new.rename(workspace.path / "proxyd")


def upgraded(proxyd):
    line = proxyd.upgrade()
    assert " notice upgraded: " in line, line
    return line


def serve(workspace, inbox, count=1):
    clients = [workspace.connect(Get) for _ in range(count)]
    for _ in clients:
        inbox.receive().answer(b"served")
    for client in clients:
        assert client.read_to_end() == b"served"
        client.close()


def wait_until_accepted(pids, count):
    wait_until(lambda: len(client_descriptors_of(*pids)) == count, "accepted clients")


def version():
    return subprocess.run([program("proxyd"), "--version"], capture_output=True, text=True).stdout.split()[1]


# --- one that succeeds ----------------------------------------------------------------------------


def test_the_process_stays_and_its_workers_are_new(workspace, start, inbox):
    proxyd = start(workers=2)
    serve(workspace, inbox, 5)
    old, listening = proxyd.workers(), tcp_descriptors_of(proxyd.pid)
    replace_program(workspace, program("proxyd"))
    line = upgraded(proxyd)
    assert line.endswith(f" notice upgraded: version {version()}, process {proxyd.pid}, workers 2")
    wait_for_workers(proxyd, 2, without=old)
    assert os.readlink(f"/proc/{proxyd.pid}/exe") == str(workspace.path / "proxyd")
    assert tcp_descriptors_of(proxyd.pid) == listening
    serve(workspace, inbox, 5)
    assert not [line for line in proxyd.lines if " error " in line]


def test_sessions_in_hand_are_finished_by_the_old_workers(workspace, start, inbox):
    proxyd = start(workers=2)
    old = proxyd.workers()
    silent, waiting = workspace.connect(Get[:20]), workspace.connect(Get.replace(b"blog", b"late"))
    wait_until_accepted(old, 2)
    upgraded(proxyd)
    serve(workspace, inbox, 5)
    silent.send(Get[20:])
    inbox.receive().answer(b"old")
    assert silent.read_to_end() == b"old"
    workspace.inbox("late").receive().answer(b"late")
    assert waiting.read_to_end() == b"late"
    wait_for_workers(proxyd, 2, without=old)
    # The new program has heard of the end of workers that it has not started.
    assert not [line for line in proxyd.lines if " error " in line]
    assert proxyd.stop()["handed_over"] == 7


def process_start_time(workspace):
    """In seconds since 1970, as text: the process stays the same."""
    text = proxyctl(workspace, "metrics").stdout
    return re.search(r"^process_start_time_seconds (\S+)$", text, re.MULTILINE).group(1)


def test_counters_go_on(workspace, start, inbox):
    proxyd = start(metrics=f"{workspace.address}:9100")
    serve(workspace, inbox, 5)
    assert " notice reloaded: " in proxyd.reload()
    assert "reload failed" in proxyd.reload(sessions_max=0)
    proxyd.configuration["sessions_max"] = 100
    proxyd.write_configuration()
    upgraded(proxyd)
    serve(workspace, inbox, 3)
    before = process_start_time(workspace)
    upgraded(proxyd)
    assert process_start_time(workspace) == before
    status, = objects(workspace, "status")
    assert status["uptime_ms"] > status["program_uptime_ms"]
    text = proxyctl(workspace, "metrics").stdout
    assert re.search(r'^proxyd_sessions_total\{.*handed_over.*\} 8$', text, re.MULTILINE), text
    for name, counts in (("reload", (1, 1)), ("upgrade", (2, 0))):
        found = re.findall(rf"^proxyd_{name}s_total\{{.*\}} (\d+)$", text, re.MULTILINE)
        assert sorted(map(int, found)) == sorted(counts), text
    assert proxyd.stop()["handed_over"] == 8


def test_the_sockets_of_main_and_who_follows_events_stay(workspace, start, inbox):
    metrics = workspace.path / "metrics.sock"
    proxyd = start(metrics=f"unix:{metrics}")
    files = [os.stat(path).st_ino for path in (metrics, workspace.path / "control.sock")]
    events = Events(workspace)
    result = proxyctl(workspace, "upgrade")
    assert (result.returncode, result.stderr) == (0, "")
    assert [os.stat(path).st_ino for path in (metrics, workspace.path / "control.sock")] == files
    assert events.wait_for_event(lambda event: event["event"] == "upgrade")["ok"] is True
    client = workspace.connect(Get)
    inbox.receive().answer(b"served")
    events.wait_for_event(lambda event: event.get("client") == client.address_text)
    # They are its own as before: it takes their files away at the end, or when they move.
    elsewhere = workspace.path / "elsewhere.sock"
    assert " notice reloaded: " in proxyd.reload(metrics=f"unix:{elsewhere}")
    assert elsewhere.is_socket() and not metrics.exists()
    upgraded(proxyd)
    proxyd.stop()
    assert not elsewhere.exists() and not (workspace.path / "control.sock").exists()


def test_metrics_that_move_with_an_upgrade_leave_nothing_behind(workspace, start):
    first, second = workspace.path / "first.sock", workspace.path / "second.sock"
    proxyd = start(metrics=f"unix:{first}")
    proxyd.configuration["metrics"] = f"unix:{second}"
    proxyd.write_configuration()
    upgraded(proxyd)
    assert second.is_socket() and not first.exists()


def test_the_configuration_is_read_anew(workspace, start, inbox):
    proxyd = start(workers=1)
    old = proxyd.workers()
    proxyd.configuration.update(workers=3, routes={"new.example.org": str(workspace.site("blog"))})
    proxyd.write_configuration()
    assert upgraded(proxyd).endswith("workers 3")
    wait_for_workers(proxyd, 3, without=old)
    client = workspace.connect(Get.replace(b"blog", b"new"))
    inbox.receive().answer(b"served")
    assert client.read_to_end() == b"served"


def test_a_link_is_followed_to_where_it_leads_now(workspace, start, inbox):
    """As alternatives are laid out, and packages of several versions side by side."""
    versions = [workspace.path / f"proxyd-{number}" for number in (1, 2)]
    for version_path in versions:
        shutil.copy(program("proxyd"), version_path)
    link = workspace.path / "link"
    link.symlink_to(versions[0])
    proxyd = workspace.start_proxyd(executable=link, routes={"blog.example.org": str(workspace.site("blog"))})
    link.unlink()
    link.symlink_to(versions[1])
    versions[0].unlink()
    upgraded(proxyd)
    assert os.readlink(f"/proc/{proxyd.pid}/exe") == str(versions[1])
    serve(workspace, inbox)


def test_one_after_another(workspace, start, inbox):
    proxyd = start(workers=2)
    upgraded(proxyd)
    wait_for_workers(proxyd, 2)
    descriptors = len(descriptors_of(proxyd.pid))
    for _ in range(10):
        replace_program(workspace, program("proxyd"))
        upgraded(proxyd)
    wait_for_workers(proxyd, 2)
    assert len(descriptors_of(proxyd.pid)) == descriptors
    serve(workspace, inbox, 5)


def test_workers_that_die_afterwards_are_replaced(workspace, start, inbox):
    proxyd = start(workers=2)
    upgraded(proxyd)
    wait_for_workers(proxyd, 2)
    before = proxyd.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for_workers(proxyd, 2, without=before)
    serve(workspace, inbox, 5)


# --- one that fails -------------------------------------------------------------------------------

Scripts = {
    "one that ends with a message": ("#!/bin/sh\necho 'no, thanks' >&2\necho 'not today'\nexit 3\n",
                                     ["no, thanks", "not today"], "ended with exit code 3"),
    "one that ends without a word": ("#!/bin/sh\nexit 1\n", [], "ended with exit code 1"),
    "one that crashes": ("#!/bin/sh\nkill -SEGV $$\n", [], "was ended by SIGSEGV"),
    "no program at all": ("\0\0\0", ["{file}: Exec format error"], "ended with exit code 1"),
}


def assert_fails(workspace, proxyd, inbox, problems):
    before = sorted(proxyd.workers()), sorted(descriptors_of(proxyd.pid))
    so_far = len(proxyd.lines)
    result = proxyctl(workspace, "upgrade")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == ["proxyctl: upgrade failed, everything goes on as before", *problems]
    proxyd.wait_for(lambda lines: True if any("upgrade failed" in line for line in lines[so_far:]) else None, "failure")
    logged = [line.split(" error ", 1)[1] for line in proxyd.lines[so_far:] if " error " in line]
    assert logged == [*problems, "upgrade failed, everything goes on as before"]
    wait_until(lambda: (sorted(proxyd.workers()), sorted(descriptors_of(proxyd.pid))) == before, "all as before")
    serve(workspace, inbox, 5)


@pytest.mark.parametrize("script, said, end", Scripts.values(), ids=Scripts)
def test_a_new_program_that_fails_changes_nothing(workspace, start, inbox, script, said, end):
    proxyd = start(workers=2)
    file = workspace.path / "proxyd"
    replace_by_script(workspace, script)
    assert_fails(workspace, proxyd, inbox, [*(line.format(file=file) for line in said), f"the trial of {file} {end}"])
    replace_program(workspace, program("proxyd"))
    upgraded(proxyd)
    serve(workspace, inbox)


def test_a_file_that_can_not_be_executed(workspace, start, inbox):
    proxyd = start()
    file = workspace.path / "proxyd"
    for make in (lambda: replace_by_script(workspace, "", mode=0o644), lambda: (file.unlink(), file.mkdir())):
        make()
        assert_fails(workspace, proxyd, inbox, [f"{file}: Permission denied",
                                                f"the trial of {file} ended with exit code 1"])
    file.rmdir()
    assert_fails(workspace, proxyd, inbox, [f"{file}: No such file or directory",
                                            f"the trial of {file} ended with exit code 1"])
    replace_program(workspace, program("proxyd"))
    upgraded(proxyd)


def test_one_that_hangs_disturbs_nobody_and_ends_with_proxyd(workspace, start, inbox):
    proxyd = start()
    pid_file = workspace.path / "pid"
    replace_by_script(workspace, f"#!/bin/sh\necho $$ > {pid_file}\nexec sleep 1000\n")
    proxyd.signal(signal.SIGUSR2)
    wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "the trial")
    trial = int(pid_file.read_text())
    serve(workspace, inbox, 5)
    proxyd.signal(signal.SIGHUP)  # waits
    serve(workspace, inbox, 5)
    assert proxyd.stop()["handed_over"] == 10
    wait_until(lambda: not os.path.exists(f"/proc/{trial}"), "the end of the trial")


def test_a_hanging_trial_that_is_killed_lets_a_reload_through(workspace, start, inbox):
    proxyd = start()
    pid_file = workspace.path / "pid"
    replace_by_script(workspace, f"#!/bin/sh\necho $$ > {pid_file}\nexec sleep 1000\n")
    proxyd.signal(signal.SIGUSR2)
    wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "the trial")
    old = proxyd.workers()
    proxyd.signal(signal.SIGHUP)
    serve(workspace, inbox)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    proxyd.wait_for_line(rf" error the trial of {workspace.path}/proxyd was ended by SIGKILL$")
    proxyd.wait_for_line(" notice reloaded: ")
    wait_for_workers(proxyd, 1, without=[pid for pid in old if pid != int(pid_file.read_text())])


def test_a_wrong_configuration_is_told(workspace, start, inbox):
    proxyd = start()
    good = proxyd.configuration_path.read_text()
    path = proxyd.configuration_path
    path.write_text(json.dumps({**proxyd.configuration, "user": "no-such-user"}, indent=1))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "no-such-user" in text)
    assert_fails(workspace, proxyd, inbox, [f"{path}:{line}: user: there is no user 'no-such-user'",
                                            f"the trial of {workspace.path}/proxyd ended with exit code 2"])
    path.unlink()
    assert_fails(workspace, proxyd, inbox, [f"{path}: cannot be read: No such file or directory; "
                                         "--config says where it is"])
    path.write_text(good)
    upgraded(proxyd)


def test_a_control_socket_that_can_not_be_had_is_found_by_the_trial(workspace, start, inbox):
    proxyd = start()
    path, control = proxyd.configuration_path, workspace.path / "nowhere" / "control.sock"
    path.write_text(json.dumps({**proxyd.configuration, "control": str(control)}))
    assert_fails(workspace, proxyd, inbox, [f"{path}:1: control: cannot listen at {control}: No such file or directory",
                                            f"the trial of {workspace.path}/proxyd ended with exit code 1"])


@pytest.mark.parametrize("mends", [True, False], ids=["its successor works", "nothing works"])
def test_what_fails_only_after_the_trial_leaves_the_configuration_of_before(workspace, start, inbox, mends):
    """The program is the new one then, and can't be left again: it goes on as the one before did."""
    proxyd = start(workers=2, access_log=str(workspace.site("old") / "log"))
    old_workers, pid = proxyd.workers(), proxyd.pid
    tried, new = workspace.path / "tried", workspace.site("new")
    gone = f"{new}" if mends else f"{new} {workspace.site('old')}"
    replace_by_script(workspace, f"""#!/bin/sh
if [ -e {tried} ]; then rm -r {gone}; else touch {tried}; fi
exec {program("proxyd")} "$@"
""")
    path = proxyd.configuration_path
    good = path.read_text()
    path.write_text(json.dumps({**proxyd.configuration, "access_log": str(new / "log"), "sessions_max": 7}))
    result = proxyctl(workspace, "upgrade")
    problems = [f"{path}:1: access_log: cannot open {new}/log: No such file or directory",
                "the program is the new one already, and goes on with the configuration of before"]
    if not mends:
        line = next(n for n, text in enumerate(good.splitlines(), 1) if '"access_log"' in text)
        problems.append(f"{path}:{line}: access_log: cannot open {workspace.path}/old/log: No such file or directory")
    assert result.stderr.splitlines() == ["proxyctl: upgrade failed, everything goes on as before", *problems]
    assert (result.returncode, proxyd.pid) == (1, pid)
    serve(workspace, inbox, 5)
    if not mends:
        workspace.site("old")
        path.write_text(good)
        assert proxyctl(workspace, "reload").returncode == 0
    wait_for_workers(proxyd, 2, without=old_workers)
    for worker in proxyd.workers():
        os.kill(worker, signal.SIGKILL)
    wait_for_workers(proxyd, 2, without=old_workers)
    serve(workspace, inbox, 5)


def test_a_failure_leaves_no_socket_of_metrics_behind(workspace, start, inbox):
    proxyd = start()
    metrics = workspace.path / "metrics.sock"
    good = proxyd.configuration_path.read_text()
    proxyd.configuration_path.write_text(json.dumps({**proxyd.configuration, "metrics": f"unix:{metrics}"}))
    upgraded(proxyd)
    assert metrics.is_socket()
    proxyd.configuration_path.write_text(good)
    upgraded(proxyd)
    assert not metrics.exists()


# --- signals and environment ----------------------------------------------------------------------


def test_reloads_and_upgrades_mixed(workspace, start, inbox):
    """What is asked for last holds. A request that the old program has not read when the new one takes its place
    is not answered: whoever asked sees the end of the connection, and may ask again."""
    proxyd = start(workers=2)
    for number in range(5):
        name = f"site{number}.example.org"
        proxyd.configuration["routes"] = {name: str(workspace.site("blog"))}
        asking = Child([program("proxyctl"), "--control", workspace.path / "control.sock", "upgrade"])
        proxyd.write_configuration()
        also_asking = Child([program("proxyctl"), "--control", workspace.path / "control.sock", "reload"])
        assert asking.wait_for_exit() == 0, asking.log()
        if also_asking.wait_for_exit() != 0:
            assert also_asking.lines[-1].endswith("/control.sock: proxyd has closed the connection"), also_asking.log()
            assert proxyctl(workspace, "reload").returncode == 0
        client = workspace.connect(Get.replace(b"blog.example.org", name.encode()))
        inbox.receive().answer(b"served")
        assert client.read_to_end() == b"served"
    for _ in range(10):
        proxyd.signal(signal.SIGUSR2)
        proxyd.signal(signal.SIGHUP)
    assert proxyctl(workspace, "reload").returncode == 0
    wait_for_workers(proxyd, 2)
    assert proxyd.process.poll() is None
    assert not [line for line in proxyd.lines if " error " in line]


def test_a_configuration_that_changes_during_the_trial_is_read(workspace, start, inbox):
    """The new program gets what its trial has read; a reload that was asked for meanwhile is not forgotten."""
    proxyd = start()
    old = proxyd.workers()
    proxyd.signal(signal.SIGUSR2)
    wait_until(lambda: set(proxyd.workers()) - set(old), "the trial")
    proxyd.configuration["routes"] = {"new.example.org": str(workspace.site("blog"))}
    proxyd.write_configuration()
    proxyd.signal(signal.SIGHUP)
    proxyd.wait_for_line(" notice upgraded: ")
    proxyd.wait_for_line(" notice reloaded: ")
    client = workspace.connect(Get.replace(b"blog", b"new"))
    inbox.receive().answer(b"served")
    assert client.read_to_end() == b"served"


def test_workers_that_end_during_an_upgrade_are_heard_of(workspace, start, inbox):
    proxyd = start(workers=2)
    for _ in range(5):
        before = wait_for_workers(proxyd, 2)
        proxyd.signal(signal.SIGUSR2)
        os.kill(before[0], signal.SIGKILL)
        upgrades = sum(" notice upgraded: " in line for line in proxyd.lines)
        proxyd.wait_for(lambda lines: True if sum(" notice upgraded: " in line for line in lines) > upgrades
                        else None, "the upgrade")
        wait_for_workers(proxyd, 2, without=before)
        serve(workspace, inbox, 5)


@pytest.mark.parametrize("value", ["", "7,1", "nonsense", "3,999999999"])
def test_a_stray_variable_is_ignored(workspace, value, inbox):
    proxyd = workspace.start_proxyd(prefix=("env", f"PROXYD_INHERITED_STATE={value}"),
                                    routes={"blog.example.org": str(workspace.site("blog"))})
    serve(workspace, inbox, 2)
    upgraded(proxyd)
    serve(workspace, inbox, 2)
