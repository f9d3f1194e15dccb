# SPDX-License-Identifier: MIT
"""Real servers that know nothing of proxyd, each at an address of its own, and a proxyd with routes to them.

nginx is in tcp_servers.py; these are sshd, PostgreSQL, MariaDB, Redis, aiosmtpd, HAProxy and a WebSocket server.
"""

import getpass
import os
import pathlib
import shutil
import subprocess
import sys

from support.control import own_user
from support.mariadb import copy_of_empty_database, server_command
from support.protocol_servers import make_key
from support.servers import certificate_of_servers
from support.workspace import Port, own_loopback_address, wait_until

Programs = pathlib.Path(__file__).parent
PostgresqlPrograms = "/usr/lib/postgresql/15/bin"


class TcpRoutes:
    """proxyd and the tcpshim that it runs, whose log is proxyd's, unless its access log is a file."""

    def __init__(self, workspace, routes, ports=(Port,), tcpshim=None, **configuration):
        directory = workspace.site("tcp")
        os.chmod(workspace.path, 0o711)
        self.control = workspace.path / "tcpshim.sock"
        self.access_log = (tcpshim or {}).get("access_log")
        self.proxyd = workspace.start_proxyd(**{
            "listen": [f"{workspace.address}:{port}" for port in ports], "routes": routes,
            "tcpshim": {"directory": str(directory), "control": str(self.control), **(tcpshim or {})},
            **own_user(), **configuration})

    def lines(self):
        """What tcpshim has logged of each client that has ended."""
        all_lines = pathlib.Path(self.access_log).read_text().splitlines() if self.access_log else self.proxyd.lines
        lines = [line for line in all_lines if " access " in line and " ending=" in line]
        return [dict(pair.split("=", 1) for pair in line.split(" ")[2:]) for line in lines]

    def line(self, index=0, **expected):
        """Line number `index` of those that have these fields."""
        def find(_):
            found = [line for line in self.lines() if expected.items() <= line.items()]
            return found[index] if index < len(found) else None

        return self.proxyd.wait_for(find, f"line {index} of tcpshim with {expected}")

    def edge_line(self, index=0):
        """The like of proxyd's own."""
        def find(lines):
            found = [line for line in lines if " access " in line and " verdict=" in line]
            return dict(pair.split("=", 1) for pair in found[index].split(" ")[2:]) if index < len(found) else None

        return self.proxyd.wait_for(find, f"access line {index}")


class Sshd:
    def __init__(self, workspace, port=2222):
        own = workspace.site("sshd-own")
        self.key = own / "user"
        for key in (own / "host", self.key):
            make_key(key)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it, empty
        self.where = f"{own_loopback_address()}:{port}"
        (own / "sshd_config").write_text(SshdConfiguration.format(where=self.where, own=own))
        self._child = workspace.start("/usr/sbin/sshd", "-D", "-e", "-f", own / "sshd_config")
        self._child.wait_for_line("Server listening on")

    def run(self, address, command, given=b""):
        """What the command says to what it is given."""
        options = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "BatchMode": "yes",
                   "LogLevel": "ERROR", "IdentitiesOnly": "yes"}
        return subprocess.run(["ssh", "-F", "none", "-p", str(Port), "-i", self.key,
                               *(f"-o{key}={value}" for key, value in options.items()),
                               f"{getpass.getuser()}@{address}", command],
                              input=given, capture_output=True, timeout=60, check=True).stdout


class Postgresql:
    """With TLS, which its clients ask for in a message of its own protocol."""

    def __init__(self, workspace, port=5432):
        self.certificate, key = certificate_of_servers(workspace)
        os.chmod(workspace.path, 0o711)
        own = workspace.site("postgresql-own")
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        own_key = copy_of_key(key, own, "postgres" if user else None)
        subprocess.run([*user, f"{PostgresqlPrograms}/initdb", "-D", own / "data", "-U", "somebody", "-A", "trust",
                        "--no-sync", "--no-instructions", "-E", "UTF8", "--locale", "C"], check=True, capture_output=True)
        (own / "data/pg_hba.conf").write_text("hostssl all all all trust\n")
        address = own_loopback_address()
        self.where = f"{address}:{port}"
        settings = {"port": port, "listen_addresses": address, "unix_socket_directories": "", "ssl": "on",
                    "ssl_cert_file": self.certificate, "ssl_key_file": own_key, "fsync": "off"}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self._child = workspace.start(*user, f"{PostgresqlPrograms}/postgres", "-D", own / "data", *options)
        self._child.wait_for_line("ready to accept connections")

    def query(self, address, *queries):
        """What psql says, by TLS with the certificate checked."""
        questions = [word for query in queries for word in ("-c", query)]
        return subprocess.run(
            ["psql", "-X", "-A", "-t", "-q", *questions,
             f"host=nginx.example.org hostaddr={address} port={Port} user=somebody dbname=postgres "
             f"sslmode=verify-full sslrootcert={self.certificate}"],
            capture_output=True, text=True, timeout=60, check=True).stdout


