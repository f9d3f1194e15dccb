# SPDX-License-Identifier: MIT
"""Web servers from Debian's packages, unmodified, behind proxyd: see support/receiver_suite.py."""

import contextlib
import getpass
import os
import shutil
import signal

from support.receiver_suite import (HttpPort, HttpsPort, Receiver, StandardExercises, descendants_of, is_alive,
                                    with_servers)
from support.servers import IsRootOpen, NginxUser
from support.workspace import wait_until

User = "nobody" if os.geteuid() == 0 and IsRootOpen else getpass.getuser()


class Nginx(Receiver):
    kind, title, package = "nginx", "nginx", "nginx"
    habits = "two workers share the listeners, and take them with EPOLLEXCLUSIVE"
    restart_words = "HUP"
    ports = {"https": HttpsPort, "http": HttpPort}
    log_pattern = "^{client} GET {path} "
    listen_options = ""
    location = 'location / {{ return 200 "$remote_addr $remote_port\\n"; }}'

    def command(self):
        certificate, key = self.certificate()
        self.write("nginx.conf", NginxConfiguration.format(
            user=NginxUser, own=self.own, certificate=certificate, key=key, options=self.listen_options,
            https=HttpsPort, http=HttpPort, location=self.location.format(own=self.own)))
        return ["nginx", "-p", self.own, "-c", "nginx.conf", "-e", "stderr"]

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


class NginxUpgrade(Nginx):
    """As a daemon, for it ignores USR2 while its first parent is there. A master makes a new environment for its
    successor."""

    kind, title = "nginx-upgrade", "nginx, upgraded to another binary"
    habits = "executes itself again with its listeners and an environment of its own making"
    restart_words = "USR2, then QUIT for the old one"

    def command(self):
        _, *arguments = super().command()
        path = self.own / "nginx.conf"
        path.write_text(path.read_text().replace("daemon off", "daemon on"))
        return [shutil.which("nginx"), *arguments]  # it executes what it was called

    def is_running(self):
        return True  # though its first process ends at once

    def wait_until_ready(self, without=()):
        self.master = wait_until(self.pid_in_file, "a master")
        wait_until(lambda: len(self.pids()) == 3, "two workers")
        return super().wait_until_ready(without)

    def pids(self):
        return descendants_of(self.master)

    def restart(self):
        self.old_pids = self.pids()
        os.kill(self.master, signal.SIGUSR2)
        new_pid = wait_until(lambda: (self.own / "nginx.pid.oldbin").exists() and self.pid_in_file(), "a new master")
        wait_until(lambda: len(descendants_of(new_pid)) == 3, "two new workers")
        os.kill(self.master, signal.SIGQUIT)
        self.master = new_pid
        return self

    def pid_in_file(self):
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self.own / "nginx.pid").read_text())

    def wait_until_settled(self):
        wait_until(lambda: not any(map(is_alive, self.old_pids)), "the end of the old processes")

    def stop(self):
        pids = self.pids()
        os.kill(self.master, signal.SIGTERM)
        wait_until(lambda: not any(map(is_alive, pids)), "the end of the new processes")


class Lighttpd(Receiver):
    kind, title, package = "lighttpd", "lighttpd with `server.max-worker`", "lighttpd"
    habits = "two workers share the listeners, and take as many clients as there are; TCP_NODELAY set on the listeners"
    restart_words = "USR1"
    ports = {"https": HttpsPort, "http": HttpPort}

    def command(self):
        certificate, key = self.certificate()
        self.write("index.shtml", '<!--#echo var="REMOTE_ADDR" --> <!--#echo var="REMOTE_PORT" -->')
        self.write("lighttpd.conf", LighttpdConfiguration.format(own=self.own, certificate=certificate, key=key,
                                                                 https=HttpsPort, http=HttpPort))
        return ["lighttpd", "-D", "-f", self.own / "lighttpd.conf"]

    def restart(self):
        self.old_workers = self.pids()[1:]
        self.signal(signal.SIGUSR1)
        wait_until(lambda: len(set(self.pids()[1:]) - set(self.old_workers)) == 2, "two new workers")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not set(self.pids()) & set(self.old_workers), "the end of the old workers")


class BusyboxHttpd(Receiver):
    kind, title, package = "busybox", "busybox httpd", "busybox"
    habits = "listens on `[::]` only; a process for each client"
    log_pattern = r"^\[::ffff:{client}\]:\d+: url:/$"
    sees_address = False
    exit_codes = (-signal.SIGTERM,)

    def command(self):
        self.write("index.html", "served\n")
        return ["busybox", "httpd", "-f", "-vv", "-p", HttpPort, "-h", self.own]


class MiniHttpd(Receiver):
    kind, title, package = "mini-httpd", "mini-httpd", "mini-httpd"
    habits = "binds `[::]`, then 0.0.0.0, which must fail then; waits with select; a process for each client"
    log_pattern = '^{client} .*"GET / '
    sees_address = False
    exit_codes = (1,)

    def command(self):
        self.write("index.html", "served\n")
        log = self.own / "access.log"
        return ["mini_httpd", "-D", "-p", next(iter(self.ports.values())), "-d", self.own, "-l", log, "-i",
                self.own / "pid", "-u", User, *self.tls_options()]

    def tls_options(self):
        return []


class MiniHttpdTls(MiniHttpd):
    kind, title = "mini-httpd-tls", "mini-httpd with TLS"
    ports = {"https": HttpsPort}

    def tls_options(self):
        certificate, key = self.certificate()
        both = self.write("both.pem", key.read_text() + certificate.read_text())
        return ["-S", "-E", both]


@with_servers(Nginx, NginxReuseport, NginxOptions, NginxUpgrade, Lighttpd, BusyboxHttpd, MiniHttpd, MiniHttpdTls)
class TestWebServers(StandardExercises):
    pass


NginxConfiguration = """
daemon off;
worker_processes 2;
{user}
pid {own}/nginx.pid;
error_log stderr notice;
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
        {location}
    }}
}}
"""

LighttpdConfiguration = """
server.document-root = "{own}"
server.errorlog = "/dev/stderr"
server.port = {http}
server.max-worker = 2
server.modules = ( "mod_openssl", "mod_ssi" )
index-file.names = ( "index.shtml" )
ssi.extension = ( ".shtml" )
mimetype.assign = ( ".shtml" => "text/plain" )
$SERVER["socket"] == ":{https}" {{
    ssl.engine = "enable"
    ssl.pemfile = "{certificate}"
    ssl.privkey = "{key}"
}}
"""
