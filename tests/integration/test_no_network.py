# SPDX-License-Identifier: MIT
"""Servers in confinement, without a network: examples/no-network says what it shows, and its unit is a valid one."""

import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from support.load import state_of
from support.processes import DeadlineSeconds, program, read_if_there
from support.receiver_suite import descendants_of
from support.unit_files import faults_of_units
from support.workspace import Port, wait_until

Example = pathlib.Path(__file__).parents[2] / "examples" / "no-network"
Build = pathlib.Path(program("proxyrun")).parents[1]
Ways = ["namespace", "bubblewrap", "firejail", "chroot", "private-network"]
QueueShown = {"namespace": "513", "bubblewrap": "11", "chroot": "unknown", "private-network": "11"}


def why_not(directory, way):
    """What a way says if this machine doesn't allow it; None if it does."""
    site = directory / "attempt"
    site.mkdir(exist_ok=True)
    result = subprocess.run([Example / f"{way}.sh", site, Build, program("proxyrun"), "--version"],
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DeadlineSeconds)
    return None if result.returncode == 0 else result.stdout


@pytest.fixture(scope="module")
def shown():
    """What the example prints; it shows all ways in one run."""
    with tempfile.TemporaryDirectory(prefix="proxyd-") as directory:  # a short path, for the way without /proc
        result = subprocess.run([Example / "run.sh"], env={**os.environ, "TMPDIR": directory}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=2 * DeadlineSeconds)
        assert result.returncode == 0, result.stdout
        return result.stdout


@pytest.mark.parametrize("way", Ways)
def test_a_server_without_a_network_serves_the_outside(tmp_path, way, request):
    if reason := why_not(tmp_path, way):
        pytest.skip(f"{way} can't: {reason}")
    shown = request.getfixturevalue("shown")
    row = re.search(rf"^  {way} +(127\.0\.0\.11:\d+) +(\S+) +lo +Network is unreachable +(\S+)$", shown,
                    re.MULTILINE)
    assert row and row.group(1) == row.group(2), shown
    assert row.group(3) == QueueShown.get(way, row.group(3))
    assert re.search(rf"^  {way} +41 of 41 clients were served$", shown, re.MULTILINE)


def test_a_refused_bind_opens_no_port(workspace):
    """Where the site's directory can't be written, the server hears so, and ends: it doesn't listen to the network instead."""
    if reason := why_not(workspace.path, "bubblewrap"):
        pytest.skip(f"bubblewrap can't: {reason}")
    site = workspace.site("blog")  # to read, as all of the workspace
    library = shutil.copy(Build / "lib" / "libpreload.so", workspace.path)
    result = subprocess.run(
        [Example / "bubblewrap.sh", workspace.site("other"), workspace.path, "env", f"LD_PRELOAD={library}",
         f"PROXYD_SITE={site}", f"PROXYD_PORTS={Port}", "/usr/bin/python3", "-m", "http.server", str(Port)],
        capture_output=True, text=True, timeout=DeadlineSeconds)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "PermissionError: [Errno 13] Permission denied"


QueueOutside = 20
SetQueue = f'echo {QueueOutside} >/proc/sys/net/unix/max_dgram_qlen; exec "$@"'


def queued_until_full(path):
    """How many datagrams a site socket takes that nobody reads."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for count in itertools.count():
            try:
                sender.sendto(b"no handoff", str(path))
            except BlockingIOError:
                return count


@pytest.mark.parametrize("way", ["namespace", "bubblewrap"])
def test_a_keeper_outside_makes_the_sockets_outside(workspace, way):
    """So they have the queues of its network namespace, whatever the server's has, and outlive the server."""
    if reason := why_not(workspace.path, way):
        pytest.skip(f"{way} can't: {reason}")
    site = workspace.site("blog")
    shutil.copy(Example / "server.py", workspace.path)
    library = shutil.copy(Build / "lib" / "libpreload.so", workspace.path)  # where the server sees it, too
    server = workspace.start("unshare", "--user", "--map-root-user", "--net", "sh", "-euc", SetQueue, "outside",
                             program("proxyrun"), "--keep", "--trace", "--site", site, "--port", f"{Port}=8000", "--",
                             Example / f"{way}.sh", site, workspace.path,
                             "/usr/bin/python3", workspace.path / "server.py", "8000",
                             env={**os.environ, "PROXYD_PRELOAD": library})
    server.wait_for_line(f"bind to 0.0.0.0:8000 became index 0 for port {Port} ")
    path, = site.glob("[0-9]*.sock")
    pids = wait_until(lambda: [pid for pid in descendants_of(server.pid) if "server.py" in command_of(pid)], "the server")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        wait_until(lambda pid=pid: state_of(pid) == "T", "a stopped server")
    assert queued_until_full(path) == QueueOutside + 1
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: sum("became index" in line for line in server.lines) == 2, "another server")
    wait_until(lambda: queued_until_full(path) > 0, "somebody who reads")
    server.signal(signal.SIGTERM)
    server.wait_for_exit()


def command_of(pid):
    """Of a Python."""
    return read_if_there(f"/proc/{pid}/cmdline") if read_if_there(f"/proc/{pid}/comm").startswith("python3") else ""


def test_the_unit_is_valid(workspace):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = workspace.path / "no-network.service"
    unit.write_text((Example / "no-network.service").read_text().replace("/usr/bin/proxyrun", program("proxyrun")))
    assert faults_of_units(unit) == []
