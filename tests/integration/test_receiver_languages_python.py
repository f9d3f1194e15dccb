# SPDX-License-Identifier: MIT
"""Python's own servers behind proxyd, and those for WSGI and ASGI with a Django site."""

import os
import pathlib
import shutil
import signal

from support.load import state_of
from support.processes import DeadlineSeconds, children_of
from support.receiver_suite import HttpPort, HttpsPort, Receiver, StandardExercises, start_server, with_servers
from support.restarting import ReplacesWorkers, assert_nobody_notices
from support.workspace import wait_until

Servers = pathlib.Path(__file__).parents[1] / "servers"
Interpreter = "/usr/bin/python3"


class HttpServer(Receiver):
    kind, title, package = "http-server", "Python `http.server`", "python3"
    habits = "takes it for granted that a client's address is as long as its listener's"
    log_pattern = '^{client} .*"GET {path} '
    exit_codes = (-signal.SIGTERM,)  # it doesn't know how to end

    def command(self):
        script = Servers.parent / "support" / "http_server.py"
        return [Interpreter, "-u", script, HttpPort, "0.0.0.0", self.own]


class HttpsServer(HttpServer):
    kind, title = "https-server", "Python `http.server`, TLS"
    habits = "TLS for its listener, which it asks first whether it is a connection: `recv` must say ENOTCONN"
    ports = {"https": HttpsPort}

    def command(self):
        script = Servers.parent / "support" / "http_server.py"
        return [Interpreter, "-u", script, HttpsPort, "0.0.0.0", self.own, *self.certificate()]


class Asyncio(Receiver):
    kind, title, package = "asyncio", "Python asyncio, TLS", "python3"
    habits = "accepts until nobody is left"
    ports = {"https": HttpsPort}
    log_pattern = "^seen {client} GET {path} "

    def command(self):
        return [Interpreter, Servers / "asyncio_server.py", HttpsPort, *self.certificate()]


class Tornado(Receiver):
    kind, title, package = "tornado", "Tornado, TLS", "python3-tornado"
    habits = "binds 0.0.0.0 and [::], for IPv6 only"
    ports = {"https": HttpsPort}
    sockets_count = 2
    log_pattern = r"^seen {client} GET {path}$"

    def command(self):
        return [Interpreter, Servers / "tornado_server.py", HttpsPort, *self.certificate()]


class DjangoReceiver(Receiver):
    def command(self):
        shutil.copy(Servers / "django_site.py", self.own)
        return self.server_command(f"0.0.0.0:{next(iter(self.ports.values()))}")


class Waitress(DjangoReceiver):
    kind, title, package = "waitress", "waitress", "python3-waitress"
    habits = "polls, and tells the address of its listener"
    exit_codes = (-signal.SIGTERM,)  # it doesn't know how to end

    def server_command(self, address):
        return ["waitress-serve", f"--listen={address}", "django_site:wsgi"]


class Gunicorn(ReplacesWorkers, DjangoReceiver):
    kind, title, package = "gunicorn", "gunicorn with workers of kind `sync`", "gunicorn"
    habits = "2 processes accept on one listener; sets TCP_NODELAY on it, for its connections"
    restart_words = "HUP, or USR2 for another program"
    log_pattern = '^{client} .*"GET {path} '
    options = ()

    def server_command(self, address):
        return ["gunicorn", "--workers=2", "--access-logfile=-", "--pid=gunicorn.pid", f"--bind={address}", *self.options,
                "django_site:wsgi"]


class GunicornThreads(Gunicorn):
    kind, title = "gunicorn-threads", "gunicorn with workers of kind `gthread`, TLS"
    habits = "2 processes with epoll and threads accept on one listener"
    ports = {"https": HttpsPort}

    @property
    def options(self):
        certificate, key = self.certificate()
        return ["--worker-class=gthread", "--threads=4", f"--certfile={certificate}", f"--keyfile={key}"]


class Uwsgi(ReplacesWorkers, DjangoReceiver):
    kind, title, package = "uwsgi", "uWSGI", "uwsgi-core"
    habits = "asks its listener each second how many clients wait; executes itself again with it"
    restart_words = "HUP"
    sees_port = False
    log_pattern = r"\] {client} \(\) .* GET {path} => "

    def server_command(self, address):
        return ["uwsgi", "--plugin=python3", f"--http-socket={address}", "--master", "--processes=2",
                "--module=django_site:wsgi", "--die-on-term"]


class Uvicorn(DjangoReceiver):
    kind, title, package = "uvicorn", "uvicorn", "uvicorn"
    habits = "accepts until nobody is left"
    log_pattern = ' {client}:[0-9]+ - "GET {path} '
    options = ()

    def server_command(self, address):
        host, port = address.split(":")
        return ["uvicorn", f"--host={host}", f"--port={port}", "--lifespan=off", *self.options, "django_site:asgi"]


class UvicornWorkers(Uvicorn):
    kind, title = "uvicorn-workers", "uvicorn `--workers 2`, TLS"
    habits = "the parent binds; workers are new programs that inherit the listener, and `listen`"
    ports = {"https": HttpsPort}

    @property
    def options(self):
        certificate, key = self.certificate()
        return ["--workers=2", f"--ssl-certfile={certificate}", f"--ssl-keyfile={key}"]


@with_servers(HttpServer, HttpsServer, Asyncio, Tornado, Waitress)
class TestPython(StandardExercises):
    pass


@with_servers(Gunicorn, GunicornThreads, Uwsgi, Uvicorn, UvicornWorkers)
class TestDjango(StandardExercises):
    pass


def test_gunicorn_is_replaced_by_another_program(workspace):
    """USR2: the old one executes the new one, which inherits the listener; TERM ends the old one."""
    with start_server(Gunicorn, workspace) as old:
        new_pid_file = old.own / "gunicorn.pid.2"

        def replace():
            old.signal(signal.SIGUSR2)
            wait_until(lambda: new_pid_file.exists() and new_pid_file.read_text(), "the new gunicorn's pid")
            replace.new = int(new_pid_file.read_text())
            wait_until(lambda: len(children_of(replace.new)) == 2, "the new gunicorn's workers")
            old.signal(signal.SIGTERM)
            assert old.process.wait(DeadlineSeconds) == 0  # its output is still open: the new one has it

        assert_nobody_notices(old, replace)
        assert old.serve("http")[0].split()[-1] in map(str, children_of(replace.new))
        os.kill(replace.new, signal.SIGTERM)
        wait_until(lambda: state_of(replace.new) in ("Z", ""), "the end of the new gunicorn")
