# SPDX-License-Identifier: MIT
"""Unmodified servers under proxyrun, for tests to put behind proxyd: nginx, Node.js and Python's http.server.

They answer alike, so that one test goes for each of them: GET / with how the server sees its client,
GET /files/NAME with a file, and of a PUT they know the SHA-256.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import sys

import pytest

from support.certificates import make_certificate
from support.processes import Child, LogLinesMax, program
from support.workspace import Port, free_port, wait_until

Programs = pathlib.Path(__file__).parent
# Debian's nginx drops its privileges to another user, and so do the tests' when they have any.
# As root nginx gives up its privileges, unless nobody else may pass through the root directory, which is so
# in some chroots: its workers could open no file then.
IsRootOpen = os.stat("/").st_mode & 0o001 != 0
NginxUser = "" if os.geteuid() != 0 else "user nobody nogroup;" if IsRootOpen else "user root;"


def is_live_socket(path):
    """Whether somebody has the site socket open."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


def files_directory(workspace):
    """What GET /files/ serves; everybody may read it, since servers change their user."""
    os.chmod(workspace.path, 0o711)
    return workspace.site("files")


def certificate_of_servers(workspace):
    names = [Nginx.host, Node.host]
    paths = workspace.path / f"{names[0]}.crt", workspace.path / f"{names[0]}.key"
    return paths if paths[1].exists() else make_certificate(workspace.path, *names)


def start_proxyd(workspace, **configuration):
    """proxyd with a route to each server, none of which need be there yet."""
    certificate_of_servers(workspace)
    routes = {server.host: str(workspace.site(server.kind)) for server in AllServers}
    return workspace.start_proxyd(routes=routes, **configuration)


