# SPDX-License-Identifier: MIT
"""Node.js behind proxyd: its http, https and http2, and its cluster, whose processes hand listeners and connections
to each other."""

import pathlib
import re

from support.http_clients import Curl
from support.receiver_suite import HttpsPort, Receiver, Source, StandardExercises, start_server, with_servers
from support.restarting import ReplacesWorkers
from support.workspace import wait_until

Script = pathlib.Path(__file__).parents[1] / "servers" / "node_server.js"


class NodeReceiver(Receiver):
    package = "nodejs"
    log_pattern = "^seen (?:::ffff:)?{client} GET {path}$"

    def command(self):
        return ["node", Script, self.kind.removeprefix("node-"), *self.ports.values(), *self.certificate()]


class Http(NodeReceiver):
    kind, title = "node-http", "Node.js http"
    habits = "one IPv6 listener for both families; asks `getpeername` for the address, never `accept`"


class Https(NodeReceiver):
    kind, title = "node-https", "Node.js https"
    habits = "asks `getpeername` for the address, never `accept`"
    ports = {"https": HttpsPort}


class Http2(Https):
    kind, title = "node-http2", "Node.js http2"
    scheme = "https"  # for Curl


class ClusterReceiver(ReplacesWorkers, NodeReceiver):
    ports = {"https": HttpsPort}
    restart_words = "`cluster.fork()`, then `disconnect()` of the old workers"

    def wait_until_settled(self):
        self.wait_for_line("^replaced the workers$")
        super().wait_until_settled()


class Cluster(ClusterReceiver):
    kind, title = "node-cluster", "Node.js cluster, `SCHED_RR`"
    habits = "2 processes; the primary accepts, and sends them connections"


class ClusterNone(ClusterReceiver):
    kind, title = "node-cluster-none", "Node.js cluster, `SCHED_NONE`"
    habits = "2 processes; the primary binds, and sends them the listener, on which they `listen`"


@with_servers(Http, Https, Http2, Cluster, ClusterNone)
class TestNode(StandardExercises):
    pass


def test_http2_requests_over_one_connection(workspace):
    with start_server(Http2, workspace) as server:
        curl = Curl(workspace, source=Source)
        result = curl.run(server, "--http2", "--cacert", server.certificate()[0], "-w", "%{http_version} %{num_connects}\n",
                          *[curl.url(server)] * 3)
        assert result.returncode == 0, result.stderr
        lines = result.stdout.decode().splitlines()
        assert lines[1::2] == ["2 1", "2 0", "2 0"]
        assert len(set(lines[::2])) == 1 and re.match(rf"client {Source} \d+ by ", lines[0]), lines


def test_both_workers_of_a_cluster_serve(workspace):
    with start_server(Cluster, workspace) as server:
        seen = set()

        def have_served():
            seen.add(server.serve("https")[0].split()[-1])
            return seen == {str(pid) for pid in server.workers()}

        wait_until(have_served, "an answer from each worker")
