# SPDX-License-Identifier: MIT
"""Workspace: what one test owns: a directory, a loopback address, and everything that it started.

Tests run at the same time as others, so each has its own address in 127.0.0.0/8 and may use the same
port on it as everybody else. Waiting is always for something that happens, up to `DeadlineSeconds`.
"""

import collections
import contextlib
import getpass
import ipaddress
import itertools
import os
import pathlib
import random
import shutil
import socket
import tempfile
import time

from support.clients import Client
from support.processes import Child, DeadlineSeconds, Proxyd, takes_key
from support.receivers import SiteInbox

Port = 8443
TestsPerProcessMax = 1024
ClientPortsMax = 1000  # of the 28,000 that there are

_address_counter = itertools.count(2)


def own_loopback_address():
    """Another one for each test, as long as no process runs more than `TestsPerProcessMax` of them."""
    number = (os.getpid() * TestsPerProcessMax + next(_address_counter)) % 2**24
    return str(ipaddress.IPv4Address("127.0.0.0") + number)


def free_port(address="::1"):
    """For addresses of which there is only one; below the ports that the kernel gives to clients, one of
    whom might get it otherwise before proxyd does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            probe.bind((address, random.randrange(10000, 32768)))
            return probe.getsockname()[1]


def wait_until(condition, what="the condition"):
    """For what nobody tells us about: looks again and again. Returns what `condition` returned."""
    deadline = time.monotonic() + DeadlineSeconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true in {DeadlineSeconds} s"
        time.sleep(0.002)
    return value


def wait_until_equal(look, expected):
    """The like for two lists; a failure shows what one of them has and the other hasn't."""
    deadline = time.monotonic() + DeadlineSeconds
    while (found := look()) != expected:
        if time.monotonic() > deadline:
            more, less = (collections.Counter(found) - collections.Counter(expected),
                          collections.Counter(expected) - collections.Counter(found))
            raise AssertionError(f"after {DeadlineSeconds} s too many: {list(more)}, missing: {list(less)}")
        time.sleep(0.002)


class Workspace:
    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="proxyd-"))
        self.address = own_loopback_address()
        self.sites = self.path / "sites"
        self.sites.mkdir()
        self.children = []
        self.clients = []
        self._closables = []
        self._client_ports = set()  # no two clients in a row have the same, so a log's line is one's own

    def site(self, name):
        """The directory of a site; `name` is relative to the workspace ("sites/blog.example.org")."""
        directory = self.path / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def inbox(self, site, file_name=f"{Port}.sock"):
        """A live site socket, in a directory that is made if it isn't there."""
        return self.close_at_end(SiteInbox(self.site(site), file_name))

    def write_configuration(self, text):
        path = self.path / "proxyd.json"
        path.write_text(text)
        return path

    def start(self, *command, **options):
        child = Child(command, **options)
        self.children.append(child)
        return child

    def start_proxyd(self, prefix=(), executable=None, **configuration):
        """proxyd, ready, listening at `self.address` unless `listen` says otherwise; without any route
        that is named, the empty directory `sites` is where its clients go.

        `prefix` is what the command line begins with, such as ("prlimit", "--nofile=32"); `executable`
        is another proxyd than the build's. One worker serves, so that limits and orders are what a test
        counts on, as the user who runs the tests, whose files it sees; None leaves such a key out.
        """
        configuration.setdefault("listen", [f"{self.address}:{Port}"])
        if "routes" not in configuration:
            configuration.setdefault("sites", str(self.sites))
        for key, value in self.defaults().items():
            configuration.setdefault(key, value)
        configuration = {key: value for key, value in configuration.items() if value is not None}
        proxyd = Proxyd(self.path, configuration, prefix, executable)
        self.children.append(proxyd)
        proxyd.wait_until_ready()
        return proxyd

    def defaults(self):
        """What a proxyd of a test is told beside its purpose, as far as it knows these keys yet."""
        defaults = {"workers": 1, "user": getpass.getuser(), "control": str(self.path / "control.sock")}
        return {key: value for key, value in defaults.items() if takes_key(key)}

    def connect(self, first_bytes=b"", *, address=None, port=Port, source=None):
        if len(self._client_ports) == ClientPortsMax:
            self._client_ports.clear()
        client = Client(address or self.address, port, source, not_ports=self._client_ports)
        self._client_ports.add(client.address[1])
        self.clients.append(client)
        client.send(first_bytes)
        return client

    def close_at_end(self, closable):
        self._closables.append(closable)
        return closable

    def close(self):
        """Ends everything; returns what children did that no child should have done."""
        for client in self.clients:
            client.reset()  # so that proxyd need not wait for any of them
        for closable in self._closables:
            closable.close()
        complaints = [complaint for child in self.children for complaint in child.end()]
        shutil.rmtree(self.path, ignore_errors=True)
        return complaints
