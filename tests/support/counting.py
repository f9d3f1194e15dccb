# SPDX-License-Identifier: MIT
"""What a process does, counted: its system calls by strace, its instructions by stepping through them, its
allocations by a library that is preloaded."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import struct

import pytest

from support.processes import Child

Programs = pathlib.Path(os.environ["PROXYD_BUILD"]) / "tests" / "programs"
CountInstructions = Programs / "count_instructions"


@contextlib.contextmanager
def system_calls_of(pid):
    """Gives a dictionary that is filled at the end: how many calls of which name; "total" is all of them."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    counts = {}
    strace = Child(["strace", "-f", "-c", "-U", "calls,name", "-p", pid])
    try:
        strace.wait_for_line("attached")
    except AssertionError as why:
        raise AssertionError(f"{why}\n{strace.log()}") from why
    yield counts
    strace.signal(signal.SIGINT)
    strace.wait_for_exit()
    rows = [match for line in strace.lines if (match := re.fullmatch(r"\s*(\d+) (\w+)", line))]
    assert rows, strace.log()
    counts.update({row.group(2): int(row.group(1)) for row in rows})


@contextlib.contextmanager
def instructions_of(pid):
    """Gives a list, whose only item at the end is their number."""
    found = []
    counter = Child([CountInstructions, pid])
    counter.wait_for_line("^counting$")
    yield found
    counter.signal(signal.SIGTERM)
    assert counter.wait_for_exit() == 0, counter.log()
    found.append(int(counter.lines[-1]))


class Allocations:
    """Those of a proxyd, whose command line begins with `prefix`, and of its only worker."""

    def __init__(self, workspace):
        self._file = workspace.path / "allocations"
        self._file.write_bytes(bytes(4096))
        self.prefix = ("env", f"COUNT_ALLOCATIONS={self._file}", f"LD_PRELOAD={Programs / 'count_allocations.so'}")

    def of_worker(self):
        """How many there were so far, and how many bytes are in use."""
        return struct.unpack_from("=QQ", self._file.read_bytes(), 16)
