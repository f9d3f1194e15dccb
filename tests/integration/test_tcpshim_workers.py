# SPDX-License-Identifier: MIT
"""Workers of tcpshim that hang, that drain for long, and that lack what they need."""

import os
import signal
import socket

from support.backends import NameServer, Server
from support.configured_relay import ConfiguredRelay
from support.processes import children_of
from support.relay_ends import RelayEnds, Transfer, reset
from support.workspace import own_loopback_address, wait_until, wait_until_equal


def test_a_worker_that_hangs_is_killed_and_replaced(workspace):
    relay = ConfiguredRelay(workspace, worker_timeout="1s")
    relay.relay_once()
    hung = relay.worker()
    os.kill(hung, signal.SIGSTOP)
    client = relay.new_client(first_bytes=b"question")
    relay.shim.wait_for_line(rf" error worker \(process {hung}\) has not answered for 1000 ms and is killed$")
    backend = relay.accept()
    assert backend.recv(100) == b"question"
    Transfer(backend, client, 100_000).check()
    assert relay.worker() != hung
    assert relay.objects("status")[0]["restarts"] == 1


def test_what_a_killed_worker_has_cut_off_is_counted_and_told(workspace):
    relay = ConfiguredRelay(workspace)
    pairs = [relay.new_pair() for _ in range(3)]
    wait_until(lambda: relay.objects("status")[0]["sites"][0]["active"] == 3, "the connections")
    killed = relay.worker()
    os.kill(killed, signal.SIGKILL)
    relay.shim.wait_for_line(rf" error worker \(process {killed}\) was ended by SIGKILL; connections cut off: 3$")
    [site] = relay.objects("status")[0]["sites"]
    assert (site["connections"], site["active"], site["endings"]) == (3, 0, {"worker_died": 3})
    assert relay.metrics()['tcpshim_ended_connections_total{site="relayed",ending="worker_died"}'] == 3
    assert len(pairs) == 3


def test_a_worker_that_hangs_while_it_drains_is_killed(workspace):
    relay = ConfiguredRelay(workspace, worker_timeout="1s")
    client, backend = relay.new_pair()
    Transfer(client, backend, 1000, finish=False).check()
    draining = relay.worker()
    relay.reload()
    os.kill(draining, signal.SIGSTOP)
    relay.shim.wait_for_line(rf" error worker \(process {draining}\) has not answered for 1000 ms and is killed$")
    wait_until(lambda: draining not in children_of(relay.shim.pid), "its end")
    relay.relay_once()


def test_the_end_waits_for_a_worker_that_hangs_no_longer_than_for_its_relays(workspace):
    relay = ConfiguredRelay(workspace, worker_timeout="0s", drain_timeout="100ms")
    client, backend = relay.new_pair()
    Transfer(client, backend, 1000, finish=False).check()
    hung = relay.worker()
    os.kill(hung, signal.SIGSTOP)
    relay.shim.signal(signal.SIGTERM)
    relay.shim.wait_for_line(rf" error worker \(process {hung}\) has not ended in time and is killed$")
    assert relay.shim.wait_for_exit() == 0


def test_reloads_that_overtake_workers_ends_do_no_harm(workspace):
    """A worker's last words may begin the next reload, while main looks at who has ended."""
    slow = "inject=waitid,wait4:delay_enter=20000"  # as on a busy machine
    ends = RelayEnds(workspace, prefix=("strace", "-D", "-o", "/dev/null", "-e", "trace=waitid,wait4", "-e", slow))

    def has_reloaded():
        ends.shim.signal(signal.SIGHUP)
        return len([line for line in ends.shim.lines if " notice reloaded: " in line]) >= 20

    wait_until(has_reloaded, "20 reloads")
    Transfer(*ends.new_pair(), 100_000).check()


def test_a_worker_that_drains_checks_nobody(workspace):
    """Each reload under a connection that lasts would add its checks to those before."""
    relay = ConfiguredRelay(workspace, site_settings={
        "check": {"kind": "connect", "interval": "100ms", "rise": 1, "fall": 1}})
    backend = f"backend {relay.names[0]}"
    relay.shim.wait_for_line(f"notice site relayed: {backend} is up: connected$")
    post = b"POST / HTTP/1.1\r\n\r\n"
    client = relay.new_client(first_bytes=post)
    held = relay.accept()
    while held.recv(100) != post:  # checks connect, too
        held = relay.accept()
    relay.reload()
    assert [worker["state"] for worker in relay.objects("status")[0]["workers"]] == ["draining", "serving"]

    def lines(word):
        return len([line for line in relay.shim.lines if f"{backend} is {word}: " in line])

    wait_until(lambda: lines("up") == 2, "the new worker's first check")
    listener = relay.backends[0]
    where = listener.getsockname()
    for times in (1, 2):
        listener.close()
        wait_until(lambda: lines("down") == times, "a line of the serving worker")
        listener = workspace.close_at_end(socket.create_server(where))
        wait_until(lambda: lines("up") == 2 + times, "its line again")
    listener.close()
    wait_until(lambda: lines("down") == 3, "its last line")
    assert lines("up") == 4
    Transfer(client, held, 1000).check()


def test_a_site_that_cannot_be_transparent_is_named(workspace):
    RelayEnds(workspace, transparent=True, prefix=("setpriv", "--bounding-set=-net_raw,-net_admin"))
    ends = workspace.children[-1]
    ends.wait_for_line(r" error \S+/tcpshim.json:1: sites.\S+/relayed: is 'transparent', for which tcpshim lacks the "
                       "capability CAP_NET_RAW: no client of the site can be connected$")


def test_targets_that_a_service_no_longer_has_are_gone(workspace):
    names = NameServer(workspace)
    hosts = {name: [own_loopback_address()] for name in ("one.lan", "two.lan")}
    for [address] in hosts.values():
        workspace.close_at_end(Server(address, 8443))
    names.start(hosts, [("_x._tcp.lan", "one.lan", 8443, 0, 0)])
    relay = ConfiguredRelay(workspace, site_settings={"to": "srv:_x._tcp.lan"}, resolvers=[names.address])

    def states():
        return {each["backend"]: (each["state"], each["active"]) for each in relay.objects("backends")}

    wait_until_equal(states, {"one.lan:8443": ("up", 0)})
    held = relay.new_client()
    wait_until_equal(states, {"one.lan:8443": ("up", 1)})
    names.restart(hosts, [("_x._tcp.lan", "two.lan", 8443, 0, 0)])
    wait_until_equal(states, {"one.lan:8443": ("gone", 1), "two.lan:8443": ("up", 0)})
    assert 'tcpshim_backend_up{site="relayed",backend="one.lan:8443"}' not in relay.metrics()
    assert [(site["backends"], site["backends_up"]) for site in relay.objects("status")[0]["sites"]] == [(1, 1)]
    reset(held)
    wait_until_equal(states, {"two.lan:8443": ("up", 0)})


def test_a_worker_without_anything_to_do_sleeps(workspace):
    relay = ConfiguredRelay(workspace)
    relay.relay_once()
    relay.access_line()
    status = f"/proc/{relay.worker()}/status"

    def wakeups():
        return int(next(line for line in open(status) if line.startswith("voluntary_ctxt_switches")).split()[1])

    def sleeps():
        before = wakeups()
        signal.sigtimedwait([], 1)
        return wakeups() == before

    wait_until(sleeps, "a second without a wake-up")
