# SPDX-License-Identifier: MIT
"""A small server (kept_server.py) under proxyrun --keep, for tests of what that holds and does."""

import contextlib
import os
import pathlib
import signal
import sys

import preload_support
from support.processes import Child, program

Server = pathlib.Path(__file__).parent / "kept_server.py"
ServerPort = 8443


class Family(Child):
    """A child that ends with all that it has started."""

    def __init__(self, workspace, *command, **options):
        super().__init__(command, start_new_session=True, **options)
        workspace.children.append(self)

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return super().end()


class KeptServer:
    """That server under proxyrun, with --keep unless told otherwise, in a site that others may share."""

    def __init__(self, workspace, *how, port=ServerPort, site="kept", launcher=(), proxyrun=("--keep",), before=(), **options):
        self.site = preload_support.Site(workspace.site(site))
        workspace.close_at_end(self.site)
        self.proxyrun = Family(workspace, *before, program("proxyrun"), "--site", self.site.path, "--port", f"443={port}",
                               *proxyrun, "--", *launcher, sys.executable, "-u", Server, port, *how, **options)
        self.runs = 0

    def wait_until_serving(self):
        """The PID and the inode of the listening socket of its next run."""
        def find(lines):
            found = [line for line in lines if line.startswith("serving ")]
            return found[self.runs] if len(found) > self.runs else None

        line = self.proxyrun.wait_for(find, f"run {self.runs} of the server")
        self.runs += 1
        _, self.pid, self.inode = (int(word) if word.isdigit() else word for word in line.split())
        return self

    def file_inodes(self):
        return {name: (self.site.path / name).stat().st_ino for name in self.site.files()}


def complaints(child):
    return [line for line in child.lines if line.startswith("proxyrun: ")]
