# SPDX-License-Identifier: MIT
"""Python servers with event loops and threads of their own behind proxyd: Twisted, CherryPy, Tornado with SO_REUSEPORT,
and gunicorn with green threads (gevent, eventlet)."""

import pathlib

from support import server_table
from support.receiver_suite import (HttpPort, HttpsPort, LoadAtOnce, LoadCount, Receiver, StandardExercises, Takeover,
                                    assert_all_served, start_server, with_servers)
from support.workspace import free_port, wait_until
from test_receiver_languages_python import Gunicorn, Interpreter, Tornado

Servers = pathlib.Path(__file__).parents[1] / "servers"


class Twisted(Receiver):
    kind, title, package = "twisted", "Twisted, with and without TLS", "python3-twisted"
    habits = "guesses how many clients it should accept at a time"
    ports = {"https": HttpsPort, "http": HttpPort}
    log_pattern = "^seen {client} GET {path}$"

    def command(self):
        return [Interpreter, Servers / "twisted_server.py", HttpPort, HttpsPort, *self.certificate()]


class CherryPy(Receiver):
    kind, title, package = "cherrypy", "CherryPy on 0.0.0.0", "python3-cherrypy3"
    habits = "connects to its own port, before it binds it and for 5 s after that; serves meanwhile"
    log_pattern = '^{client} - - .*"GET {path} '
    # Nobody else must have it, at 127.0.0.1 either.
    ports = {"http": free_port("127.0.0.1")}
    exit_codes = (0, 70)  # 70: not yet done with that

    def command(self):
        return [Interpreter, Servers / "cherrypy_server.py", "0.0.0.0", self.ports["http"]]


class CherryPyAddress(CherryPy):
    kind, title = "cherrypy-address", "CherryPy on another address than 0.0.0.0 or [::]"
    habits = "connects to its own port, and ends if nobody answers there within 5 s"
    restart_words = "-"
    result = "doesn't work: libpreload opens no port; tell it `server.socket_host: 0.0.0.0`, which opens none either"

    def command(self):
        return [Interpreter, Servers / "cherrypy_server.py", "127.0.0.1", self.ports["http"]]


class TornadoShared(Tornado):
    kind = "tornado-shared"

    def command(self):
        return [*super().command(), "share"]


class GunicornGevent(Gunicorn):
    kind, title = "gunicorn-gevent", "gunicorn with workers of kind `gevent`"
    habits = "2 processes with green threads; each makes another socket of the listener's descriptor"
    options = ["--worker-class=gevent"]


class GunicornEventlet(Gunicorn):
    kind, title = "gunicorn-eventlet", "gunicorn with workers of kind `eventlet`"
    habits = GunicornGevent.habits
    # A worker that HUP ends drops clients that it has accepted and not yet begun to serve: of 15,691 clients of one
    # that had a TCP listener, 4 HUPs cut off 47.
    restart_words = f"{Takeover} (HUP cuts clients off, on TCP too)"
    restart, wait_until_settled = Receiver.restart, Receiver.wait_until_settled
    options = ["--worker-class=eventlet"]


@with_servers(Twisted, CherryPy, GunicornGevent, GunicornEventlet)
class TestLoops(StandardExercises):
    pass


def test_cherrypy_wants_to_find_its_own_port_open(workspace, request):
    server = CherryPyAddress(workspace)
    server.wait_for_line(f"portend.Timeout: Port {server.ports['http']} not bound on 127.0.0.1.")
    assert server.wait_for_exit() == 70
    server_table.state(request.path, CherryPyAddress, CherryPyAddress.result)


def test_two_tornados_with_reuse_port_share_their_clients(workspace):
    with start_server(TornadoShared, workspace) as first:
        second = TornadoShared(workspace, instance=2)
        wait_until(lambda: len(first.live_sockets()) == 4, "the site sockets of both")

        def both_have_served():
            first.serve("https")
            return all(any(line.startswith("seen ") for line in server.lines) for server in (first, second))

        wait_until(both_have_served, "a client of each")
        assert_all_served(first.load(count=LoadCount, at_once=LoadAtOnce, seconds=60))
