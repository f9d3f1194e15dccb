# SPDX-License-Identifier: MIT
"""The measures that are taken in rounds: speed, processor time, latency, transfers. Each gives its
figures to Figures.note(measure, peer, value), once a round."""

import json
import os
import random
import subprocess
import time

GiB = 1 << 30

# What may go wrong with one of them while others go on.
Failures = (RuntimeError, OSError, subprocess.SubprocessError, LookupError, ValueError)


def failures(answer):
    return sum(answer[key] for key in ("refused", "reset", "ended", "timed_out", "wrong"))


def settle(peer):
    """Until it has put away what the last clients left: no work is done any more."""
    before = peer.group.processor_seconds()
    for _ in range(50):
        time.sleep(0.02)
        after = peer.group.processor_seconds()
        if after - before < 0.0002:
            return
        before = after


class Figures:
    """What was measured: by measure and peer, a list with one value for each round."""

    def __init__(self):
        self.values, self.calls, self.relay = {}, {}, {}
        self.notes = []  # what could not be measured, and why
        self.unserved = {}  # by measure and peer: how many connections failed, of how many

    def note(self, measure, peer, value):
        self.values.setdefault(measure, {}).setdefault(peer, []).append(value)

    def count(self, measure, peer, answer):
        """Connections that should all be served."""
        failed, served = self.unserved.get((measure, peer), (0, 0))
        self.unserved[measure, peer] = failed + failures(answer), served + answer["ok"]

    def all_notes(self):
        return self.notes + [f"{measure}, {peer}: {failed:,} of {failed + served:,} connections were not served"
                             for (measure, peer), (failed, served) in sorted(self.unserved.items()) if failed]

    def missing(self, measure, peer, why):
        text = f"{measure}, {peer}: {why}"
        if text not in self.notes:
            self.notes.append(text)


class Clients:
    """The load generator, and what it has used of the processors."""

    def __init__(self, program, address):
        self.program, self.address = program, address
        self.processor_seconds = 0

    def command(self, what, ports, **options):
        ports = ",".join(map(str, ports)) if isinstance(ports, list) else str(ports)
        return [self.program, what, self.address, ports, *(f"{key}={value}" for key, value in options.items())]

    def run(self, what, ports, **options):
        with subprocess.Popen(self.command(what, ports, **options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            output = process.stdout.read()
            complaint = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.processor_seconds += usage.ru_utime + usage.ru_stime
        if process.returncode != 0:
            raise RuntimeError(f"{what}: {complaint.strip()}")
        return json.loads(output.splitlines()[-1])

    def start(self, what, port, **options):
        return subprocess.Popen(self.command(what, port, **options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)


class Rounds:
    """Takes the measures of one round, over all peers in an order that changes."""

    def __init__(self, figures, clients, backend, peers):
        self.figures, self.clients, self.backend, self.peers = figures, clients, backend, peers

    def for_each_peer(self, measure, work):
        order = list(self.peers)
        random.shuffle(order)
        for peer in order:
            try:
                work(peer)
            except Failures as why:
                self.figures.missing(measure, peer.name, str(why))

    def used(self, peer):
        return (peer.group.processor_seconds(), self.backend.processor_seconds(), self.clients.processor_seconds)

    def during(self, peer, what, **options):
        """What the clients say, and seconds of the peer and of all three."""
        before = self.used(peer)
        answer = self.clients.run(what, peer.port, **options)
        settle(peer)
        after = self.used(peer)
        spent = [late - early for early, late in zip(before, after)]
        return answer, spent[0], sum(spent)

    def connections(self, seconds, resume):
        kind = "resumed" if resume else "full"

        def measure(peer):
            answer, relay, everybody = self.during(peer, "connect", seconds=seconds, resume=int(resume))
            count = answer["ok"]
            self.figures.count(kind, peer.name, answer)
            if resume and answer["resumed"] < 0.9 * count - 32:
                raise RuntimeError(f"only {answer['resumed']} of {count} sessions were resumed")
            if count == 0:
                return
            self.figures.note(f"{kind}.rate", peer.name, count / answer["seconds"])
            self.figures.note(f"{kind}.cpu", peer.name, relay / count * 1e6)
            self.figures.note(f"{kind}.cpu_all", peer.name, everybody / count * 1e6)

        self.for_each_peer(kind, measure)

    def transfers(self, size):
        for kind, options in (("download", {"path": "/big"}), ("upload", {"upload": size})):
            def measure(peer, kind=kind, options=options):
                answer, relay, everybody = self.during(peer, "transfer", at_once=1, timeout=600, **options)
                if answer["ok"] != 1 or (kind == "download" and answer["received"] < size):
                    raise RuntimeError(f"the transfer failed: {answer}")
                self.figures.note(f"{kind}.rate", peer.name, size / GiB / answer["seconds"])
                self.figures.note(f"{kind}.cpu", peer.name, relay / (size / GiB))
                self.figures.note(f"{kind}.cpu_all", peer.name, everybody / (size / GiB))

            self.for_each_peer(kind, measure)

    def latency(self, count, rate):
        by_port = {str(peer.port): peer.name for peer in self.peers}
        try:
            answer = self.clients.run("latency", [peer.port for peer in self.peers], count=count, rate=rate)
        except Failures as why:  # of one client of one peer: nobody has figures of this round
            for peer in self.peers:
                self.figures.missing("latency", peer.name, str(why))
            return
        for port, shares in answer.items():
            for share, microseconds in shares.items():
                self.figures.note(f"latency.{share}", by_port[port], microseconds)
