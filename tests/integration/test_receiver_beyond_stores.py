# SPDX-License-Identifier: MIT
"""Databases, caches and message brokers behind proxyd: see support/receiver_suite.py."""

import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess

from support.clients import Client
from support.mariadb import copy_of_empty_database, server_command
from support.processes import DeadlineSeconds
from support.receiver_suite import Receiver, Source, StandardExercises, start_server, with_servers
from support.workspace import Port


class Store(Receiver):
    """Its listener in proxyd names the site itself: nothing is looked at, and either side may speak first."""

    sees_port = True

    @classmethod
    def listen(cls, workspace):
        return [{"address": f"{workspace.address}:{Port}", "site": str(workspace.site(cls.kind))}]

    @classmethod
    def routes(cls, workspace):
        return {}

    def run_client(self, *command, **options):
        """One that can't be told where to connect from; returns what it says, and whence it came, by proxyd's log."""
        proxyd = self.workspace.children[0]
        so_far = len(proxyd.access_lines())
        result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=DeadlineSeconds, **options)
        assert result.returncode == 0, result.stderr
        address, port = proxyd.access_line(so_far)["client"].split(":")
        return result.stdout, (address, int(port))

    def give_to(self, user):
        """What the server writes to; returns a prefix for its command."""
        if os.geteuid() != 0:
            return []
        for directory in (self.own, self.site):
            shutil.chown(directory, user, os.getegid())
        os.chmod(self.site, 0o2750)  # proxyd's workers are in the group of its sockets
        group = pwd.getpwnam(user).pw_gid
        return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]


class Postgresql(Store):
    kind, title, package = "postgresql", "PostgreSQL, with TLS inside", "postgresql-15"
    habits = "a process for each client; its clients ask for TLS in a message of its own first"
    restart_words = "HUP (reads its configuration again)"
    ports = {"postgresql": Port}
    # What asks for TLS, and that it may be had (PostgreSQL's manual, "SSLRequest").
    load_hello, load_expected, load_until = struct.pack("!II", 8, 80877103), "S", "answer"
    stop_signal = signal.SIGINT  # "fast": doesn't wait for its clients
    programs = "/usr/lib/postgresql/15/bin"

    def command(self):
        certificate, key = self.certificate()
        user = self.give_to("postgres")
        own_key = self.own / "key.pem"
        shutil.copy(key, own_key)
        own_key.chmod(0o600)
        if user:
            shutil.chown(own_key, "postgres")
        subprocess.run([*user, f"{self.programs}/initdb", "-D", self.own / "data", "-U", "somebody", "-A", "trust",
                        "--no-sync", "--no-instructions", "-E", "UTF8", "--locale", "C"], check=True, capture_output=True)
        (self.own / "data/pg_hba.conf").write_text("hostssl all all all trust\n")
        settings = {"port": Port, "listen_addresses": "0.0.0.0", "unix_socket_directories": "", "ssl": "on",
                    "ssl_cert_file": certificate, "ssl_key_file": own_key, "max_connections": 200, "fsync": "off",
                    "log_connections": "on"}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [*user, f"{self.programs}/postgres", "-D", self.own / "data", *options]

    def wait_until_ready(self, without=()):
        super().wait_until_ready(without)
        self.wait_for_line("ready to accept connections")
        return self

    def restart(self):
        self.signal(signal.SIGHUP)
        self.wait_for_line("received SIGHUP, reloading configuration files")
        return self

    def wait_until_settled(self):
        pass

    def serve(self, scheme, source=Source):
        question = ("select host(inet_client_addr()) || ' ' || inet_client_port(), ssl, version from pg_stat_ssl"
                    " where pid = pg_backend_pid()")
        text, client = self.run_client(
            "psql", "-X", "-A", "-t", "-c", question,
            f"host={self.host} hostaddr={self.workspace.address} port={Port} user=somebody dbname=postgres "
            f"sslmode=verify-full sslrootcert={self.certificate()[0]}")
        assert "|t|TLSv1.3" in text
        self.wait_for_line(rf"connection received: host={client[0]} port={client[1]}")
        return text, client


