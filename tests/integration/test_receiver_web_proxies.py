# SPDX-License-Identifier: MIT
"""Proxies and terminators of TLS from Debian's packages, unmodified, as receivers behind proxyd."""

import contextlib
import getpass
import os
import pathlib
import re
import signal
import socket
import threading

from support.processes import children_of
from support.receiver_suite import HttpPort, HttpsPort, Receiver, StandardExercises, is_alive, with_servers
from support.servers import IsRootOpen
from support.workspace import wait_until

User = "nobody" if os.geteuid() == 0 and IsRootOpen else getpass.getuser()


class Haproxy(Receiver):
    kind, title, package = "haproxy", "HAProxy, master and worker", "haproxy"
    habits = ("`-W`: a worker binds, its master executes itself again; `tfo defer-accept`; asks for SO_ACCEPTCONN "
              "before it listens")
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


class Backend:
    """What stands behind those that only pass requests on: answers with what they say of the client, in a PROXY
    protocol header of version 1, or in X-Forwarded-For."""

    def __init__(self, workspace):
        self.listener = workspace.close_at_end(socket.create_server((workspace.address, 0), backlog=100))
        self.address, self.port = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                threading.Thread(target=self.answer, args=[self.listener.accept()[0]], daemon=True).start()

    def answer(self, client):
        with client, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                part = client.recv(65536)
                if not part:
                    return
                request += part
            found = re.search(rb"^PROXY TCP4 (\S+) \S+ (\d+) |^X-Forwarded-For: (\S+)", request, re.MULTILINE)
            body = b" ".join(word for word in found.groups() if word) if found else b"nobody"
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))


class Hitch(Receiver):
    kind, title, package = "hitch", "hitch, two workers", "hitch"
    habits = "binds, listens and closes again; then each worker binds for itself with SO_REUSEPORT"
    restart_words = "HUP, with `--keep`"
    ports = {"https": HttpsPort}
    sockets_count = 2
    # A new generation of workers opens new listeners, and the old one closes its own: with those who are queued there,
    # unless somebody else holds them open.
    proxyrun_options = ("--keep",)
    exit_codes = (0, -signal.SIGTERM)

    def command(self):
        certificate, key = self.certificate()
        both = self.write("both.pem", key.read_text() + certificate.read_text())
        backend = Backend(self.workspace)
        self.write("hitch.conf", HitchConfiguration.format(port=HttpsPort, both=both, user=User, backend=backend))
        return ["hitch", f"--config={self.own}/hitch.conf"]

    def wait_until_ready(self, without=()):
        wait_until(lambda: len(self.pids()) == 5, "proxyrun, hitch, two workers and one for OCSP")
        return super().wait_until_ready(without)

    def restart(self):
        _, _, *self.old_workers = self.pids()
        self.signal(signal.SIGHUP)
        return self

    def wait_until_settled(self):
        wait_until(lambda: not any(map(is_alive, self.old_workers)), "the end of the old workers")


class Stunnel(Receiver):
    kind, title, package = "stunnel", "stunnel", "stunnel4"
    habits = "a thread for each client"
    ports = {"https": HttpsPort}
    log_pattern = r"accepted connection from {client}:\d+$"

    def command(self):
        certificate, key = self.certificate()
        self.write("stunnel.conf", StunnelConfiguration.format(own=self.own, port=HttpsPort, certificate=certificate,
                                                               key=key, backend=Backend(self.workspace)))
        return ["stunnel4", self.own / "stunnel.conf"]


class Varnish(Receiver):
    kind, title, package = "varnish", "varnish", "varnish"
    habits = "closes all descriptors at start; another process than the one that bound accepts, with many threads"
    sees_port = False
    sockets_count = 2
    exit_codes = (0, 1)  # 1: when it stops, it wants to bind once more, and another instance has taken its place

    def command(self):
        self.write("answer.vcl", VarnishProgram)
        return ["varnishd", "-F", "-j", "none", "-n", self.own / "work", "-a", f":{HttpPort}", "-s", "malloc,10m",
                "-f", self.own / "answer.vcl"]


class Squid(Receiver):
    kind, title, package = "squid", "squid, in front of a server", "squid"
    habits = "changes its user between bind and listen"
    sees_port = False
    log_pattern = "^{client} GET http://squid.example.org/"

    def command(self):
        os.chmod(self.own, 0o777)
        backend = Backend(self.workspace)
        self.write("squid.conf", SquidConfiguration.format(own=self.own, port=HttpPort, backend=backend))
        self.service = f"proxyd{os.getpid()}x{self.instance}"
        return ["squid", "-N", "-n", self.service, "-f", self.own / "squid.conf"]

    def end(self):
        complaints = super().end()
        for path in pathlib.Path("/dev/shm").glob(f"{self.service}-*"):  # there still, if it had to be killed
            path.unlink()
        return complaints


@with_servers(Haproxy, HaproxyShards, Hitch, Stunnel, Varnish, Squid)
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

HitchConfiguration = """
frontend = {{ host = "*" port = "{port}" }}
pem-file = "{both}"
backend = "[{backend.address}]:{backend.port}"
write-proxy-v1 = on
workers = 2
user = "{user}"
daemon = off
"""
StunnelConfiguration = """
foreground = yes
pid = {own}/pid
syslog = no
debug = notice
[https]
accept = {port}
connect = {backend.address}:{backend.port}
protocol = proxy
cert = {certificate}
key = {key}
"""
VarnishProgram = """
vcl 4.1;
backend default none;
sub vcl_recv { return (synth(200)); }
sub vcl_synth {
    set resp.body = "client " + client.ip;
    return (deliver);
}
"""
SquidConfiguration = """
# Or it asks name servers for its own name, for half a minute where there are none.
visible_hostname squid.example.org
dns_nameservers 127.0.0.1
http_port {port} accel defaultsite=squid.example.org
cache_peer {backend.address} parent {backend.port} 0 originserver no-query no-digest
http_access allow all
pid_filename {own}/squid.pid
logformat seen %>a %rm %ru
access_log stdio:{own}/access.log seen
cache_log {own}/cache.log
cache_store_log none
cache deny all
client_persistent_connections off
server_persistent_connections off
coredump_dir {own}
shutdown_lifetime 0 seconds
netdb_filename none
pinger_enable off
"""
