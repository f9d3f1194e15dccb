# SPDX-License-Identifier: MIT
"""Unmodified servers under proxyrun that speak something else than TLS and HTTP/1: nginx with HTTP/2
without TLS, OpenSSH's sshd, and aiosmtpd, which speaks first."""

import getpass
import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from support.servers import NginxUser, Server
from support.workspace import Port, wait_until


class NginxHttp2(Server):
    kind, scheme, host = "nginx", "http", "nginx.example.org"

    def __init__(self, workspace, port=Port, **options):
        own = workspace.site("nginx-own")
        os.chmod(workspace.path, 0o711)
        configuration = own / "nginx.conf"
        configuration.write_text(NginxConfiguration.format(user=NginxUser, own=own, port=port))
        super().__init__(workspace, ["nginx", "-c", configuration, "-e", "stderr"], port, **options)


class Sshd(Server):
    kind = "sshd"

    def __init__(self, workspace, port=Port, **options):
        own = workspace.site("sshd-own")
        self.host_key, self.user_key = own / "host", own / "user"
        for key in (self.host_key, self.user_key):
            make_key(key)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it, empty
        configuration = own / "sshd_config"
        configuration.write_text(SshdConfiguration.format(port=port, own=own))
        super().__init__(workspace, ["/usr/sbin/sshd", "-D", "-e", "-f", configuration], port, **options)

    def run(self, address, command, port=Port):
        return run_ssh(address, command, self.user_key, port)


class Smtpd(Server):
    kind = "smtpd"

    def __init__(self, workspace, port=Port, **options):
        if not importlib.util.find_spec("aiosmtpd"):
            pytest.skip("aiosmtpd is not installed")
        self.mailbox = workspace.path / "mailbox"
        # It looks whether its port answers before it says anything, so it is given the IPv4 address alone.
        super().__init__(workspace, [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"0.0.0.0:{port}", "-c",
                                     "aiosmtpd.handlers.Mailbox", self.mailbox], port, **options)

    def mail(self):
        """The text of the one mail that has come."""
        paths = wait_until(lambda: list((self.mailbox / "new").glob("*")), "a mail")
        assert len(paths) == 1
        return paths[0].read_text()


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def run_ssh(address, command, user_key, port=Port):
    """The finished process, with text."""
    options = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "BatchMode": "yes",
               "LogLevel": "INFO", "ConnectTimeout": 20, "IdentitiesOnly": "yes"}
    return subprocess.run(["ssh", "-F", "none", "-p", str(port), "-i", user_key,
                           *(f"-o{key}={value}" for key, value in options.items()),
                           f"{getpass.getuser()}@{address}", command],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


def send_mail(workspace, address, text, port=Port, *options):
    """By curl; the finished process."""
    path = workspace.path / "mail.txt"
    path.write_text(text)
    return subprocess.run(["curl", "-sS", "--max-time", "20", f"smtp://{address}:{port}", "--mail-from",
                           "a@example.org", "--mail-rcpt", "b@example.org", "-T", path, *options],
                          capture_output=True, text=True, timeout=30)


NginxConfiguration = """
daemon off;
worker_processes 1;
{user}
pid {own}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    server {{
        listen {port} http2;
        location / {{
            default_type text/plain;
            set $ends "client $remote_addr $remote_port local $server_addr $server_port";
            return 200 "nginx $ends protocol $server_protocol request $connection_requests\n";
        }}
    }}
}}
"""

SshdConfiguration = """
Port {port}
ListenAddress 0.0.0.0
HostKey {own}/host
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
AuthorizedKeysFile {own}/user.pub
"""
