# SPDX-License-Identifier: MIT
"""Receivers in trouble: out of descriptors, killed with clients in their queue, stopped. What becomes of each client.

The rules that these tests pin down, with a count each:
- a client that has been handed over is in the receiver's queue; it dies with the queue's last descriptor, and with
  nothing else: not with a process that another one stands behind, nor while a keeper holds the socket;
- a queue holds `net.unix.max_dgram_qlen` clients and one, so no more than these are lost with it;
- everybody else waits in proxyd, is served by another instance or a later one, or told after `wait_for_site`.
"""

import os
import signal
import sys

import pytest

from support.load import Load, state_of, summary
from support.processes import Child
from support.receivers import QueueLength
from support.servers import PlainNginx, Programs, Python
from support.workspace import Port, wait_until

Get = b"GET / HTTP/1.1\r\nHost: load.example.org\r\nConnection: close\r\n\r\n"
Count = 60


def wait_until_stopped(*pids):
    """A process that sleeps in recvmsg(2) may take what comes until it has met its SIGSTOP."""
    wait_until(lambda: all(state_of(pid) == "T" for pid in pids), "stopped processes")


def stop_server_for_now(server):
    wait_until(lambda: len(server.pids()) == 3, "two workers of nginx")
    pids = server.pids()
    os.killpg(server.pid, signal.SIGSTOP)
    wait_until_stopped(*pids)
    return pids


class Receiver(Child):
    """One of its own (plain_receiver.py), at a socket of its own or at one that a keeper holds."""

    def __init__(self, workspace, name="a", keeper=None):
        site = workspace.site("load")
        place = f"fd:{keeper.socket.fileno()}" if keeper else site / f"{Port}.{name}.sock"
        super().__init__([sys.executable, Programs / "plain_receiver.py", place, name],
                         pass_fds=[keeper.socket.fileno()] if keeper else ())
        workspace.children.append(self)
        self.wait_for_line("^ready$")

    def took(self, count):
        """The addresses of that many clients; what a process has written may still be on its way to us."""
        def find(lines):
            found = {line.removeprefix("took ") for line in lines if line.startswith("took ")}
            return found if len(found) >= count else None

        return self.wait_for(find, f"{count} clients in its own log")

    def stop_for_now(self):
        self.signal(signal.SIGSTOP)
        wait_until_stopped(self.pid)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait_for_exit()


@pytest.fixture
def start(workspace):
    def start(**configuration):
        return workspace.start_proxyd(routes={"load.example.org": str(workspace.site("load"))}, **configuration)

    return start


def start_clients(workspace, count=Count):
    """All at once, one time each."""
    return Load(workspace, Get, count=count, at_once=count, seconds=60)


def wait_until_handed_over(proxyd, count):
    proxyd.wait_for(lambda lines: sum(" verdict=handed_over " in line for line in lines) >= count or None,
                    f"{count} handoffs")


def wait_until_in_hand(proxyd, count):
    wait_until(lambda: proxyd.tcp_descriptor_count() == 1 + count, f"{count} clients that wait in proxyd")


def failures(result):
    """How many of each kind; those with an answer are told by its first line."""
    kinds = {}
    for failure in result["failures"]:
        kind = failure["answer"].split("\r\n")[0] or failure["outcome"]
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


# At their own limit

@pytest.mark.parametrize("server_type", [PlainNginx, Python], ids=lambda server: server.kind)
def test_nobody_is_lost_at_a_server_with_few_descriptors(workspace, server_type):
    """A handoff that is received without room for its descriptor loses the client: libpreload looks for room first."""
    server = server_type(workspace, launcher=("prlimit", "--nofile=24")).wait_until_ready()
    proxyd = workspace.start_proxyd(routes={"load.example.org": str(server.site)}, wait_for_site="1m")
    result = Load(workspace, Get, count=1000, at_once=100, seconds=60, timeout_ms=50_000).result()
    print(summary(result), failures(result))
    assert result["ok"] == result["clients"] == 1000, failures(result)
    assert proxyd.stop()["handed_over"] == 1000


def test_clients_on_every_descriptor_of_a_server_hold_up_the_next_ones_until_they_go(workspace):
    """Nobody is lost: those who found no place are in its queue and in proxyd, and come in when there is one."""
    server = PlainNginx(workspace, launcher=("prlimit", "--nofile=24")).wait_until_ready()
    workspace.start_proxyd(routes={"load.example.org": str(server.site)}, wait_for_site="1m")
    occupying = [workspace.connect(Get.replace(b"close", b"keep-alive")) for _ in range(40)]
    server.wait_for_line(r"accept4?\(\) failed \(24: Too many open files\)")
    load = start_clients(workspace)
    for client in occupying:
        client.reset()
    result = load.result()
    assert result["ok"] == result["clients"] == Count, failures(result)


# Killed

