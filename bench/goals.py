# SPDX-License-Identifier: MIT
"""What was to be reached, and whether it is."""

from figures import best_other, measures, median, ratio, ratio_in
from tables import table

Kinds = (("full", "full handshakes"), ("resumed", "resumed sessions"))


class Goals:
    def __init__(self, results):
        self.results, self.rows = results, []

    def at_most(self, what, most, value, digits=2):
        self.row(what, f"at most {most:,}", value, value is not None and value <= most, digits)

    def at_least(self, what, least, value, digits=2):
        self.row(what, f"at least {least}", value, value is not None and value >= least, digits)

    def row(self, what, goal, value, is_reached, digits):
        if value is None:
            self.rows.append([what, goal, "–", "not measured"])
        else:
            self.rows.append([what, goal, f"{value:,.{digits}f}", "yes" if is_reached else "**no**"])

    def one(self, key, name="proxyd"):
        values = self.results["figures"].get(key, {}).get(name)
        return median(values) if values else None

    def ratio(self, key, base, name="proxyd"):
        return ratio(self.results, key, name, base)

    def to_best(self, key):
        """To the best of the others, whoever that is."""
        found = [measure for measure in measures(self.results) if measure.key == key]
        best = best_other(self.results, found[0]) if found else None
        return self.ratio(key, best) if best else None


def of_new_connections(goals):
    for kind, text in Kinds:
        for peer in ("HAProxy", "nginx stream"):
            goals.at_most(f"Processor time per connection, to {peer}'s ({text})", 0.25, goals.ratio(f"{kind}.cpu", peer))
    goals.at_most("System calls per connection", 4.2, goals.one("system_calls"))
    for kind, text in Kinds:
        goals.at_least(f"New connections per second, to direct's ({text})", 0.95, goals.ratio(f"{kind}.rate", "direct"))
        goals.at_least(f"... to those of the best other ({text})", 1, goals.to_best(f"{kind}.rate"))
    for share, text in (("p50", "half of all"), ("p99", "99 of 100")):
        goals.at_most(f"Time to the first byte, to direct's ({text})", 1.05, goals.ratio(f"latency.{share}", "direct"))
        goals.at_most(f"... to that of the best other ({text})", 1, goals.to_best(f"latency.{share}"))


def of_established_ones(goals):
    for kind in ("download", "upload"):
        goals.at_least(f"Throughput to direct's, {kind} (1.00 within the noise)", 0.97, goals.ratio(f"{kind}.rate", "direct"))
        goals.at_most(f"Processor time per GiB, {kind}, s (0, but for the handoff itself)", 0.001, goals.one(f"{kind}.cpu"), 4)
    counts = sorted(int(key.partition(".")[2]) for key in goals.results["figures"] if key.startswith("memory."))
    for count in counts:
        value = goals.one(f"memory.{count}")
        goals.row(f"Memory per idle connection, of {count:,}, bytes", "0, within 64 KiB of all", value,
                  value is not None and value * count <= 65536, 1)
        goals.at_most(f"Descriptors per idle connection, of {count:,}", 0, goals.one(f"descriptors.{count}"))


def of_many_routes(goals):
    counts = sorted(int(key.split(".")[1]) for key in goals.results["figures"] if key.startswith("routes.") and key.endswith(".cpu"))
    if len(counts) < 2:
        return
    few, many = (goals.one(f"routes.{count}.instructions") for count in (counts[0], counts[-1]))
    goals.at_most(f"Instructions per connection with {counts[-1]:,} routes, to those with {counts[0]:,}", 1.02,
                  many / few if few and many else None, 3)
    goals.at_most(f"Start with {counts[-1]:,} routes, ms", 300, goals.one(f"start.{counts[-1]}"), 0)


def of_the_relay(goals):
    """Ratios to HAProxy's, in each figure."""
    if "proxyd+tcpshim" not in goals.results["versions"]:
        return
    for key, text in (("full.rate", "new connections per second, full handshakes"), ("resumed.rate", "... resumed sessions"),
                      ("download.rate", "download, GiB/s"), ("upload.rate", "upload, GiB/s")):
        goals.at_least(f"tcpshim to HAProxy: {text}", 1, goals.ratio(key, "HAProxy", "proxyd+tcpshim"))
    counts = sorted(int(key.partition(".")[2]) for key in goals.results["figures"] if key.startswith("memory."))
    for key, text in (("full.cpu", "processor time per connection, full handshakes"), ("resumed.cpu", "... resumed sessions"),
                      ("system_calls", "system calls per connection"),
                      ("latency.p50", "time to the first byte, half of all"), ("latency.p99", "... 99 of 100"), ("download.cpu", "processor time per GiB, download"),
                      ("upload.cpu", "... upload"), *((f"memory.{count}", f"memory per idle connection, of {count:,}") for count in counts),
                      *((f"kernel.{count}", f"the kernel's memory for it, of {count:,}") for count in counts)):
        goals.at_most(f"tcpshim to HAProxy: {text}", 1, goals.ratio(key, "HAProxy", "proxyd+tcpshim"))
    for measure, rows in (goals.results.get("relay") or {}).items():
        judge = goals.at_least if "/s" in measure else goals.at_most
        judge(f"tcpshim to HAProxy, over plain TCP: {measure}", 1, ratio_in(rows, "tcpshim", "haproxy"))


def goals(results):
    found = Goals(results)
    for part in (of_new_connections, of_established_ones, of_many_routes, of_the_relay):
        part(found)
    return table(["", "to be reached", "measured", "reached"], found.rows) if found.rows else []
