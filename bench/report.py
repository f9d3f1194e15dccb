# SPDX-License-Identifier: MIT
"""RESULTS.md and its plots, from what was measured."""

import time

import figures
import report_plots
from figures import ByName, Order, Relays, measures, median, number, ratio, ratio_in
from goals import goals
from tables import table

Troubles = [("reload", "Four reloads"), ("upgrade", "An upgrade"), ("worker_crash", "SIGKILL of the process that serves"),
            ("crash", "SIGKILL of all its processes, started again at once")]


def names_in(results, order):
    there = {name for rows in results["figures"].values() for name in rows}
    return [name for name in order if name in there]


def summary(results, order):
    """Medians of all measures, one column for each peer."""
    names = names_in(results, order)
    rows = []
    for measure in measures(results):
        values = results["figures"][measure.key]
        if "cpu_all" in measure.key or measure.key.startswith(("latency.p9", "latency.p5", "routes", "start.")):
            continue
        if any(name in values for name in names):
            rows.append([f"{measure.title}, {measure.unit}", *(number(median(values[name]), measure.unit) if name in values else "–"
                                                                      for name in names)])
    return table(["", *(f"**{name}**" if name == "proxyd" else name for name in names)], rows)


def details(results):
    """Each measure by itself: median, spread, ratios of the same round."""
    lines = []
    for measure in measures(results):
        values = results["figures"][measure.key]
        best = figures.best_other(results, measure)
        rows = []
        for name in names_in(results, Order):
            if name not in values:
                continue
            least, most = (number(one, measure.unit) for one in (min(values[name]), max(values[name])))
            spread = f"{least} to {most}" if len(values[name]) > 1 else ""
            ratios = [ratio(results, measure.key, name, base) if base else None for base in ("direct", best)]
            rows.append([name, number(median(values[name]), measure.unit), spread, *(f"{one:.2f}" if one is not None else "" for one in ratios)])
        lines += ["", f"**{full_title(measure)}**, {measure.unit}", "",
                  *table(["", "median", "spread", "to direct", f"to {best}" if best else "to the best other"], rows)]
    return lines


def full_title(measure):
    """Those that go on from the line before have dots in front."""
    families = {"full": "New connections, full handshake", "resumed": "New connections, resumed sessions",
                "latency": "Time to the first byte", "added": "Time to the first byte beyond direct's", "download": "Download",
                "upload": "Upload"}
    family, _, rest = measure.key.partition(".")
    if not measure.title.startswith("..."):
        return measure.title
    if family in families:
        return f"{families[family]}: {measure.title[4:]}"
    count = rest.partition(".")[0]
    return f"{int(count):,} {'names' if family in ('routes', 'start') else 'idle connections'}: {measure.title[4:]}"


def troubles(results):
    """What clients noticed, all rounds together."""
    found = results["figures"]
    lines = []
    for key, text in Troubles:
        rows = []
        for name in names_in(results, Order):
            if name not in found.get(f"trouble.{key}.failed", {}):
                continue
            failed, served, cut = (sum(found[f"trouble.{key}.{what}"][name]) for what in ("failed", "served", "cut"))
            rounds = len(found[f"trouble.{key}.failed"][name])
            rows.append([name, f"{failed:,} of {failed + served:,}", f"{cut:,} of {rounds * results['kept']:,}",
                         number(max(found[f"trouble.{key}.longest_ms"][name])),
                         str(max(found.get(f"trouble.{key}.processes", {}).get(name, [0])))])
        if rows:
            lines += ["", f"**{text}**", "", *table(["", "new connections that failed", "established ones cut", "longest, ms", "processes afterwards"], rows)]
    return lines


def relay(results):
    """bench/relay/run.py's own figures, in one table."""
    found = results.get("relay") or {}
    names = list(dict.fromkeys(name for values in found.values() for name in values))
    rows = []
    for measure, values in found.items():
        to_haproxy = ratio_in(values, "tcpshim", "haproxy")
        rows.append([measure, *(number(median(values[name])) if name in values else "–" for name in names),
                     f"{to_haproxy:.2f}" if to_haproxy is not None else ""])
    return table(["", *names, "tcpshim to HAProxy"], rows) if rows else []


def machine_lines(results):
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version)
    return [
        f"Measured on {time.strftime('%Y-%m-%d', time.gmtime(results['started']))}, in {results['seconds'] / 60:.0f} minutes, with commit "
        f"{machine['commit']}" + (", `--quick`: a first impression, no more." if results["quick"] else "."), "",
        *table(["", ""], [
            ["machine", f"{machine['processors']} processors, {machine['model']}; virtual: {machine['virtual']}; {machine['memory_gib']} GiB"],
            ["system", f"{machine['system']}, Linux {machine['kernel']}, over loopback"],
            ["other work on it", f"load average {machine['load']:.1f} at the start"
             + (": **others used it, look at ratios only**" if machine["load"] > 1 else "")],
            ["server behind all", f"{machine['backend']}, one worker; certificate: ECDSA P-256"],
            ["measured", versions],
            ["rounds", f"{results['rounds']}, peers in another order in each"]])]


def write(results, into):
    """The files, and what is printed: the tables at a glance."""
    figures.add_derived(results)
    plots = report_plots.write(results, into / "plots")
    glance = ["**Those that choose by name**", "", *summary(results, ["direct", *ByName]), "",
              "**Relays** (the last two don't choose: all clients go to one server)", "", *summary(results, ["direct", *Relays])]
    sections = ["# What proxyd costs, and what others do", "",
                "Made by `bench/run`; what is measured, and how, is in [README.md](README.md). Figures are medians over the rounds; ratios are "
                "medians of the ratios within one round. Less is better where the unit isn't something per second.", "",
                *machine_lines(results)]
    if plots:
        sections += ["", "## At a glance", ""] + [f"![{title}](plots/{name})" for name, title in plots]
    sections += ["", *glance]
    for title, lines in (("What was to be reached", goals(results)), ("What clients notice", troubles(results)),
                         ("The relay by itself, over plain TCP", relay(results)), ("Each measure", details(results))):
        if lines:
            sections += ["", f"## {title}", "", *lines]
    if results["notes"]:
        sections += ["", "## What could not be measured, and what went wrong", "", *(f"- {note}" for note in results["notes"])]
    (into / "RESULTS.md").write_text("\n".join(sections).replace("\n\n\n", "\n\n") + "\n")
    return "\n".join([*glance, "", *goals(results), "", *troubles(results), "", *relay(results), "", f"Written into {into}"])
