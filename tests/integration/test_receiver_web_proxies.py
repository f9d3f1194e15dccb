# SPDX-License-Identifier: MIT
"""Proxies and terminators of TLS from Debian's packages, unmodified, as receivers behind proxyd."""

import signal

from support.processes import children_of
from support.receiver_suite import HttpPort, HttpsPort, Receiver, StandardExercises, with_servers
from support.workspace import wait_until


class Haproxy(Receiver):
    kind, title, package = "haproxy", "HAProxy, master and worker", "haproxy"
    habits = ("`-W`: a worker binds, its master executes itself again; `tfo defer-accept`; asks for SO_ACCEPTCONN before "
              "it listens")
    restart_words = "USR2"
    ports = {"https": HttpsPort, "http": HttpPort}
    exit_codes = (143, 0)
    bind_options = "tfo defer-accept"

    def command(self):
        certificate, key = self.certificate()
        both = self.write("both.pem", certificate.read_text() + key.read_text())
        self.write("haproxy.cfg", HaproxyConfiguration.format(own=self.own, both=both, https=HttpsPort, http=HttpPort,
                                                              options=self.bind_options))
        return ["haproxy", "-W", "-f", self.own / "haproxy.cfg"]

    def restart(self):
        self.old_workers = children_of(self.pid)
        self.signal(signal.SIGUSR2)
        wait_until(lambda: set(children_of(self.pid)) - set(self.old_workers), "a new worker")
        self.wait_for_line("Loading success")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not set(children_of(self.pid)) & set(self.old_workers), "the end of the old worker")


class HaproxyShards(Haproxy):
    kind, title = "haproxy-shards", "HAProxy with `shards 2`"
    habits = "binds each address twice in one process"
    sockets_count = 4
    bind_options = "shards 2"


@with_servers(Haproxy, HaproxyShards)
class TestProxies(StandardExercises):
    pass


HaproxyConfiguration = """
global
    maxconn 500
    nbthread 2
defaults
    mode http
    timeout client 30s
    timeout http-request 30s
frontend https
    bind :{https} ssl crt {both} {options}
    use_backend answer
frontend http
    bind :{http} {options}
    use_backend answer
backend answer
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]\\n"
"""
