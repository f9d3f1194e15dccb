# SPDX-License-Identifier: MIT
"""What a machine does to programs: a full disk, a file system that has become read-only, a clock that steps."""

import os
import pathlib
import struct
import subprocess

import pytest


class SmallDisk:
    """A file system of its own in a directory of the workspace, for root only."""

    def __init__(self, workspace, name, size="64k"):
        if os.geteuid() != 0:
            pytest.skip("only root can mount a file system")
        self.path = workspace.site(name)
        result = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path], capture_output=True)
        if result.returncode != 0:
            pytest.skip(f"mount: {result.stderr.decode()}")
        workspace.close_at_end(self)

    def fill(self):
        """To the last byte."""
        with open(self.path / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1024))
            except OSError:
                pass

    def empty(self):
        os.unlink(self.path / "filler")

    def make_read_only(self):
        """For new files and changes of names; files that are open already may be written on."""
        self._remount("ro")

    def make_writable(self):
        self._remount("rw")

    def _remount(self, option):
        # Of the mount, not of the file system: nobody's open files stand in the way.
        subprocess.run(["mount", "-o", f"remount,bind,{option}", self.path], check=True)

    def close(self):
        subprocess.run(["umount", "--lazy", self.path], check=False)


class SteppedClock:
    """The clock of the day of one program, and nobody else's (tests/programs/stepped_clock.c)."""

    library = pathlib.Path(os.environ["PROXYD_BUILD"]) / "tests" / "programs" / "stepped_clock.so"

    def __init__(self, workspace):
        self.path = workspace.path / "clock"
        self.step(0)

    def prefix(self):
        """What the program's command line begins with."""
        return ("env", f"LD_PRELOAD={self.library}", f"STEPPED_CLOCK={self.path}")

    def step(self, seconds):
        """From the true time; those who have the file open see it at once."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT)
        os.pwrite(file, struct.pack("=q", seconds), 0)
        os.close(file)
