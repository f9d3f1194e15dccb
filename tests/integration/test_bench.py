# SPDX-License-Identifier: MIT
"""bench/run, in its smallest form: that it still measures, and writes what it has measured. Nothing is asserted about time."""

import json
import os
import pathlib
import subprocess
from xml.etree import ElementTree

import pytest

from support.processes import IsSanitized
from support.workspace import own_loopback_address

Tree = pathlib.Path(__file__).parents[2]
Groups = [pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified"), pathlib.Path("/sys/fs/cgroup/cpuacct")]

pytestmark = [pytest.mark.skipif(IsSanitized, reason="sanitizers have costs of their own"),
              pytest.mark.skipif(os.geteuid() != 0, reason="only root may make control groups"),
              pytest.mark.skipif(not any((group / "cgroup.procs").exists() and os.access(group, os.W_OK) for group in Groups),
                                 reason="no control groups can be made here")]


def test_the_benchmark_measures_proxyd_against_haproxy_and_writes_tables_plots_and_json(tmp_path):
    command = [Tree / "bench" / "run", "--quick", "--rounds", "1", "--seconds", "0.2", "--only", "direct,proxyd,HAProxy",
               "--measures", "full,resumed,latency,transfers,system_calls,kept,start,reload,crash", "--build", os.environ["PROXYD_BUILD"],
               "--into", tmp_path, "--queue", "0",
               "--address", own_loopback_address()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    figures = results["figures"]
    assert results["notes"] == []
    for measure in ("full.rate", "resumed.cpu", "latency.p99", "download.rate", "upload.cpu", "memory.500", "kernel.500"):
        assert set(figures[measure]) == {"direct", "proxyd", "HAProxy"}
    assert figures["descriptors.500"] == {"direct": [0], "proxyd": [0], "HAProxy": [2]}
    assert figures["system_calls"]["proxyd"][0] < figures["system_calls"]["HAProxy"][0] / 2
    assert figures["trouble.reload.failed"] == {"proxyd": [0], "HAProxy": [0]}
    assert figures["trouble.crash.cut"] == {"proxyd": [0], "HAProxy": [50]}
    assert "| **proxyd** |" in (tmp_path / "RESULTS.md").read_text()
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert plots == ["connections.svg", "established.svg", "latency.svg", "relays.svg", "troubles.svg"]
    for plot in plots:
        assert ElementTree.parse(tmp_path / "plots" / plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"
