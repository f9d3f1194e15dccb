# SPDX-License-Identifier: MIT
"""What all that are measured have in common: a place, a port, a control group, and what an operator can do."""

import os
import re
import shutil
import socket
import subprocess

from processes import ConnectionsMax, Group, file_text, wait_for

Names = 10


def names(count):
    return [f"n{number}.example.org" for number in range(count)]


class Place:
    """What all peers have in common: where the backend is, and where files may be."""

    def __init__(self, directory, build, address, first_port):
        self.directory, self.build, self.address = directory, build, address
        self.backend_port = first_port
        self.first_port = first_port
        self.site = directory / "site"

    @property
    def backend(self):
        return f"{self.address}:{self.backend_port}"

    def program(self, name):
        return self.build / "bin" / name


class Peer:
    name = ""
    offset = 0  # of its port
    by_name = True  # chooses by name; otherwise it takes everything there
    connections_max = ConnectionsMax
    names_max = 100000  # for which it starts at all
    package = None
    # What an operator can do with it: what it is called here, and the method.
    upgrade_is = reload_is = None
    has_master = False  # a process that looks after the one that serves
    has_process_for_each = False  # connection

    def __init__(self, place, names_count=Names, offset=0):
        self.place = place
        self.names = names(names_count)
        self.port = place.first_port + self.offset + offset
        self.directory = place.directory / f"{self.name.replace(' ', '-')}-{self.port}"
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.group = Group()

    @classmethod
    def version(cls, place):
        return ""

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def run(self, *command, **options):
        return self.group.run(*command, log=self.directory / "log", **options)

    def start(self):
        self.configure()
        self.launch()
        self.wait()

    def wait(self):
        def is_there():
            if self.group.popens and self.group.popens[-1].poll() not in (None, 0):
                raise TimeoutError(f"{self.name} ended: {file_text(self.directory / 'log')[-500:]}")
            return self.serves()
        wait_for(is_there, f"{self.name}'s start")

    def serves(self):
        self.group.reap()
        try:
            socket.create_connection((self.place.address, self.port), 1).close()
            return True
        except OSError:
            return False

    def configure(self):
        """Writes its configuration."""

    def launch(self):
        raise NotImplementedError

    def pids(self):
        return self.group.pids()

    def working_pids(self):
        """Those through whom clients go."""
        return [pid for pid in self.pids() if not file_text(f"/proc/{pid}/task/{pid}/children").split()]

    def main(self):
        return self.group.popens[-1].pid

    def close(self):
        self.group.close()

    def say(self, number, pid=None):
        os.kill(pid or self.main(), number)


def version_of(*command):
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    match = re.search(r"\d+\.\d+[\w.~+-]*", done.stdout + done.stderr)
    return match.group(0) if match else ""


class Restarted:
    """Where there is no reload or upgrade: an end and a new start is all that there is."""
    reload_is = upgrade_is = "restart"

    def reload(self):
        self.group.stop()
        self.launch()

    upgrade = reload