def reserve_port(workspace):
    """A port that nobody else gets on ::1. Its holder is bound but doesn't listen, so proxyd still can."""
    while True:
        holder = workspace.close_at_end(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
        with contextlib.suppress(OSError):
            port = free_port()
            holder.bind(("::1", port))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return port


def both_families(workspace, port):
    """What proxyd listens to."""
    return [f"{workspace.address}:{port}", f"[::1]:{port}"]


def start_for_both_families(server_type, workspace, port):
    return server_type(workspace, port) if server_type is Nginx else server_type(workspace, port, address="::")


class Server(Child):
    """Started, but perhaps not ready yet: clients wait in proxyd meanwhile."""

    sockets_count = 1

    def __init__(self, workspace, command, port=Port, launcher=(), proxyrun_options=(), edge_port=None, **process_options):
        if not shutil.which(command[0]):
            pytest.skip(f"{command[0]} is not installed")
        self.site = workspace.site(self.kind)
        self.port = port
        # A session of its own, so that none of its processes outlives the test.
        ports = f"{edge_port or port}={port}"
        super().__init__([*launcher, program("proxyrun"), "--site", self.site, "--port", ports, *proxyrun_options, "--",
                          *command], cwd=workspace.path, start_new_session=True, **process_options)
        workspace.children.append(self)

    def site_sockets(self):
        return sorted(path for path in self.site.glob("*.sock") if not path.name.startswith("."))

    def live_sockets(self):
        return [path for path in self.site_sockets() if is_live_socket(path)]

    def wait_until_ready(self):
        def is_ready():
            assert self.process.poll() is None, f"{self.kind} ended"
            return len(self.live_sockets()) == self.sockets_count

        wait_until(is_ready, f"{self.kind} with {self.sockets_count} site sockets")
        return self

    def pids(self):
        """Of all its processes."""
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [self.pid, *map(int, children.split())]

    def descriptors(self):
        """What each descriptor of each process is."""
        return [os.readlink(entry.path) for pid in self.pids() for entry in os.scandir(f"/proc/{pid}/fd")]

    def wait_for_request_of(self, client, path):
        """The server's own log knows the client by its real address."""
        self.wait_for_line(self.log_pattern.format(client=re.escape(client), path=re.escape(path)))

    def stop(self):
        self.signal(signal.SIGTERM)
        self._wait_until_gone()

    def kill(self):
        os.killpg(self.pid, signal.SIGKILL)
        self._wait_until_gone()

    def _wait_until_gone(self):
        self.wait_for_exit()
        wait_until(lambda: not self.live_sockets(), f"the end of all processes of {self.kind}")

    def end(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended, all of it
        self.wait_for_exit()
        return [f"{self.kind}: {line}" for line in self.lines if "exited on signal" in line]


class Nginx(Server):
    kind, scheme, host = "nginx", "https", "nginx.example.org"

    def __init__(self, workspace, port=Port, families=("ipv4", "ipv6"), listen_options="", **options):
        places = {"ipv4": port, "ipv6": f"[::]:{port}"}
        listens = "\n        ".join(f"listen {places[family]} ssl http2 {listen_options};" for family in families)
        self.sockets_count = len(families) * (2 if "reuseport" in listen_options else 1)
        self.directory = workspace.site("nginx-own")
        self.uploads = workspace.site("nginx-own/uploads")
        self.access_log = self.directory / "access.log"
        os.chmod(self.uploads, 0o777)
        configuration = self.directory / "nginx.conf"
        configuration.write_text(NginxConfiguration.format(
            user=NginxUser, listens=listens, own=self.directory,
            files=files_directory(workspace), certificate=certificate_of_servers(workspace)))
        super().__init__(workspace, ["nginx", "-c", configuration, "-e", "stderr"], port, **options)

    def worker_pids(self):
        return self.pids()[1:]

    def log(self):
        accesses = self.access_log.read_text().splitlines() if self.access_log.exists() else []
        return "\n".join([super().log(), *accesses[-LogLinesMax:]])

    def wait_for_request_of(self, client, path):
        wait_until(lambda: f"\n{client} GET {path} " in "\n" + self.access_log.read_text(),
                   f"a line about {client} in the access log")

    def uploaded_digest(self, name, answer):
        return hashlib.sha256((self.uploads / name).read_bytes()).hexdigest()


class PlainNginx(Server):
    """nginx without TLS and without a log of its own: what answers to load. Its clients' answer is "HTTP/1.1 200 OK"."""

    kind, scheme, host = "load", "http", "load.example.org"
    listen_options = ""
    request = b"GET / HTTP/1.1\r\nHost: load.example.org\r\nConnection: close\r\n\r\n"

    def __init__(self, workspace, port=Port, **options):
        directory = workspace.site("load-own")
        files_directory(workspace)
        (directory / "nginx.conf").write_text(PlainNginxConfiguration.format(user=NginxUser, port=port, own=directory,
                                                                             options=self.listen_options))
        super().__init__(workspace, ["nginx", "-c", directory / "nginx.conf", "-e", "stderr"], port, **options)


class Node(Server):
    kind, scheme, host = "node", "https", "node.example.org"
    log_pattern = "seen {client} [A-Z]+ {path}$"

    def __init__(self, workspace, port=Port, address="0.0.0.0", **options):
        super().__init__(workspace, ["node", Programs / "https_server.js", port, address,
                                     *certificate_of_servers(workspace), files_directory(workspace)], port, **options)

    def uploaded_digest(self, name, answer):
        return answer


class Python(Server):
    kind, scheme, host = "python", "http", "python.example.org"
    log_pattern = '^{client} .*"[A-Z]+ {path} '

    def __init__(self, workspace, port=Port, address="0.0.0.0", **options):
        super().__init__(workspace, [sys.executable, "-u", Programs / "http_server.py", port, address,
                                     files_directory(workspace)], port, **options)

    def uploaded_digest(self, name, answer):
        return answer


class PythonModule(Server):
    """python3 -m http.server as it comes: it knows of files only."""

    kind, scheme, host = "module", "http", "module.example.org"
    log_pattern = Python.log_pattern

    def __init__(self, workspace, port=Port, **options):
        files_directory(workspace)
        super().__init__(workspace, [sys.executable, "-u", "-m", "http.server", port, "--bind", "0.0.0.0",
                                     "--directory", workspace.path], port, **options)


AllServers = [Nginx, Node, Python, PythonModule]

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
    client_max_body_size 0;
    ssl_certificate {certificate[0]};
    ssl_certificate_key {certificate[1]};
    server {{
        {listens}
        location / {{
            default_type text/plain;
            set $ends "client $remote_addr $remote_port local $server_addr $server_port";
            return 200 "nginx $ends protocol $server_protocol request $connection_requests\n";
        }}
        location /files/ {{ alias {files}/; }}
        location /uploads/ {{
            alias {own}/uploads/;
            dav_methods PUT;
        }}
    }}
}}
"""

PlainNginxConfiguration = """
daemon off;
worker_processes 2;
{user}
pid {own}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    server {{
        listen {port} {options};
        location / {{ return 200 "served\n"; }}
    }}
}}
"""
