# SPDX-License-Identifier: MIT
"""A machine to throw away: the file system of this one with all changes kept apart, and a network and
processes of its own. For tests that install things or want the well-known ports. Needs root.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from support.processes import DeadlineSeconds

Setup = """
set -e
mount -t tmpfs tmpfs {base}
mkdir {base}/changes {base}/work {base}/root
mount -t overlay overlay -o lowerdir=/,upperdir={base}/changes,workdir={base}/work {base}/root
mount -t proc proc {base}/root/proc
mount --rbind /dev {base}/root/dev
mount -t tmpfs tmpfs {base}/root/run
mount -t tmpfs tmpfs {base}/root/tmp
mkdir {base}/root/shared
mount --bind {shared} {base}/root/shared
rm -f {base}/root/var/lib/man-db/auto-update
ip link set lo up
echo ready
exec sleep infinity
"""


class Machine:
    """`shared` is a directory that is there as /shared, with the changes of both sides."""

    def __init__(self, shared):
        self.shared = shared
        self._base = pathlib.Path(tempfile.mkdtemp(prefix="proxyd-machine-"))
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c",
             Setup.format(base=self._base, shared=shared)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._first = None
        said = self._keeper.stdout.readline()
        if said != "ready\n":
            self.close()
            pytest.skip(f"this machine can't be doubled: {said}")
        children = pathlib.Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children")
        self._first = int(children.read_text().split()[0])

    def inside(self, *command):
        """The command line of a command in it, from outside."""
        return ["nsenter", "--target", str(self._first), "--mount", "--net", "--pid", "chroot",
                f"{self._base}/root", *map(str, command)]

    def run(self, *command, expect=0, **options):
        result = subprocess.run(self.inside(*command), capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                timeout=4 * DeadlineSeconds, **options)
        assert result.returncode == expect, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout

    def files(self):
        """What was added or changed: an overlay marks what was removed by a character device."""
        changes = f"{self._base}/changes"
        listing = subprocess.run(["nsenter", "--target", str(self._first), "--mount", "find", changes, "-not", "-type", "c",
                                  "-printf", "/%P\n"], capture_output=True, text=True, check=True).stdout
        return set(listing.splitlines()) | {line for line in self.run("find", "/run", "/tmp").splitlines()}

    def close(self):
        if self._first is not None:
            os.kill(self._first, signal.SIGKILL)  # with it goes everything in there
        self._keeper.kill()
        self._keeper.wait()
        self._keeper.stdout.close()
        shutil.rmtree(self._base, ignore_errors=True)
