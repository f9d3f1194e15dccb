# SPDX-License-Identifier: MIT
"""The same again and again, for clients, reloads, upgrades and workers that are killed: nobody is lost, nothing grows.

PROXYD_SOAK=1 (./test.sh --soak) makes it long.
"""

import os

import pytest

from support import client_hello
from support.load import Killer, Load, assert_only_those_in_hand_noticed, summary, wait_for_workers
from support.processes import descriptors_of, status_of, takes_key
from support.servers import PlainNginx
from support.workspace import wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
Hello = client_hello.captured(Name)
IsLong = bool(os.environ.get("PROXYD_SOAK"))
Rounds = 100_000 if IsLong else 1_500
Handoffs, Events, Workers = (1_000_000, 100, 2) if IsLong else (30_000, 6, 2)
# Without AddressSanitizer nothing grows at all (measured); this is what its allocator takes until it has enough,
# and with it every leak is told at the end.
GrowthKiBMax = 4096


def one_of_each_kind(workspace, inbox):
    """Eight clients: three are handed over, three are rejected, two leave."""
    whole = workspace.connect(Get)
    tls = workspace.connect(Hello)
    split = workspace.connect(Get[:30])
    split.send(Get[30:])
    rejected = [workspace.connect(head) for head in (
        b"GET / HTTP/1.1\r\nHost: elsewhere.example.org\r\n\r\n", b"GET / HTTP/1.1\r\nHost: ../..\r\n\r\n", b"\x16\x02")]
    workspace.connect(b"").reset()
    workspace.connect(Get[:10]).reset()
    for client in (whole, tls, split):
        handoff = inbox.receive()
        handoff.answer(b"done")
    for client in (whole, tls, split):
        assert client.read_to_end() == b"done"
        client.close()
    for client in rejected:
        assert client.read_to_end()
        client.close()
    workspace.clients.clear()


def test_nothing_grows(workspace, monkeypatch):
    # AddressSanitizer keeps freed memory for a while: not for long here.
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")
    inbox = workspace.inbox("blog")
    proxyd = workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, access_log=str(workspace.path / "log"))
    for _ in range(Rounds):  # until allocators have what they want
        one_of_each_kind(workspace, inbox)
    wait_until(lambda: proxyd.tcp_descriptor_count() == 1, "nothing but the listener")
    descriptors, before = proxyd.descriptors(), proxyd.resident_kib()
    for _ in range(Rounds):
        one_of_each_kind(workspace, inbox)
    wait_until(lambda: proxyd.descriptors() == descriptors, "the same descriptors as before")
    after = proxyd.resident_kib()
    assert all(after[pid] - before[pid] <= GrowthKiBMax for pid in before), (before, after)
    rounds = 2 * Rounds
    counts = proxyd.stop()
    assert (counts["handed_over"], counts["rejected"]) == (3 * rounds, 3 * rounds)
    assert counts["sessions"] == counts["handed_over"] + counts["rejected"] + counts["closed"] + counts["timed_out"]


def kinds_of(descriptors):
    """What they are, without the numbers by which the kernel tells them apart."""
    return sorted(descriptor.partition("[")[0] for descriptor in descriptors)


def census(workspace, proxyd):
    """Of main and of its workers, when all have served, none drains, and no session is in hand."""
    workers = wait_for_workers(proxyd, Workers)
    Load(workspace, PlainNginx.request, count=5000, seconds=60).result()
    wait_until(lambda: proxyd.tcp_descriptor_count() == Workers, "nothing but the listeners")
    return ({"main": kinds_of(descriptors_of(proxyd.pid)), "workers": [kinds_of(descriptors_of(pid)) for pid in workers]},
            {"main": status_of(proxyd.pid, "VmRSS"), "workers": max(status_of(pid, "VmRSS") for pid in workers)})


def one_of(number, proxyd, killer):
    """A reload, a kill and an upgrade in turn, each when all workers are there."""
    wait_for_workers(proxyd, Workers)
    if number % 3 == 1:
        return killer()
    line = proxyd.reload() if number % 3 == 0 else proxyd.upgrade()
    assert " notice reloaded: " in line or " notice upgraded: " in line, line


@pytest.mark.skipif(not takes_key("workers"), reason="this proxyd has no workers")
def test_nobody_is_lost_and_nothing_grows_across_reloads_upgrades_and_kills(workspace):
    server = PlainNginx(workspace).wait_until_ready()
    proxyd = workspace.start_proxyd(routes={server.host: str(server.site)}, workers=Workers,
                                    access_log=str(workspace.path / "log"))
    killer = Killer(proxyd)
    for number in range(3):  # every kind once, for what is needed for the first time
        one_of(number, proxyd, killer)
    descriptors, resident = census(workspace, proxyd)
    killer.in_hand.clear()

    step = Handoffs // (Events + 1)
    load = Load(workspace, server.request, seconds=3000, count=Handoffs, progress=step)
    for number in range(Events):
        load.wait_until_done((number + 1) * step)
        one_of(number, proxyd, killer)
    result = load.result()
    print(summary(result), killer, sep="; ")
    assert_only_those_in_hand_noticed(result, killer)
    descriptors_after, resident_after = census(workspace, proxyd)
    print(f"memory before {resident} and after {resident_after} (KiB)")
    assert descriptors_after == descriptors
    assert all(resident_after[process] - resident[process] <= GrowthKiBMax for process in resident)
