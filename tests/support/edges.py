# SPDX-License-Identifier: MIT
"""Several machines that are edges, each with a proxyd and servers, behind a balancer, as networks of their own:

    clients 198.18.0.0/16 ── balancer 203.0.113.1 ── edges 10.0.0.11, 10.0.0.12

The balancer is nftables, which gives each new connection to the next edge (DNAT) and keeps it there; addresses of
clients stay as they are, and edges answer by way of the balancer. Needs root.
"""

import contextlib
import os
import pathlib
import select
import signal
import socket
import sys

from support.backends import Namespace
from support.load import Load
from support.processes import DeadlineSeconds, Proxyd

Address, Port = "203.0.113.1", 443  # of the service, as clients know it
FirstClient = "198.18.0.1"
PlainReceiver = pathlib.Path(__file__).with_name("plain_receiver.py")
LoadHello = b"GET / HTTP/1.1\r\nHost: load.example.org\r\n\r\n"
HeldHello = b"GET / HTTP/1.1\r\nHost: held.example.org\r\n\r\n"

HalfOpen = "03"  # SYN_RECV, as /proc/net/tcp has it

Rules = """
table ip balancer
delete table ip balancer
table ip balancer {{
    chain to_edges {{
        type nat hook prerouting priority dstnat
        ip daddr {address} tcp dport {port} dnat to numgen inc mod {count} map {{ {edges} }}
    }}
}}
"""


def run_in(workspace, namespace, script):
    child = workspace.start(*namespace.prefix, "sh", "-exc", script)
    assert child.wait_for_exit() == 0, child.log()


class Edge:
    """`served` is how its server answers the load; who asks for held.example.org comes to `inbox`, in the test."""

    def __init__(self, workspace, number):
        self.workspace = workspace
        self.name = f"edge-{number}"
        self.address = f"10.0.0.{10 + number}"
        self.network = Namespace(workspace, "echo 512 > /proc/sys/net/unix/max_dgram_qlen")
        self.directory = workspace.site(self.name)
        self.server = workspace.start(*self.network.prefix, sys.executable, PlainReceiver,
                                      workspace.site(f"{self.name}/load") / f"{Port}.sock", self.name)
        self.server.wait_for_line("^ready$")
        self.inbox = workspace.inbox(f"{self.name}/held", f"{Port}.sock")
        self.proxyd = None

    def start_proxyd(self):
        self.proxyd = Proxyd(self.directory, {
            "listen": [f":{Port}"], "routes": {f"{kind}.example.org": str(self.directory / kind) for kind in ("load", "held")},
            **self.workspace.defaults(), "control": str(self.directory / "control.sock")}, self.network.prefix)
        self.workspace.children.append(self.proxyd)
        self.proxyd.wait_until_ready()

    def is_on_the_way(self):
        """Whether anybody has come that proxyd doesn't know of: it listens with TCP_DEFER_ACCEPT, so a client that has
        not said anything yet is half-open."""
        rows = [line.split() for table in ("tcp", "tcp6")
                for line in pathlib.Path(f"/proc/{self.network.pid}/net/{table}").read_text().splitlines()[1:]]
        return any(row[3] == HalfOpen for row in rows)

    def kill_proxyd(self):
        for pid in self.proxyd.processes():
            os.kill(pid, signal.SIGKILL)
        self.proxyd.wait_for_exit()

    def served(self):
        """The addresses of the clients that its server has seen."""
        return [line.split()[1].rpartition(":")[0] for line in self.server.lines if line.startswith("took ")]


class Edges:
    def __init__(self, workspace, count=2):
        self.workspace = workspace
        self.client = Namespace(workspace)
        self.edges = [Edge(workspace, number + 1) for number in range(count)]
        self.balancer = Namespace(workspace, "echo 1 > /proc/sys/net/ipv4/ip_forward", f"ip addr add {Address}/32 dev lo",
                                  "ip link add edges type bridge", "ip addr add 10.0.0.1/24 dev edges", "ip link set edges up")
        self._join(self.client, "clients", "192.0.2.2/24", "192.0.2.1")
        # All addresses of clients are this one machine's.
        run_in(workspace, self.client, "ip route add local 198.18.0.0/16 dev lo")
        run_in(workspace, self.balancer, "ip addr add 192.0.2.1/24 dev clients; ip route add 198.18.0.0/16 via 192.0.2.2")
        for edge in self.edges:
            self._join(edge.network, edge.name, f"{edge.address}/24", "10.0.0.1")
            run_in(workspace, self.balancer, f"ip link set {edge.name} master edges")
            edge.start_proxyd()
        self.give_to(*self.edges)

    def _join(self, network, name, address, gateway):
        """A cable from the balancer to another machine, whose way to everywhere it is."""
        run_in(self.workspace, self.balancer,
               f"ip link add {name} type veth peer name eth0 netns {network.pid}; ip link set {name} up")
        run_in(self.workspace, network,
               f"ip addr add {address} dev eth0; ip link set eth0 up; ip route add default via {gateway}")

    def give_to(self, *edges):
        """New connections, from now on, in one step; those that are there stay where they are."""
        turns = ", ".join(f"{turn} : {edge.address}" for turn, edge in enumerate(edges))
        rules = Rules.format(address=Address, port=Port, count=len(edges), edges=turns)
        run_in(self.workspace, self.balancer, f"echo '{rules}' | nft -f -")

    def is_healthy(self, edge):
        """What the balancer's health check would find: whether somebody listens there."""
        def connect():
            with contextlib.suppress(OSError), socket.create_connection((edge.address, Port), 1):
                return True
            return False

        return self.balancer.call(connect)

    def load(self, **options):
        return Load(self.workspace, LoadHello, address=Address, port=Port, prefix=self.client.prefix, source=FirstClient,
                    **{"at_once": 20, "sources": 1000, "progress": 100, **options})

    def hold(self):
        """A client that stays, and the end of its connection that its server has; and the edge where that is."""
        client = self.client.call(lambda: socket.create_connection((Address, Port), DeadlineSeconds, (FirstClient, 0)))
        self.workspace.close_at_end(client)
        client.sendall(HeldHello)
        inboxes = {edge.inbox.socket: edge for edge in self.edges}
        ready, _, _ = select.select(list(inboxes), [], [], DeadlineSeconds)
        edge = inboxes[ready[0]]
        handoff = edge.inbox.receive()
        assert handoff.read(len(HeldHello)) == HeldHello
        assert handoff.client == client.getsockname()
        return client, handoff.connection, edge


def is_alive(client, server):
    """Whether bytes go both ways."""
    for sender, receiver in ((client, server), (server, client)):
        sender.sendall(b"still there?")
        if not select.select([receiver], [], [], DeadlineSeconds)[0] or receiver.recv(100) != b"still there?":
            return False
    return True
