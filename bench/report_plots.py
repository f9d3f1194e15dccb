# SPDX-License-Identifier: MIT
"""Which plots there are, and which figures are in them."""

from figures import ByName, Order, Relays, median, number
from plots import Bar, Panel, draw


def bars(results, key, names, unit):
    rows = results["figures"].get(key, {})
    return [Bar(name, median(rows[name]), min(rows[name]), max(rows[name]), number(median(rows[name]), unit))
            for name in names if name in rows]


def panel(results, title, unit, key, names):
    found = bars(results, key, names, unit)
    return Panel(title, unit, found) if found else None


def connections(results):
    with_direct = ["direct", *ByName]
    return [panel(results, "New connections, full handshake", "per second; more is better", "full.rate", with_direct),
            panel(results, "New connections, resumed sessions", "per second; more is better", "resumed.rate", with_direct),
            panel(results, "Processor time of the proxy", "µs per connection (resumed)", "resumed.cpu", ByName),
            panel(results, "System calls of the proxy", "per connection", "system_calls", ByName)]


def latency(results):
    return [panel(results, "Added to the time to the first byte, p50", "µs beyond direct's, one client at a time", "added.p50", ByName),
            panel(results, "Added to the time to the first byte, p99", "µs beyond direct's, one client at a time", "added.p99", ByName)]


def established(results):
    counts = sorted(int(key.partition(".")[2]) for key in results["figures"] if key.startswith("memory."))
    panels = [panel(results, "Download", "processor seconds of the proxy per GiB", "download.cpu", ByName),
              panel(results, "Upload", "processor seconds of the proxy per GiB", "upload.cpu", ByName)]
    if counts:
        largest = counts[-1]
        panels += [panel(results, f"Memory of the proxy, {largest:,} idle connections", "bytes per connection", f"memory.{largest}", ByName),
                   panel(results, "Descriptors of the proxy", "per idle connection", f"descriptors.{largest}", ByName)]
    return panels


def many_routes(results):
    counts = sorted({int(key.split(".")[1]) for key in results["figures"] if key.startswith("routes.")})
    found = []
    for name in ByName:
        for count in counts:
            values = results["figures"].get(f"routes.{count}.cpu", {}).get(name)
            if values:
                found.append((name, count, values))
    def panel_of(count):
        return [Bar(name, median(values), min(values), max(values)) for name, names, values in found if names == count]

    if not counts:
        return []
    end = max(Panel("", "", panel_of(count)).end for count in counts)  # one scale for all
    return [Panel(f"{count:,} names", "processor time of the proxy, µs per connection", panel_of(count), end) for count in counts]


def troubles(results):
    panels = []
    found = results["figures"]
    for key, title in (("reload", "Reload"), ("upgrade", "Upgrade"), ("worker_crash", "The serving process is killed"),
                       ("crash", "All its processes are killed")):
        for what, unit in (("failed", "new connections that failed, of 10,000"), ("cut", "established connections cut")):
            rows = found.get(f"trouble.{key}.{what}", {})
            made = []
            for name in [name for name in Order if name in rows and name not in ("direct", "socat", "systemd-socket-proxyd")]:
                total = (sum(found[f"trouble.{key}.served"][name]) + sum(rows[name])) / 10000 if what == "failed" \
                    else results["kept"] * len(rows[name]) / 100
                made.append(Bar(name, sum(rows[name]) / total if total else 0))
                if what == "cut":
                    made[-1].text = f"{made[-1].value:.0f} %"
            if made:
                panels.append(Panel(title, unit, made))
    return panels


def relays(results):
    with_direct = ["direct", *Relays]
    return [panel(results, "Download through a relay", "processor seconds of the relay per GiB", "download.cpu", Relays),
            panel(results, "Download through a relay", "GiB/s; more is better", "download.rate", with_direct),
            panel(results, "New connections, resumed sessions", "processor time of the relay, µs per connection", "resumed.cpu", Relays),
            panel(results, "New connections, resumed sessions", "per second; more is better", "resumed.rate", with_direct)]


Plots = [("connections.svg", "New TLS connections, chosen by name", connections), ("latency.svg", "Latency", latency),
         ("established.svg", "Once a connection is established", established),
         ("troubles.svg", "What clients notice of operators and crashes", troubles),
         ("routes.svg", "Many names", many_routes), ("relays.svg", "Relays to servers elsewhere", relays)]


def write(results, folder):
    """File names and titles of those for which there are figures."""
    written = []
    for name, title, make in Plots:
        if panels := [one for one in make(results) if one]:
            draw(folder / name, title, panels)
            written.append((name, title))
    return written
