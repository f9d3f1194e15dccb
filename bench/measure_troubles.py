# SPDX-License-Identifier: MIT
"""What clients notice of what an operator does, or of a crash: under load, with other connections
established before. And how long a start takes."""

import json
import os
import signal
import time

from measure import failures

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
                self.start_again_if_ended(peer, what)
            output, complaint = load.communicate(timeout=seconds + 60)
            processes = len(peer.pids())
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
        self.figures.note(f"trouble.{what}.processes", peer.name, processes)
        self.figures.note(f"trouble.{what}.longest_ms", peer.name, answer["longest_ms"])

    def start_again_if_ended(self, peer, what):
        """As a service manager would, but at once."""
        end = time.monotonic() + 0.1
        while time.monotonic() < end and peer.pids():
            time.sleep(0.005)
        if not peer.pids():
            code = peer.group.popens[-1].wait()
            self.figures.missing(f"trouble.{what}", peer.name, f"ended with {code}, and was started again at once")
            peer.launch()

    def reload(self, peer):
        if peer.reload_is:
            self.during(peer, "reload", lambda peer: peer.reload(), 4, self.options.trouble_seconds)

    def upgrade(self, peer):
        """Once: nginx takes no other one while the old process has connections left."""
        if peer.upgrade_is:
            self.during(peer, "upgrade", lambda peer: peer.upgrade(), 1, self.options.trouble_seconds)

    def crash(self, peer):
        """All its processes are killed, and it is started again at once."""
        def kill(peer):
            peer.group.kill()
            peer.launch()

        if peer.pids():
            self.during(peer, "crash", kill, 1, self.options.trouble_seconds)

    def worker_crash(self, peer):
        """The process that serves is killed; the one that looks after it does what it does."""
        def kill(peer):
            worker = [pid for pid in peer.working_pids() if pid != peer.main()][-1]
            os.kill(worker, signal.SIGKILL)

        if peer.has_master:
            self.during(peer, "worker_crash", kill, 1, self.options.trouble_seconds)
