# SPDX-License-Identifier: MIT
"""Servers in confinement, without a network: examples/no-network says what it shows, and its unit is a valid one."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support.processes import DeadlineSeconds, program
from support.workspace import Port

Example = pathlib.Path(__file__).parents[2] / "examples" / "no-network"
Build = pathlib.Path(program("proxyrun")).parents[1]
Ways = ["namespace", "bubblewrap", "firejail", "chroot", "private-network"]


def why_not(workspace, way):
    """What a way says if this machine doesn't allow it; None if it does."""
    result = subprocess.run([Example / f"{way}.sh", workspace.site("attempt"), Build, program("proxyrun"), "--version"], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DeadlineSeconds)
    return None if result.returncode == 0 else result.stdout


def test_the_example_serves_in_every_way_that_this_machine_allows(workspace):
    refusals = {way: reason for way in Ways if (reason := why_not(workspace, way)) is not None}
    if len(refusals) == len(Ways):
        pytest.skip(f"this machine confines nobody: {refusals}")
    example = workspace.start(Example / "run.sh", env={**os.environ, "TMPDIR": str(workspace.site("temporary"))})
    assert example.wait_for_exit() == 0
    output = "\n".join(example.lines)
    rows = re.findall(r"^  (\S+) +(127\.0\.0\.11:\d+) +(\S+) +lo +Network is unreachable +(\S+)$", output, re.M)
    assert [row[0] for row in rows] == [way for way in Ways if way not in refusals]
    assert all(row[1] == row[2] for row in rows)
    queues = {"namespace": "513", "bubblewrap": "11", "chroot": "unknown"}  # firejail's and systemd's are the machine's matter
    assert all(row[3] == queues[row[0]] for row in rows if row[0] in queues)
    assert len(re.findall(r"101 of 101 clients were served$", output, re.M)) == len(rows)


def test_a_refused_bind_opens_no_port(workspace):
    """Where the site's directory can't be written, the server hears so, and ends: it doesn't listen to the network instead."""
    if reason := why_not(workspace, "bubblewrap"):
        pytest.skip(f"bubblewrap can't: {reason}")
    site = workspace.site("blog")  # to read, as all of the workspace
    library = shutil.copy(Build / "lib" / "libpreload.so", workspace.path)
    result = subprocess.run(
        [Example / "bubblewrap.sh", workspace.site("other"), workspace.path, "env", f"LD_PRELOAD={library}",
         f"PROXYD_SITE={site}", f"PROXYD_PORTS={Port}", "/usr/bin/python3", "-m", "http.server", str(Port)],
        capture_output=True, text=True, timeout=DeadlineSeconds)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "PermissionError: [Errno 13] Permission denied"


def test_the_unit_is_valid(workspace):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = workspace.path / "no-network.service"
    unit.write_text((Example / "no-network.service").read_text().replace("/usr/bin/proxyrun", program("proxyrun")))
    result = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=DeadlineSeconds)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