def test_a_receiver_killed_with_a_full_queue_takes_the_queue_with_it_and_nobody_else(workspace, start):
    """Without a keeper, that many: the queue's length. All who waited in proxyd get to the next instance."""
    first = Receiver(workspace)
    proxyd = start()
    first.stop_for_now()
    load = start_clients(workspace)
    wait_until_handed_over(proxyd, QueueLength)
    wait_until_in_hand(proxyd, Count - QueueLength)
    first.kill()
    second = Receiver(workspace)
    result = load.result()
    assert failures(result) == {"reset": QueueLength}
    assert result["ok"] == Count - QueueLength == len(second.took(Count - QueueLength))


def test_a_real_server_killed_with_a_full_queue_takes_the_queue_with_it_and_nobody_else(workspace, start):
    server = PlainNginx(workspace).wait_until_ready()
    proxyd = start()
    stop_server_for_now(server)
    load = start_clients(workspace)
    wait_until_handed_over(proxyd, QueueLength)
    wait_until_in_hand(proxyd, Count - QueueLength)
    server.kill()
    PlainNginx(workspace)
    result = load.result()
    assert failures(result) == {"reset": QueueLength}
    assert result["ok"] == Count - QueueLength


def test_a_receiver_killed_with_a_full_queue_loses_nobody_when_a_keeper_holds_the_socket(workspace, start):
    keeper = workspace.inbox("load")
    first = Receiver(workspace, "first", keeper)
    proxyd = start()
    first.stop_for_now()
    load = start_clients(workspace)
    wait_until_handed_over(proxyd, QueueLength)
    first.kill()
    second = Receiver(workspace, "second", keeper)
    result = load.result()
    assert result["ok"] == Count == len(second.took(Count)), failures(result)


def test_a_receiver_killed_with_a_full_queue_loses_its_queue_only_when_another_instance_is_there(workspace, start):
    """The other one takes all who come later, and those who waited: nobody waits for a new instance."""
    dying, living = Receiver(workspace, "a"), Receiver(workspace, "b")
    proxyd = start(wait_for_site="1m")
    for receiver in (dying, living):
        receiver.stop_for_now()
    load = start_clients(workspace)
    wait_until_handed_over(proxyd, 2 * QueueLength)
    wait_until_in_hand(proxyd, Count - 2 * QueueLength)
    dying.kill()
    living.signal(signal.SIGCONT)
    result = load.result()
    assert failures(result) == {"reset": QueueLength}
    assert result["ok"] == Count - QueueLength == len(living.took(Count - QueueLength))


def test_one_of_two_processes_of_a_server_is_killed_and_its_queue_lives_on(workspace, start):
    """Both have the socket: a killed process loses only whom it had begun to serve, here nobody."""
    server = PlainNginx(workspace).wait_until_ready()
    proxyd = start()
    workers = stop_server_for_now(server)[1:]
    load = start_clients(workspace)
    wait_until_handed_over(proxyd, QueueLength)
    os.kill(workers[0], signal.SIGKILL)
    for pid in (server.pid, workers[1]):
        os.kill(pid, signal.SIGCONT)
    result = load.result()
    server.lines[:] = [line for line in server.lines if "exited on signal 9" not in line]
    assert result["ok"] == Count, failures(result)


# Stopped

@pytest.mark.parametrize("kind", ["nginx", "native"])
def test_a_receiver_that_is_stopped_and_goes_on_serves_everybody(workspace, start, kind):
    proxyd = start(wait_for_site="1m")
    if kind == "nginx":
        server = PlainNginx(workspace).wait_until_ready()
        stop_server_for_now(server)
    else:
        server = Receiver(workspace)
        server.stop_for_now()
    load = start_clients(workspace)
    wait_until_handed_over(proxyd, QueueLength)
    wait_until_in_hand(proxyd, Count - QueueLength)
    (os.killpg if kind == "nginx" else os.kill)(server.pid, signal.SIGCONT)
    result = load.result()
    assert result["ok"] == Count, failures(result)


def test_clients_of_a_receiver_that_stays_stopped_are_told_and_those_in_its_queue_wait_for_it(workspace, start):
    """Told after wait_for_site, with the reason; who is in the queue is the receiver's, whenever it goes on."""
    receiver = Receiver(workspace)
    proxyd = start(wait_for_site="500ms")
    receiver.stop_for_now()
    load = start_clients(workspace)
    proxyd.wait_for(lambda lines: sum(" verdict=" in line for line in lines) == Count or None, "a line for each")
    receiver.signal(signal.SIGCONT)
    result = load.result()
    assert failures(result) == {"HTTP/1.1 503 Service Unavailable": Count - QueueLength}
    assert result["ok"] == QueueLength
    assert [line["reason"] for line in proxyd.access_lines() if line["verdict"] == "rejected"] == \
        ["site_full"] * (Count - QueueLength)


def test_another_instance_serves_all_but_the_queue_of_one_that_is_stopped(workspace, start):
    stopped, working = Receiver(workspace, "a"), Receiver(workspace, "b")
    start(wait_for_site="1m")
    stopped.stop_for_now()
    load = Load(workspace, Get, count=1000, at_once=100, seconds=60)
    working.took(1000 - QueueLength)  # all but a queue
    stopped.signal(signal.SIGCONT)
    result = load.result()
    assert result["ok"] == 1000, failures(result)
    assert len(stopped.took(QueueLength)) == QueueLength
