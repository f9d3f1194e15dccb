# SPDX-License-Identifier: MIT
"""The same clients again and again: nothing may grow. PROXYD_SOAK=1 (./test.sh --soak) makes it long."""

import os

from support import client_hello
from support.workspace import wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
Hello = client_hello.captured(Name)
Rounds = 100_000 if os.environ.get("PROXYD_SOAK") else 1_500
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
