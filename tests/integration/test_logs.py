# SPDX-License-Identifier: MIT
"""Where the logs go: rotated files, full disks, the systemd journal; and the levels of the error log."""

import getpass
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from support.processes import AccessFields, DeadlineSeconds, parse_access_line, program
from support.workspace import Port, wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
# A mount namespace of one's own; those who aren't root need a user namespace for it.
OwnMounts = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
Journald = "/lib/systemd/systemd-journald"


@pytest.fixture
def inbox(workspace):
    return workspace.inbox("blog")


@pytest.fixture
def start(workspace, inbox):
    def start(**configuration):
        return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, **configuration)

    return start


@pytest.fixture
def serve_one(workspace, inbox):
    """One client and its end; returns its address."""
    def serve():
        client = workspace.connect(Get)
        inbox.receive().answer(b"done")
        assert client.read_to_end() == b"done"
        client.close()
        return client.address_text

    return serve


def clients_in(path):
    return [parse_access_line(line)["client"] for line in path.read_text().splitlines()]


# --- reopening ------------------------------------------------------------------------------------


def test_a_file_is_reopened_at_sigusr1(workspace, start, serve_one):
    log, rotated = workspace.path / "access.log", workspace.path / "access.log.1"
    proxyd = start(access_log=str(log))
    first = serve_one()
    wait_until(lambda: log.read_text().endswith("\n"), "the first line")
    log.rename(rotated)
    proxyd.signal(signal.SIGUSR1)
    proxyd.wait_for_line(" notice reopened the access log$")
    second = serve_one()
    wait_until(lambda: log.read_text().endswith("\n"), "the second line")
    assert (clients_in(rotated), clients_in(log)) == ([first], [second])


def test_no_line_is_lost_or_torn_by_reopening(workspace, start, serve_one):
    log = workspace.path / "access.log"
    proxyd = start(access_log=str(log))
    served = []
    for number in range(20):
        served += [serve_one() for _ in range(10)]
        log.rename(workspace.path / f"access.log.{number:02}")
        proxyd.signal(signal.SIGUSR1)
        served += [serve_one() for _ in range(10)]  # nobody waits for the log
        wait_until(log.exists, "the new file")
    proxyd.stop()
    files = [*sorted(workspace.path.glob("access.log.*")), log]
    assert sorted(sum((clients_in(file) for file in files), [])) == sorted(served)


def test_the_old_file_is_kept_when_there_is_no_new_one(workspace, start, serve_one):
    logs = workspace.site("logs")
    moved = workspace.path / "moved"
    proxyd = start(access_log=str(logs / "access.log"))
    logs.rename(moved)
    proxyd.signal(signal.SIGUSR1)
    proxyd.wait_for_line(f"access_log: cannot open {logs}/access.log: No such file or directory; the old one goes on$")
    client = serve_one()
    wait_until(lambda: (moved / "access.log").read_text().endswith("\n"), "the line")
    assert clients_in(moved / "access.log") == [client]


# --- full disks -----------------------------------------------------------------------------------


def test_a_full_disk_loses_lines_and_nothing_else(workspace, start, serve_one):
    """A file system of one page, which is full after a dozen lines, and is emptied then."""
    disk = workspace.site("disk")
    proxyd = start(access_log=str(disk / "access.log"), prefix=[
        *OwnMounts, "sh", "-c", 'mount -t tmpfs -o size=4k none "$0" && exec "$@"', disk])
    log = pathlib.Path(f"/proc/{proxyd.pid}/root{disk}/access.log")
    served = 0
    while not any("access log: No space left on device" in line for line in proxyd.lines):
        serve_one()
        served += 1
        assert served < 100
    for _ in range(5):
        serve_one()
    assert log.stat().st_size == 4096
    written = log.read_text().count("\n")
    os.truncate(log, 0)
    last = serve_one()
    lost = int(proxyd.wait_for_line(r" warning access log: (\d+) lines lost, it is written again$").group(1))
    # What was cut is ended, so that what comes then is a line of its own.
    wait_until(lambda: f" client={last} " in log.read_text() and log.read_text().endswith("\n"), "the last line")
    # The line of the client before the last may be among them: it is served before it is logged.
    afterwards = [line for line in log.read_text().split("\n") if line]
    assert afterwards[-1].split(" ")[3] == f"client={last}"
    assert written + lost + len(afterwards) == served + 5 + 1
    assert len([line for line in proxyd.lines if "No space left" in line]) == 1


def test_a_device_that_is_always_full(workspace, start, serve_one):
    proxyd = start(access_log="/dev/full")
    for _ in range(3):
        serve_one()
    proxyd.wait_for_line(" error access log: No space left on device; lines are lost$")
    assert proxyd.stop()["handed_over"] == 3


# --- the journal ----------------------------------------------------------------------------------


