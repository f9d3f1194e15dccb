# SPDX-License-Identifier: MIT
"""A hundred thousand routes cost a client no more than ten, and no client more than a few system calls.

Compared by counts of system calls and of instructions, which say the same on a busy machine.
"""

import os
import signal
import time

import pytest

from support import client_hello
from support.counting import instructions_of, system_calls_of
from support.load import Load, summary, wait_for_workers
from support.processes import IsOptimised, IsSanitized, processor_seconds_of, takes_key
from support.servers import PlainNginx
from support.workspace import Port, free_port, wait_until

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="only root can trace a worker"),
              pytest.mark.skipif(IsSanitized, reason="sanitizers have costs of their own")]

FewRoutes, ManyRoutes = 10, 100_000
# Measured: 3.27 and 4.27.
SystemCallsMax = {"": 3.6, "0.0.0.0": 4.6}
AtOnce, Rounds = 16, 50
# The text of a log line is longer or shorter by digits, and a name is found at the first look into a table or the second.
InstructionsDifferenceMax = 0.02
# A look at the site's path is due after a second. Without optimisation a client takes longer than that while it is
# counted, so each has one; else the first one of each count.
Counts, LookIsDueSeconds = (3, 1.1) if IsOptimised else (1, 0)
# Measured: 21,640 and 141,200, with g++ 12.
InstructionsMax = 24_000 if IsOptimised else 155_000
Hello = client_hello.captured
# A site socket's queue is as long as the network namespace says in which it was made; and all may use it by its path.
DeepQueue = ("unshare", "--net", "sh", "-c", 'echo 64 > /proc/sys/net/unix/max_dgram_qlen && exec "$@"', "sh")


def names(count):
    """A few kinds of names, as a provider has them; the same first ones, however many there are."""
    return [f"customer-{number}.{['example.org', 'shop.example.com', 'a.long.way.down.example.net'][number % 3]}"
            for number in range(count)]


def routes_to(site, count):
    """Half of them wildcards."""
    return {("*." if index % 2 else "") + name: str(site) for index, name in enumerate(names(count))}


def start(workspace, count):
    """proxyd with so many routes to one site, whose inbox it gives too, each with a port of its own."""
    port = Port + count % 7
    inbox = workspace.inbox("site", f"{port}.sock")
    before = time.monotonic()
    proxyd = workspace.start_proxyd(routes=routes_to(workspace.site("site"), count),
                                    listen=[f"{workspace.address}:{port}"], worker_timeout="0s")
    print(f"{count} routes: started in {time.monotonic() - before:.3f} s")
    return proxyd, inbox, port


def serve(workspace, proxyd, inbox, port, hellos):
    """One client after another, each when all is done for the last one."""
    for hello in hellos:
        client = workspace.connect(hello, port=port)
        inbox.receive().answer(b"done")
        assert client.read_to_end() == b"done"
        assert proxyd.access_line_of(client)["verdict"] == "handed_over"
        client.close()


def instructions_for(workspace, proxyd, way, hellos):
    """Outside the kernel, for one client: all that the loop does, and the line in the log too."""
    last_client_at = time.monotonic()
    wait_until(lambda: time.monotonic() >= last_client_at + LookIsDueSeconds, "a look that is due")
    with instructions_of(proxyd.serving_pid()) as counted:
        serve(workspace, proxyd, *way, hellos)
    return counted[0] / len(hellos)


def hellos_of_both_kinds():
    """An exact name by HTTP and a wildcard by TLS, such as few routes have them too."""
    name, under_wildcard = names(4)[0], "www.blog." + names(4)[3]
    # Padded to one size, so that a hello costs the same whenever it is made.
    return [f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode(),
            client_hello.built_of_size(400, client_hello.server_name(under_wildcard.encode()))]


