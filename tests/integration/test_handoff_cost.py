# SPDX-License-Identifier: MIT
"""What a client costs a worker in memory, in numbers that say the same on any machine. (System calls and instructions are
counted in test_scale.py.)
"""

import os

import pytest

from support import client_hello
from support.counting import Allocations
from support.processes import IsSanitized
from support.workspace import wait_until

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="only root can trace a worker"),
              pytest.mark.skipif(IsSanitized, reason="sanitizers have costs of their own")]

Name = "blog.example.org"
Hellos = {"http": f"GET / HTTP/1.1\r\nHost: {Name}\r\n\r\n".encode(), "tls": client_hello.captured(Name)}
ClientsCounted = 100
AllocationsMax, BytesMax = 5, 1000  # of all of them together, for what comes due by itself meanwhile
WaitingClients, BytesPerWaitingClientMax = 400, 1050
UntilAllHasItsPlace = 30


def serve(proxyd, workspace, inbox, hello, count):
    """One after another, each when all is done for the last one."""
    for _ in range(count):
        client = workspace.connect(hello)
        inbox.receive().answer(b"done")
        assert client.read_to_end() == b"done"
        assert proxyd.access_line_of(client)["verdict"] == "handed_over"
        client.close()


@pytest.fixture
def start(workspace):
    def start(**options):
        return workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, worker_timeout="0s", **options)

    return start


@pytest.mark.parametrize("kind", Hellos)
def test_a_handoff_allocates_nothing(workspace, start, kind):
    inbox, allocations = workspace.inbox("blog"), Allocations(workspace)
    proxyd = start(prefix=allocations.prefix)
    serve(proxyd, workspace, inbox, Hellos[kind], UntilAllHasItsPlace)
    before = allocations.of_worker()
    assert before[0] > 100, "it counts"
    serve(proxyd, workspace, inbox, Hellos[kind], ClientsCounted)
    calls, in_use = allocations.of_worker()
    assert calls - before[0] <= AllocationsMax
    assert in_use <= before[1] + BytesMax


@pytest.mark.parametrize("waits_for", ["hello", "site"])
def test_the_memory_of_a_client_that_waits(workspace, start, waits_for):
    """Its session, and its share of the tables that it is in; in the kernel it is a TCP connection as any other."""
    allocations = Allocations(workspace)
    proxyd = start(prefix=allocations.prefix, wait_for_site="1h", hello_timeout="1h")
    inbox = workspace.inbox("blog")
    serve(proxyd, workspace, inbox, Hellos["tls"], UntilAllHasItsPlace)
    os.unlink(inbox.path)
    inbox.close()
    before = allocations.of_worker()
    for _ in range(WaitingClients):
        workspace.connect(Hellos["tls"] if waits_for == "site" else Hellos["tls"][:100])
    wait_until(lambda: proxyd.tcp_descriptor_count() == WaitingClients + 1, "clients that wait")
    calls, in_use = allocations.of_worker()
    each = (in_use - before[1]) / WaitingClients
    print(f"{waits_for}: {each:.0f} bytes, {(calls - before[0]) / WaitingClients:.2f} allocations for a client that waits")
    assert each <= BytesPerWaitingClientMax