class Journal:
    """systemd-journald itself, with a /run of its own."""

    def __init__(self, workspace):
        self.child = workspace.start(
            *OwnMounts, "sh", "-c",
            "mount -t tmpfs none /run && mount -t tmpfs none /var/log && mkdir -p /run/systemd/journal && exec " + Journald)
        self.root = pathlib.Path(f"/proc/{self.child.pid}/root")
        wait_until(lambda: (self.root / "run/systemd/journal/socket").exists(), "the journal's socket")
        # In its namespace; its root directory is ours.
        self.prefix = ["nsenter", f"--target={self.child.pid}", "--mount"]

    def entries(self):
        directories = list((self.root / "run/log/journal").glob("*"))
        if not directories:
            return []
        output = subprocess.run(["journalctl", "--directory", directories[0], "--output=json", "--all",
                                 "SYSLOG_IDENTIFIER=proxyd"],
                                capture_output=True, text=True, timeout=DeadlineSeconds, check=False).stdout
        return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def journal(workspace):
    if os.getuid() != 0:
        pytest.skip("systemd-journald needs root")
    return Journal(workspace)


def test_the_journal_has_an_entry_with_all_fields(workspace, start, serve_one, journal):
    start(access_log="journal", prefix=journal.prefix)
    client = serve_one()
    workspace.connect(b"\0\0\0\0").read_to_end()
    served, rejected = wait_until(lambda: len(entries := journal.entries()) == 2 and entries, "two entries")
    assert served["PRIORITY"] == "6"
    assert served["_TRANSPORT"] == "journal"
    fields = {key: served[f"PROXYD_{key.upper()}"] for key in AccessFields if f"PROXYD_{key.upper()}" in served}
    assert served["MESSAGE"] == "access " + " ".join(f"{key}={fields.get(key, '-')}" for key in AccessFields)
    assert (fields["client"], fields["name"], fields["verdict"]) == (client, Name, "handed_over")
    assert (rejected["PROXYD_VERDICT"], rejected["PROXYD_REASON"]) == ("rejected", "protocol_unknown")
    assert "PROXYD_NAME" not in rejected


def test_many_entries_for_the_journal_take_few_calls_and_none_is_lost(start, serve_one, journal):
    proxyd = start(access_log="journal", prefix=journal.prefix)
    clients = [serve_one() for _ in range(300)]
    entries = wait_until(lambda: len(entries := journal.entries()) >= 300 and entries, "all entries")
    assert [entry["PROXYD_CLIENT"] for entry in entries] == clients
    assert proxyd.stop()["handed_over"] == 300


def test_json_for_the_journal(start, serve_one, journal):
    start(access_log="journal", access_log_format="json", prefix=journal.prefix)
    client = serve_one()
    entry = wait_until(journal.entries, "the entry")[0]
    message = json.loads(entry["MESSAGE"])
    assert list(message) == ["time", *AccessFields]
    assert message["client"] == entry["PROXYD_CLIENT"] == client


def test_without_a_journal_there_is_no_start(workspace):
    path = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites), "access_log": "journal"}))
    result = subprocess.run([*OwnMounts, "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh",
                             program("proxyd"), "--config", path], capture_output=True, text=True,
                            timeout=DeadlineSeconds, check=False)
    assert (result.returncode, result.stderr) == (
        1, f"{path}:1: access_log: cannot open journal: No such file or directory\n")


# --- the error log --------------------------------------------------------------------------------


def test_a_journal_at_standard_error_gets_priorities_and_no_time(workspace):
    """As systemd tells it: $JOURNAL_STREAM has device and inode of what the journal reads."""
    path = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "routes": {Name: str(workspace.path / "nowhere")}}))
    proxyd = workspace.start("sh", "-c", 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"', "sh",
                             program("proxyd"), "--config", path)
    proxyd.wait_for_line("^<5>ready: version ")
    assert any(line.startswith(f"<4>{path}:1: routes.{Name}: ") for line in proxyd.lines)
    assert all(re.match("<[3-7]>", line) for line in proxyd.lines)


def test_a_journal_stream_that_is_not_standard_error_changes_nothing(workspace):
    path = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "sites": str(workspace.sites), "user": getpass.getuser()}))
    proxyd = workspace.start("env", "JOURNAL_STREAM=1:2", program("proxyd"), "--config", path)
    proxyd.wait_for_line(r"^\d{4}-\S+Z notice ready: version ")


def test_the_level_says_what_is_logged(workspace, start, serve_one):
    proxyd = start(log_level="debug")
    serve_one()
    proxyd.wait_for_line(f" info site {workspace.path}/blog: {Port}.sock is there$")
    proxyd.wait_for_line(f" debug site {workspace.path}/blog: read for port {Port}, sockets: 1$")


def test_notices_are_the_default(start, serve_one):
    proxyd = start()
    serve_one()
    proxyd.stop()
    assert not [line for line in proxyd.lines if re.search(r"^\S+ (info|debug) ", line)]


def test_errors_only(workspace, inbox):
    path = workspace.write_configuration(json.dumps(
        {"listen": [f"{workspace.address}:{Port}"], "routes": {Name: str(workspace.site("blog"))},
         "access_log": "/dev/full", "log_level": "error", "control": "none", "user": getpass.getuser()}))
    proxyd = workspace.start(program("proxyd"), "--config", path)

    def connects():
        try:
            return workspace.connect(Get)
        except ConnectionRefusedError:
            return None

    wait_until(connects, "a connection")
    inbox.receive().close()
    proxyd.wait_for_line("access log: No space left on device; lines are lost$")
    assert len(proxyd.lines) == 1
