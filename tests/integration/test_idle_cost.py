# SPDX-License-Identifier: MIT
"""What clients cost that don't say what they want: counted in wake-ups of proxyd's loop, not in time."""

import os
import re
import resource
import signal

from support import client_hello
from support.configured_relay import ConfiguredRelay
from support.processes import Child

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"

# Accepting, a hello that is there already, the handoff; and starting and stopping proxyd.
WakeupsPerClient = 3
WakeupsForStop = 5


def serve(workspace, inbox, count):
    """So many clients that are quick; proxyd has had the time to spin if it spins."""
    for _ in range(count):
        client = workspace.connect(Get)
        inbox.receive().answer(b"done")
        client.read_to_end()
        client.close()


def start(workspace, **configuration):
    inbox = workspace.inbox("blog")
    return inbox, workspace.start_proxyd(routes={Name: str(workspace.site("blog"))}, **configuration)


def wakeups(proxyd):
    return proxyd.stop()["wakeups"]


def test_a_quick_client_costs_few_wakeups(workspace):
    inbox, proxyd = start(workspace)
    serve(workspace, inbox, 20)
    assert wakeups(proxyd) <= 20 * WakeupsPerClient + WakeupsForStop


def test_a_client_hello_byte_by_byte_costs_a_handful(workspace):
    """Its headers say how much is still to come, and proxyd sleeps until then."""
    inbox, proxyd = start(workspace)
    hello = client_hello.captured(Name)
    client = workspace.connect()
    client.send_bytewise(hello[:300])
    serve(workspace, inbox, 20)
    client.send_bytewise(hello[300:])
    assert inbox.receive().client == client.address
    assert wakeups(proxyd) <= 20 * WakeupsPerClient + 10 + WakeupsForStop


def test_urgent_data_in_a_hello_does_not_spin(workspace):
    """A peek doesn't get past it, but the kernel calls the socket readable for what lies behind."""
    inbox, proxyd = start(workspace, hello_timeout="500ms")
    client = workspace.connect(Get[:20])
    client.send_urgent(b"!")
    client.send(Get[20:])
    serve(workspace, inbox, 20)
    client.read_to_end()
    assert proxyd.access_line_of(client)["reason"] == "hello_timeout"
    assert wakeups(proxyd) <= 20 * WakeupsPerClient + 30 + WakeupsForStop


def test_a_client_hello_in_small_records_byte_by_byte_costs_two_for_each_record(workspace):
    inbox, proxyd = start(workspace)
    records = client_hello.in_records(client_hello.handshake_of(client_hello.captured(Name)), 50)
    client = workspace.connect()
    client.send_bytewise(records)
    assert inbox.receive().client == client.address
    record_count = -(-len(records) // 55)
    assert wakeups(proxyd) <= 2 * record_count + 10 + WakeupsForStop


def test_a_request_head_byte_by_byte_costs_one_for_each_byte(workspace):
    inbox, proxyd = start(workspace)
    client = workspace.connect()
    for byte in range(len(Get)):
        client.send(Get[byte:byte + 1])
        if byte == len(Get) // 2:
            serve(workspace, inbox, 20)
    assert inbox.receive().client == client.address
    assert wakeups(proxyd) <= 20 * WakeupsPerClient + len(Get) + 5 + WakeupsForStop


def test_silent_clients_cost_nothing(workspace):
    inbox, proxyd = start(workspace)
    for first_bytes in (b"", b"\x16", b"\x16\x03\x01\x02", b"G", b"GET / HTTP/1.1\r\nHost: blog"):
        for _ in range(10):
            workspace.connect(first_bytes)
    serve(workspace, inbox, 5)
    serve(workspace, inbox, 40)
    for client in workspace.clients:
        client.reset()
    assert wakeups(proxyd) <= 45 * WakeupsPerClient + 50 * 3 + WakeupsForStop


def test_no_descriptor_for_a_client_costs_a_look_now_and_then(workspace):
    """Others may have made the limit lower than it was at the start: the client stays in the kernel's queue."""
    inbox, proxyd = start(workspace)
    serve(workspace, inbox, 1)
    pid = proxyd.serving_pid()
    _, hard_limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
    lowest_free = min(set(range(len(taken) + 1)) - taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, hard_limit))
    client = workspace.connect(Get)
    proxyd.wait_for_line("accepting pauses at .*: Too many open files")
    os.kill(pid, signal.SIGSTOP)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    os.kill(pid, signal.SIGCONT)
    assert inbox.receive().client == client.address
    assert sum("accepting pauses" in line for line in proxyd.lines) == 1
    assert wakeups(proxyd) <= 2 * WakeupsPerClient + 10 + WakeupsForStop


def test_clients_that_wait_for_a_site_cost_nothing(workspace):
    inbox, proxyd = start(workspace, sites=str(workspace.sites))
    (workspace.sites / "absent.example.org").mkdir()
    for _ in range(20):
        client = workspace.connect(b"GET / HTTP/1.1\r\nHost: absent.example.org\r\n\r\n")
        client.send(b"and more that nobody reads")
    serve(workspace, inbox, 40)
    late = workspace.inbox("sites/absent.example.org")
    for _ in range(20):
        late.receive().close()
    assert wakeups(proxyd) <= 40 * WakeupsPerClient + 20 * 4 + WakeupsForStop


def test_a_full_queue_costs_nothing(workspace):
    """A sender that isn't connected always seems to have room: proxyd would spin."""
    stalled = workspace.inbox("stalled")
    routes = {"stalled.example.org": str(workspace.site("stalled")), Name: str(workspace.site("blog"))}
    inbox = workspace.inbox("blog")
    proxyd = workspace.start_proxyd(routes=routes)
    for _ in range(20):
        workspace.connect(b"GET / HTTP/1.1\r\nHost: stalled.example.org\r\n\r\n")
    serve(workspace, inbox, 40)
    for _ in range(20):
        stalled.receive().close()
    assert wakeups(proxyd) <= 40 * WakeupsPerClient + 20 * 4 + WakeupsForStop


def test_an_idle_tcpshim_sleeps(workspace):
    """After a client it tells its counters once more, and then waits for nothing but the next one."""
    relay = ConfiguredRelay(workspace)
    relay.relay_once()
    tracer = Child(["strace", "-p", str(relay.worker()), "-e", "trace=epoll_wait,epoll_pwait"])
    workspace.children.append(tracer)
    tracer.wait_for_line("attached")
    relay.relay_once()
    last = tracer.wait_for(lambda lines: next((i for i, line in enumerate(lines) if line.endswith(" = 0")
                                               and timeout_ms(line) > 0), None), "the end of a timer")
    relay.relay_once()
    wait = tracer.wait_for(lambda lines: next((line for line in lines[last + 1:] if timeout_ms(line)), None), "a wait")
    assert timeout_ms(wait) > 10_000, tracer.lines
    tracer.signal(signal.SIGINT)
    tracer.process.wait()


def timeout_ms(line):
    found = re.search(r"epoll_p?wait\(.*, (-?\d+)(?:, NULL, \d+)?\) += ", line)
    return int(found[1]) if found else 0
