# SPDX-License-Identifier: MIT
"""Web servers from Debian's packages, unmodified, behind proxyd: see support/receiver_suite.py."""

import os
import signal

from support.receiver_suite import HttpPort, HttpsPort, Receiver, StandardExercises, with_servers
from support.servers import NginxUser
from support.workspace import wait_until


class Nginx(Receiver):
    kind, title, package = "nginx", "nginx", "nginx"
    habits = "two workers share the listeners, and take them with EPOLLEXCLUSIVE"
    restart_words = "HUP"
    ports = {"https": HttpsPort, "http": HttpPort}
    log_pattern = "^{client} GET {path} "
    listen_options = ""

    def command(self):
        certificate, key = self.certificate()
        self.write("nginx.conf", NginxConfiguration.format(
            user=NginxUser, own=self.own, certificate=certificate, key=key, options=self.listen_options, https=HttpsPort,
            http=HttpPort, extra=self.extra()))
        return ["nginx", "-p", self.own, "-c", "nginx.conf", "-e", "stderr"]

    def extra(self):
        return ""

    def workers(self):
        return self.pids()[1:]

    def restart(self):
        self.old_workers = self.workers()
        self.signal(signal.SIGHUP)
        wait_until(lambda: len(set(self.workers()) - set(self.old_workers)) == 2, "two new workers")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not set(self.workers()) & set(self.old_workers), "the end of the old workers")


class NginxReuseport(Nginx):
    kind, title = "nginx-reuseport", "nginx with `reuseport`"
    habits = "binds each address once for each worker"
    listen_options = "reuseport"
    sockets_count = 4


class NginxOptions(Nginx):
    kind, title = "nginx-options", "nginx with `deferred fastopen so_keepalive`"
    habits = "sets options of TCP on its listeners, and listens again after that"
    listen_options = "deferred fastopen=5 so_keepalive=60:10:3 backlog=64 rcvbuf=64k"


@with_servers(Nginx, NginxReuseport, NginxOptions)
class TestWebServers(StandardExercises):
    pass


NginxConfiguration = """
daemon off;
worker_processes 2;
{user}
pid {own}/nginx.pid;
error_log stderr notice;
{extra}
events {{ worker_connections 512; }}
http {{
    log_format seen '$remote_addr $request $status';
    access_log {own}/access.log seen;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    server {{
        listen {https} ssl http2 {options};
        listen {http} {options};
        location / {{ return 200 "$remote_addr $remote_port\n"; }}
    }}
}}
"""
