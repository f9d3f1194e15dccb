# SPDX-License-Identifier: MIT
"""Servers in Ruby and Perl behind proxyd."""

import os
import pathlib
import signal

from support.processes import DeadlineSeconds, children_of
from support.receiver_suite import (HttpPort, HttpsPort, Receiver, StandardExercises, Takeover, is_alive, start_server,
                                    with_servers)
from support.restarting import ReplacesWorkers, assert_nobody_notices
from support.workspace import wait_until

Servers = pathlib.Path(__file__).parents[1] / "servers"


class Webrick(Receiver):
    kind, title, package = "webrick", "WEBrick, TLS", "ruby-webrick"
    habits = "shuts its listener down at the end"
    ports = {"https": HttpsPort}
    log_pattern = "^seen {client} GET {path} "

    def command(self):
        return ["ruby", Servers / "webrick_server.rb", HttpsPort, *self.certificate()]


class Puma(ReplacesWorkers, Receiver):
    kind, title, package = "puma", "Puma `-w 2`", "puma"
    habits = "2 processes accept on listeners for HTTP and TLS; reads SO_TYPE and TCP_INFO of them"
    restart_words = "USR1 (workers), USR2 (executes itself again)"
    restart_signal = signal.SIGUSR1
    exit_codes = (-signal.SIGTERM,)  # when its workers have ended
    ports = {"https": HttpsPort, "http": HttpPort}
    sees_port = False
    log_pattern = "^seen {client} GET "

    def command(self):
        certificate, key = self.certificate()
        return ["puma", "--workers=2", "--threads=4:4", f"--bind=tcp://0.0.0.0:{HttpPort}",
                f"--bind=ssl://0.0.0.0:{HttpsPort}?cert={certificate}&key={key}", Servers / "seen.ru"]


class Unicorn(ReplacesWorkers, Receiver):
    kind, title, package = "unicorn", "Unicorn, two workers", "unicorn"
    habits = "sets TCP_DEFER_ACCEPT and TCP_NODELAY on its listener; 2 processes select it, and accept without waiting"
    restart_words = "HUP, or USR2 for another program"
    stop_signal = signal.SIGQUIT
    sees_port = False
    log_pattern = "^seen {client} GET "

    def command(self):
        configuration = self.write("unicorn.rb", f"worker_processes 2\nlisten '0.0.0.0:{HttpPort}'\n"
                                                 f"pid '{self.own}/unicorn.pid'\n")
        return ["unicorn", "--env=none", f"--config-file={configuration}", Servers / "seen.ru"]


class Starman(Receiver):
    kind, title, package = "starman", "Starman (PSGI)", "starman"
    habits = "reads SO_TYPE of its listener; 2 processes take turns in a blocking `accept`"
    # A worker that HUP meets between its accept and what comes next ends at once: of 12,000 clients of a Starman that had
    # a TCP listener, 20 HUPs cut off 14.
    restart_words = f"{Takeover} (HUP cuts clients off, on TCP too)"

    def command(self):
        return ["starman", f"--listen=0.0.0.0:{HttpPort}", "--workers=2", "--access-log=access.log", Servers / "seen.psgi"]


@with_servers(Webrick, Puma, Unicorn, Starman)
class TestRubyAndPerl(StandardExercises):
    pass


def test_puma_executes_itself_again(workspace):
    with start_server(Puma, workspace) as server:
        server.restart_signal = signal.SIGUSR2

        def restart():
            server.restart()
            server.wait_until_settled()

        assert_nobody_notices(server, restart)
        server.stop()


def test_unicorn_is_replaced_by_another_program(workspace):
    """USR2: the old one executes the new one, which inherits the listener; QUIT ends the old one."""
    with start_server(Unicorn, workspace) as old:
        def replace():
            old.signal(signal.SIGUSR2)
            replace.new = wait_until(lambda: set(children_of(old.pid)) - workers, "the new unicorn").pop()
            wait_until(lambda: len(children_of(replace.new)) == 2, "the new unicorn's workers")
            old.signal(signal.SIGQUIT)
            assert old.process.wait(DeadlineSeconds) == 0  # its output is still open: the new one has it

        workers = old.workers()
        assert_nobody_notices(old, replace)
        assert old.serve("http")[0].split()[-1] in map(str, children_of(replace.new))
        os.kill(replace.new, signal.SIGQUIT)
        wait_until(lambda: not is_alive(replace.new), "the end of the new unicorn")
