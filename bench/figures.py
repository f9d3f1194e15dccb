# SPDX-License-Identifier: MIT
"""What the figures are called, and what can be said about them: medians, spread, ratios."""

import statistics

ByName = ["proxyd", "HAProxy", "nginx stream", "sniproxy", "sslh", "sslh-select"]
Relays = ["proxyd+tcpshim", "HAProxy", "nginx stream", "socat", "systemd-socket-proxyd"]
Order = ["direct", "proxyd", "HAProxy", "nginx stream", "sniproxy", "sslh", "sslh-select", "proxyd+tcpshim", "socat",
         "systemd-socket-proxyd"]
Others = [name for name in Order if name != "direct" and not name.startswith("proxyd")]
ChoosersByName = [name for name in ByName if name != "proxyd"]


class Measure:
    def __init__(self, key, title, unit, more_is_better=False):
        self.key, self.title, self.unit, self.more_is_better = key, title, unit, more_is_better


def measures(results):
    """Those that results have, in the order of the tables."""
    kept = sorted({int(key.partition(".")[2]) for key in results["figures"] if key.startswith("memory.")})
    routes = sorted({int(key.split(".")[1]) for key in results["figures"] if key.startswith("routes.")})
    known = [
        Measure("full.rate", "New connections, full handshake", "per second", True),
        Measure("full.cpu", "... processor time of the proxy", "µs per connection"),
        Measure("full.cpu_all", "... of client, proxy and server", "µs per connection"),
        Measure("resumed.rate", "New connections, resumed sessions", "per second", True),
        Measure("resumed.cpu", "... processor time of the proxy", "µs per connection"),
        Measure("resumed.cpu_all", "... of client, proxy and server", "µs per connection"),
        Measure("system_calls", "System calls of the proxy", "per connection"),
        Measure("instructions", "Instructions of the proxy outside the kernel", "per connection"),
        Measure("latency.p50", "Time to the first byte, half of all", "µs"),
        Measure("latency.p99", "... 99 of 100", "µs"),
        Measure("added.p50", "Time to the first byte beyond direct's, half of all", "µs"),
        Measure("added.p99", "... 99 of 100", "µs"),
        Measure("download.rate", "Download, one connection", "GiB/s", True),
        Measure("download.cpu", "... processor time of the proxy", "s per GiB"),
        Measure("download.cpu_all", "... of client, proxy and server", "s per GiB"),
        Measure("upload.rate", "Upload, one connection", "GiB/s", True),
        Measure("upload.cpu", "... processor time of the proxy", "s per GiB"),
        Measure("upload.cpu_all", "... of client, proxy and server", "s per GiB"),
    ]
    for count in kept:
        known += [Measure(f"memory.{count}", f"Memory of the proxy, {count:,} idle connections", "bytes per connection"),
                  Measure(f"kernel.{count}", "... of the kernel, for all three", "bytes per connection"),
                  Measure(f"descriptors.{count}", "... descriptors of the proxy", "per connection")]
    for count in routes:
        known += [Measure(f"routes.{count}.cpu", f"With {count:,} names: processor time of the proxy", "µs per connection"),
                  Measure(f"routes.{count}.instructions", "... instructions outside the kernel", "per connection"),
                  Measure(f"start.{count}", "... from start to the first client served", "ms")]
    known.append(Measure("start", "From start to the first client served", "ms"))
    return [measure for measure in known if measure.key in results["figures"]]


def add_derived(results):
    """Latency beyond direct's, round by round."""
    figures = results["figures"]
    for share in ("p50", "p99"):
        rows = figures.get(f"latency.{share}", {})
        if "direct" in rows:
            figures[f"added.{share}"] = {name: [value - base for value, base in zip(values, rows["direct"])]
                                         for name, values in rows.items() if name != "direct"}


def median(values):
    return statistics.median(values)


def ratio_in(rows, name, base):
    """The median of the ratios round by round, or None where there is nothing to divide by."""
    pairs = [(value, other) for value, other in zip(rows.get(name, []), rows.get(base, [])) if other > 0]
    return median([value / other for value, other in pairs]) if pairs else None


def ratio(results, key, name, base):
    return ratio_in(results["figures"].get(key, {}), name, base)


def best_other(results, measure):
    """The peer with the best median among those that choose by name."""
    rows = {name: median(values) for name, values in results["figures"][measure.key].items() if name in ChoosersByName}
    if not rows:
        return None
    return (max if measure.more_is_better else min)(rows, key=rows.get)


def number(value, unit=""):
    """With three or four digits that mean something; there is no part of a byte."""
    if value is None:
        return ""
    if value == 0 or (unit.startswith("bytes") and abs(value) < 0.5):
        return "0"
    if unit.startswith("bytes"):
        return f"{value:,.0f}"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"
