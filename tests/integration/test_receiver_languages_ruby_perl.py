# SPDX-License-Identifier: MIT
"""Servers in Ruby and Perl behind proxyd."""

import pathlib
import signal

from support.receiver_suite import (HttpPort, HttpsPort, Receiver, StandardExercises, Takeover, start_server,
                                    with_servers)
from support.restarting import ReplacesWorkers, assert_nobody_notices

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


class Starman(Receiver):
    kind, title, package = "starman", "Starman (PSGI)", "starman"
    habits = "reads SO_TYPE of its listener; 2 processes take turns in a blocking `accept`"
    # A worker that HUP meets between its accept and what comes next ends at once: of 12,000 clients of a Starman that had
    # a TCP listener, 20 HUPs cut off 14.
    restart_words = f"{Takeover} (HUP cuts clients off, on TCP too)"

    def command(self):
        return ["starman", f"--listen=0.0.0.0:{HttpPort}", "--workers=2", "--access-log=access.log", Servers / "seen.psgi"]


@with_servers(Webrick, Puma, Starman)
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