class Mariadb(Store):
    kind, title, package = "mariadb", "MariaDB, with TLS inside", "mariadb-server-core"
    habits = "speaks first; sets IP_FREEBIND on its listener"
    ports = {"mariadb": Port}
    load_until = "answer"

    def command(self):
        user = self.give_to("nobody")
        copy_of_empty_database(self.workspace, self.own / "data", user)
        return server_command(user, self.own, self.certificate(), "0.0.0.0", Port,
                              **{"max-connections": 10000, "max-connect-errors": 100000})

    def load(self, **options):
        # The greeting begins with the low byte of its own length.
        client = Client(self.workspace.address, Port)
        greeting = client.read(1)
        client.reset()
        self.load_hello, self.load_expected = b"x", greeting.decode()
        return super().load(**options)

    def serve(self, scheme, source=Source):
        question = ("select host from information_schema.processlist where id = connection_id();"
                    "show status like 'ssl_version'")
        text, client = self.run_client("mariadb", "--no-defaults", "-N", "-u", "somebody", "--protocol=tcp", "-h",
                                       self.workspace.address, "-P", Port, f"--ssl-ca={self.certificate()[0]}", "-e", question)
        assert "Ssl_version\tTLSv1.3" in text
        return text.replace(":", " "), client


class Redis(Store):
    kind, title, package = "redis", "Redis", "redis-server"
    habits = "accepts up to a thousand at each wake-up"
    ports = {"redis": Port}
    load_hello, load_expected, load_until = b"PING\r\n", "+PONG", "answer"

    def command(self):
        return ["/usr/bin/redis-server", "--port", Port, "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
                "--dir", self.own]

    def serve(self, scheme, source=Source):
        text, client = self.run_client("redis-cli", "-h", self.workspace.address, "-p", Port, "CLIENT", "INFO")
        return text.replace(":", " "), client


class Memcached(Store):
    kind, title, package = "memcached", "memcached", "memcached"
    habits = "four threads, whose connections one thread accepts"
    ports = {"memcached": Port}
    load_hello, load_expected, load_until = b"version\r\n", "VERSION ", "answer"

    def command(self):
        return [*self.give_to("nobody"), "/usr/bin/memcached", "-p", Port, "-l", "0.0.0.0"]

    def serve(self, scheme, source=Source):
        """Its clients are libraries; its protocol is made for telnet."""
        with socket.create_connection((self.workspace.address, Port), DeadlineSeconds, (source, 0)) as client:
            client.sendall(b"set key 0 0 5\r\nvalue\r\nget key\r\nstats conns\r\nquit\r\n")
            text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
            assert text.startswith("STORED\r\nVALUE key 0 5\r\nvalue\r\nEND\r\n")
            return text.replace(":", " "), client.getsockname()


class Mosquitto(Store):
    kind, title, package = "mosquitto", "Mosquitto (MQTT)", "mosquitto"
    habits = "sets IPV6_V6ONLY on an IPv4 listener, and expects to be refused"
    ports = {"mqtt": Port}
    sees_address = False
    log_pattern = r"New client connected from {client}:\d+ as somebody "
    # CONNECT of an anonymous client of MQTT 3.1.1, and the beginning of a CONNACK (its sections 3.1 and 3.2).
    load_hello = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
    load_expected, load_until = " \x02", "answer"

    def command(self):
        configuration = self.write("mosquitto.conf", f"listener {Port} 0.0.0.0\nallow_anonymous true\nuser root\n"
                                                     "max_connections -1\nlog_dest stderr\nlog_type notice\n")
        return ["/usr/sbin/mosquitto", "-c", configuration, "-v"]

    def serve(self, scheme, source=Source):
        subprocess.run(["mosquitto_pub", "-h", self.workspace.address, "-p", str(Port), "-A", source, "-i", "somebody",
                        "-t", "topic", "-m", "through proxyd", "-q", "1"], check=True, timeout=DeadlineSeconds)
        return "", (source, None)


@with_servers(Postgresql, Mariadb, Redis, Memcached, Mosquitto)
class TestStores(StandardExercises):
    pass


def test_clients_of_postgresql_that_ask_for_tls_first_have_no_name(workspace):
    """Their first message isn't a ClientHello, so a listener without a site of its own doesn't know them."""
    proxyd = workspace.start_proxyd(routes={"*": str(workspace.site("postgresql"))})
    client = workspace.connect(struct.pack("!II", 8, 80877103))
    client.read_to_end()
    line = proxyd.access_line_of(client)
    assert (line["protocol"], line["verdict"], line["reason"]) == ("other", "rejected", "protocol_unknown")


def test_a_broker_delivers_from_one_client_to_another(workspace):
    with start_server(Mosquitto, workspace):
        to_server = ["-h", workspace.address, "-p", str(Port), "-t", "topic", "-q", "1"]
        subprocess.run(["mosquitto_pub", *to_server, "-m", "through proxyd", "--retain"], check=True,
                       timeout=DeadlineSeconds)
        reader = workspace.start("mosquitto_sub", *to_server, "-C", "1")
        assert reader.wait_for_exit() == 0
        assert reader.lines == ["through proxyd"]
