# SPDX-License-Identifier: MIT
"""The measures that count, and depend little on who else uses the machine: system calls and
instructions for each connection, memory and descriptors of those that stay, the price of many routes."""

import time

from measure import settle
from processes import Instructions, SystemCalls, descriptors, kernel_bytes, memory_bytes


class Counts:
    def __init__(self, figures, clients, backend, options):
        self.figures, self.clients, self.backend, self.options = figures, clients, backend, options

    def system_calls(self, peer, count):
        """Of all its processes, with 16 clients at once, while strace looks on."""
        if not peer.pids():
            return
        trace = SystemCalls(peer.pids(), peer.directory)
        answer = self.clients.run("connect", peer.port, count=count, seconds=300, resume=1)
        time.sleep(0.1)
        calls = trace.finish()
        self.figures.count("system_calls", peer.name, answer)
        if answer["ok"] != count:
            raise RuntimeError("not all connections were served under strace")
        self.figures.note("system_calls", peer.name, sum(calls.values()) / count)
        self.figures.calls[peer.name] = {name: number / count for name, number in calls.items() if number * 50 > count}

    def instructions(self, peer):
        """The difference of two runs, outside the kernel, 16 clients at once, as long as there are so many."""
        few, many = self.options.instruction_runs
        pids = peer.working_pids()
        if not pids or peer.has_process_for_each:
            return None
        counts = []
        for count in (few, many):
            counters = [Instructions(self.options.count_instructions, pid) for pid in pids]
            answer = self.clients.run("connect", peer.port, count=count, at_once=16, seconds=300, timeout=60,
                                      names=len(peer.names), resume=1)
            time.sleep(0.1)
            counts.append(sum(counter.finish() for counter in counters))
            if answer["ok"] != count:
                raise RuntimeError("not all connections were served while instructions were counted")
        return (counts[1] - counts[0]) / (many - few)

    def kept(self, peer, count):
        """With so many established connections that do nothing. Those that come before them pay for what is needed once."""
        def keep(number):
            process = self.clients.start("keep", peer.port, at_once=number, timeout=60)
            if "kept" not in process.stdout.readline():
                raise RuntimeError(f"{number} connections could not be kept: {process.stderr.read().strip()}")
            time.sleep(0.3)
            return process

        self.clients.run("connect", peer.port, count=1000, seconds=60, resume=1)
        first = keep(min(100, count))
        batch = None
        try:
            before = memory_bytes(peer.pids()), descriptors(peer.pids()), kernel_bytes()
            batch = keep(count)
            after = memory_bytes(peer.pids()), descriptors(peer.pids()), kernel_bytes()
        finally:
            for process in filter(None, (first, batch)):
                process.stdin.close()
                process.stdout.read()
                process.wait()
        for measure, early, late in zip(("memory", "descriptors", "kernel"), before, after):
            self.figures.note(f"{measure}.{count}", peer.name, (late - early) / count)

    def with_routes(self, peer, seconds):
        """A peer of its own, with many names: the time until it serves, and what a connection costs."""
        count = len(peer.names)
        started = time.monotonic()
        peer.configure()
        configured = time.monotonic()
        peer.launch()
        first = self.clients.run("first", peer.port, timeout=20)
        self.figures.note(f"start.{count}", peer.name, (first["at"] - configured) * 1000)
        settle(peer)
        before = peer.group.processor_seconds()
        answer = self.clients.run("connect", peer.port, seconds=seconds, names=count, resume=1)
        time.sleep(0.1)
        spent = peer.group.processor_seconds() - before
        self.figures.count(f"routes.{count}", peer.name, answer)
        if answer["ok"] > 0:
            self.figures.note(f"routes.{count}.cpu", peer.name, spent / answer["ok"] * 1e6)
        return time.monotonic() - started