class Mariadb:
    """Speaks first; TLS begins inside its protocol."""

    def __init__(self, workspace, port=3306):
        self._authority, key = certificate_of_servers(workspace)
        os.chmod(workspace.path, 0o711)
        own = workspace.site("mariadb-own")
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        certificate = self._authority, copy_of_key(key, own, "nobody" if user else None)
        copy_of_empty_database(workspace, own / "data", user)
        address = own_loopback_address()
        self.where = f"{address}:{port}"
        workspace.start(*server_command(user, own, certificate, address, port)).wait_for_line("ready for connections")

    def query(self, address, port, text):
        """What the client says to that, by TLS."""
        return subprocess.run(["mariadb", "--no-defaults", "-N", "-B", "-u", "somebody", "--protocol=tcp", "-h", address,
                               "-P", str(port), f"--ssl-ca={self._authority}", "--max-allowed-packet=16M"], input=text,
                              capture_output=True, text=True, timeout=60, check=True).stdout


class Redis:
    def __init__(self, workspace, port=6379):
        address = own_loopback_address()
        self.where = f"{address}:{port}"
        workspace.start("/usr/bin/redis-server", "--port", port, "--bind", address, "--save", "", "--dir",
                        workspace.site("redis-own")).wait_for_line("Ready to accept connections")

    @staticmethod
    def run(address, port, *command, given=b""):
        return subprocess.run(["redis-cli", "-h", address, "-p", str(port), *command], input=given, capture_output=True,
                              timeout=60, check=True).stdout


class Smtpd:
    """Speaks first, and TLS after STARTTLS alone."""

    def __init__(self, workspace, port=2525):
        self.certificate, key = certificate_of_servers(workspace)
        self._mailbox = workspace.path / "mailbox"
        self.where = f"{own_loopback_address()}:{port}"
        self._child = workspace.start(sys.executable, "-m", "aiosmtpd", "-n", "-d", "-l", self.where, "--no-requiretls",
                                      "--tlscert", self.certificate, "--tlskey", key, "-c",
                                      "aiosmtpd.handlers.Mailbox", self._mailbox)
        self._child.wait_for_line("Starting asyncio loop|Server is listening")

    def mails(self, count):
        """Their texts, when there are so many."""
        paths = wait_until(lambda: len(found := list((self._mailbox / "new").glob("*"))) == count and found,
                           f"{count} mails")
        return [path.read_text() for path in paths]


class Haproxy:
    """Takes PROXY protocol headers; answers with what it knows of its client, which its log has too."""

    def __init__(self, workspace, port=8080):
        self.where = f"{own_loopback_address()}:{port}"
        file = workspace.path / "haproxy.cfg"
        file.write_text(HaproxyConfiguration.format(where=self.where))
        self.child = workspace.start("haproxy", "-db", "-f", file)
        wait_until(lambda: is_listening(self.where), "HAProxy")


class WebSocketServer:
    def __init__(self, workspace, port=8000):
        address = own_loopback_address()
        self.where = f"{address}:{port}"
        workspace.start(sys.executable, Programs / "websocket_server.py", address, port).wait_for_line("^ready$")

    def location(self):
        """For a nginx before it."""
        return (f"location /socket {{ proxy_pass http://{self.where}; proxy_http_version 1.1; "
                "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }")


def copy_of_key(key, directory, user):
    """In a directory that is the user's then, too."""
    copy = directory / "key.pem"
    shutil.copy(key, copy)
    copy.chmod(0o600)
    if user:
        for path in (directory, copy):
            shutil.chown(path, user)
    return copy


def is_listening(where):
    listing = subprocess.run(["ss", "-Htnl", "src", where], capture_output=True, text=True, check=True).stdout
    return listing != ""


SshdConfiguration = """
ListenAddress {where}
HostKey {own}/host
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
AuthorizedKeysFile {own}/user.pub
"""

HaproxyConfiguration = """
global
    log stdout format raw local0
defaults
    mode http
    timeout client 30s
    timeout connect 30s
    timeout server 30s
frontend all
    bind {where} accept-proxy
    log global
    log-format "seen %ci:%cp at %[dst]:%[dst_port] name %[fc_pp_authority] id %[fc_pp_unique_id] %ST"
    http-request return status 200 content-type text/plain string "haproxy"
"""
