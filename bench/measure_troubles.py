# SPDX-License-Identifier: MIT
"""What clients notice of what an operator does, or of a crash: under load, with other connections
established before. And how long a start takes."""

import json
import os
import random
import signal
import threading
import time

from measure import failures
from processes import wait_for


class Troubles:
    def __init__(self, figures, clients, options):
        self.figures, self.clients, self.options = figures, clients, options

    def start_time(self, peer):
        """From the start of the process to the first client that is served."""
        peer.group.stop()
        before = time.monotonic()
        peer.launch()
        first = self.clients.run("first", peer.port, timeout=20)
        self.figures.note("start", peer.name, (first["at"] - before) * 1000)

    def during(self, peer, what, action, times, seconds):
        """Clients without a pause, and those that were there before, while it is done so many times."""
        peer.group.stop()
        peer.launch()
        peer.wait()
        kept = self.clients.start("keep", peer.port, at_once=self.options.kept, timeout=10)
        load = None
        try:
            if "kept" not in kept.stdout.readline():
                raise RuntimeError(f"connections could not be kept: {kept.stderr.read().strip()}")
            load = self.clients.start("connect", peer.port, at_once=8, seconds=seconds, resume=1, timeout=5)
            load.stdout.readline()
            for _ in range(times):
                time.sleep(seconds / (times + 1))
                action(peer)
            output, complaint = load.communicate(timeout=seconds + 60)
            alive, _ = kept.communicate(timeout=60)
        finally:
            for process in filter(None, (kept, load)):
                process.poll() is None and process.kill()
                process.wait()
        if load.returncode != 0:
            raise RuntimeError(complaint.strip())
        answer, alive = json.loads(output.splitlines()[-1]), json.loads(alive.splitlines()[-1])
        self.figures.note(f"trouble.{what}.failed", peer.name, failures(answer))
        self.figures.note(f"trouble.{what}.served", peer.name, answer["ok"])
        self.figures.note(f"trouble.{what}.cut", peer.name, failures(alive))
        self.figures.note(f"trouble.{what}.longest_ms", peer.name, answer["longest_ms"])

    def reload(self, peer):
        if peer.reload_is:
            self.during(peer, "reload", lambda peer: peer.reload(), 4, self.options.trouble_seconds)

    def upgrade(self, peer):
        if peer.upgrade_is:
            self.during(peer, "upgrade", lambda peer: peer.upgrade(), 2, self.options.trouble_seconds)

    def crash_of_all(self, peer):
        """All its processes are killed, and it is started again at once."""
        def crash(peer):
            peer.group.kill()
            peer.launch()

        if peer.pids():
            self.during(peer, "crash", crash, 1, self.options.trouble_seconds)

    def crash_of_worker(self, peer):
        """The process that serves is killed; what looks after it does what it does, and if there is nothing like that, it is
        started again at once."""
        def crash(peer):
            pids = peer.working_pids()
            victims = [pid for pid in pids if pid != peer.main()] or pids
            for victim in victims[-1:]:
                os.kill(victim, signal.SIGKILL)
            time.sleep(0.05)
            peer.group.reap()
            if not peer.serves():
                time.sleep(0.2)
            if not peer.serves():
                peer.group.kill()
                peer.launch()

        if peer.pids():
            self.during(peer, "worker_crash", crash, 1, self.options.trouble_seconds)
