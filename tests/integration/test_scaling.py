# SPDX-License-Identifier: MIT
"""Two edges behind a balancer, as docs/scaling.md has it: which clients notice when one of them goes away."""

import os

import pytest

from support.edges import Edges, is_alive
from support.load import summary
from support.processes import IsSanitized
from support.workspace import wait_until

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="only root can make networks"),
              pytest.mark.skipif(IsSanitized, reason="nothing of proxyd runs here that other tests don't run")]


@pytest.fixture
def edges(workspace):
    return Edges(workspace)


def assert_nobody_noticed(result):
    assert result["ok"] == result["clients"], result


def test_both_edges_serve_and_their_servers_see_the_addresses_of_the_clients(edges):
    assert_nobody_noticed(edges.load(count=1000).result())
    wait_until(lambda: [len(edge.served()) for edge in edges.edges] == [500, 500], "clients shared evenly")
    seen = [edge.served() for edge in edges.edges]
    assert set(seen[0]) | set(seen[1]) == {f"198.18.{number // 256}.{number % 256}" for number in range(1, 1001)}


def test_no_client_notices_that_an_edge_is_taken_out_stopped_and_put_in_again(edges):
    """The balancer first, then SIGTERM: also what a roll-out of a new version or a new machine looks like."""
    first, second = edges.edges
    held = [edges.hold() for _ in range(4)]
    load = edges.load(seconds=600)
    load.wait_until_done(500)
    edges.give_to(second)
    wait_until(lambda: not first.is_on_the_way(), "an edge that nobody is on the way to")
    first.proxyd.stop()
    load.wait_until_done(1000)
    first.start_proxyd()
    edges.give_to(first, second)
    load.wait_until_done(1500)
    load.process.terminate()
    assert_nobody_noticed(load.result())
    assert {edge for _, _, edge in held} == {first, second}
    assert all(is_alive(client, server) for client, server, _ in held)


def test_when_a_proxyd_is_killed_only_new_clients_notice_until_the_balancer_does(edges):
    """Its server goes on with the clients that it has."""
    first, second = edges.edges
    held = [edges.hold() for _ in range(4)]
    load = edges.load(seconds=600, rate=500)
    load.wait_until_done(500)
    first.kill_proxyd()
    wait_until(lambda: not edges.is_healthy(first), "an edge that is found out")
    edges.give_to(second)
    so_far = len(load.lines)
    load.wait_for(lambda lines: len(lines) >= so_far + 6 or None, "500 more clients")
    load.process.terminate()
    result = load.result()
    assert {failure["outcome"] for failure in result["failures"]} <= {"refused", "reset", "end_of_file"}, result
    print(f"one of two edges killed: {result['clients'] - result['ok']} of {result['clients']} clients noticed;", summary(result))
    assert all(is_alive(client, server) for client, server, _ in held)
    assert_nobody_noticed(edges.load(count=500).result())


def test_when_a_machine_is_lost_those_of_the_other_one_dont_notice(edges, workspace):
    first, second = edges.edges
    held = [edges.hold() for _ in range(4)]
    lost = workspace.start(*edges.balancer.prefix, "ip", "link", "set", first.name, "down")
    assert lost.wait_for_exit() == 0
    wait_until(lambda: not edges.is_healthy(first), "an edge that is found out")
    edges.give_to(second)
    assert_nobody_noticed(edges.load(count=500).result())
    wait_until(lambda: len(second.served()) == 500, "all clients at the other edge")
    assert [is_alive(client, server) for client, server, edge in held if edge is second] == [True, True]