def test_a_hundred_thousand_routes_cost_a_client_what_ten_do(workspace):
    instructions, calls = {}, {}
    hellos = hellos_of_both_kinds()
    for count in (FewRoutes, ManyRoutes):
        proxyd, *way = start(workspace, count)
        serve(workspace, proxyd, *way, hellos * 10)  # until everything has its place
        instructions[count] = min(instructions_for(workspace, proxyd, way, hellos) for _ in range(Counts))
        with system_calls_of(proxyd.serving_pid()) as counted:
            serve(workspace, proxyd, *way, hellos * 10)
        calls[count] = counted["total"] / len(hellos) / 10
        proxyd.stop()
    print(f"instructions for a client: {instructions}, system calls for a client that comes alone: {calls}")
    assert abs(instructions[ManyRoutes] - instructions[FewRoutes]) <= InstructionsDifferenceMax * instructions[FewRoutes]
    assert instructions[FewRoutes] <= InstructionsMax
    # A few of its own, such as when a timer ends.
    assert abs(calls[ManyRoutes] - calls[FewRoutes]) <= 0.1


@pytest.mark.skipif(not takes_key("workers"), reason="this proxyd can't reload")
def test_a_reload_with_a_hundred_thousand_routes(workspace):
    """Measured: 0.1 s of main in a release build, 0.6 s without optimisation; next to nothing of workers, which share all."""
    proxyd, inbox, port = start(workspace, ManyRoutes)
    costs = {"start": processor_seconds_of(proxyd.pid) + processor_seconds_of(proxyd.serving_pid())}
    for count in (ManyRoutes + 1, FewRoutes, ManyRoutes):
        before = processor_seconds_of(proxyd.pid)
        line = proxyd.reload(routes=routes_to(workspace.site("site"), count))
        assert " notice reloaded: " in line, line
        wait_for_workers(proxyd, 1)
        costs[count] = processor_seconds_of(proxyd.pid) - before + processor_seconds_of(proxyd.serving_pid())
        serve(workspace, proxyd, inbox, port, hellos_of_both_kinds())
    print(f"processor seconds: {costs}")
    assert max(costs.values()) < (0.5 if IsOptimised else 2), costs


def serve_together(workspace, worker, hello, answer, port=Port):
    """So many clients who come while the worker is busy: it stands still until all have said their hello."""
    os.kill(worker, signal.SIGSTOP)
    clients = [workspace.connect(hello, port=port) for _ in range(AtOnce)]
    os.kill(worker, signal.SIGCONT)
    for client in clients:
        assert client.read(len(answer)) == answer
        client.close()
    workspace.clients.clear()


@pytest.mark.parametrize("hello, answer", [(PlainNginx.request, b"HTTP/1.1 200"),
                                           (Hello("load.example.org"), b"HTTP/1.1 400")], ids=["http", "tls"])
@pytest.mark.parametrize("host", ["", "0.0.0.0"], ids=["address", "wildcard"])
def test_a_client_under_load_costs_three_system_calls_and_a_share_of_others(workspace, host, hello, answer):
    """16 at once, an access log in a file: all calls of the worker. On a wildcard each client costs one more, which asks
    for the address that it came to.

    A client whose site's queue is full costs more, for proxyd waits for room: here there is room for all. (nginx
    has no TLS here, and answers all the same.)
    """
    port = free_port("127.0.0.1")  # of all addresses, for the wildcard
    server = PlainNginx(workspace, port, launcher=DeepQueue).wait_until_ready()
    proxyd = workspace.start_proxyd(listen=[f"{host or workspace.address}:{port}"],
                                    routes={server.host: str(server.site)}, access_log=str(workspace.path / "log"))
    worker = proxyd.serving_pid()
    with system_calls_of(worker) as counts:
        for _ in range(Rounds):
            serve_together(workspace, worker, hello, answer, port)
    assert proxyd.stop()["handed_over"] == Rounds * AtOnce
    print({name: round(count / Rounds / AtOnce, 3) for name, count in counts.items()})
    assert counts["total"] / Rounds / AtOnce <= SystemCallsMax[host]


def test_what_clients_of_an_ordinary_load_cost(workspace):
    """Told only: a worker that waits for others, on a machine that does other things, wakes for each client."""
    server = PlainNginx(workspace, launcher=DeepQueue).wait_until_ready()
    proxyd = workspace.start_proxyd(routes={server.host: str(server.site)}, access_log=str(workspace.path / "log"))
    with system_calls_of(proxyd.serving_pid()) as counts:
        result = Load(workspace, server.request, at_once=AtOnce, seconds=1).result()
    assert result["ok"] == result["clients"], result
    print(summary(result), {name: round(count / result["clients"], 3) for name, count in counts.items()}, sep="\n")
