# SPDX-License-Identifier: MIT
"""Servers that speak something else than HTTP, behind proxyd: mail and shells. See support/receiver_suite.py."""

import getpass
import imaplib
import os
import pathlib
import signal
import socket
import ssl
import subprocess

from support.processes import DeadlineSeconds, read_if_there
from support.protocol_servers import make_key
from support.receiver_suite import Receiver, Source, StandardExercises, start_server, with_servers
from support.workspace import Port, wait_until


class Sshd(Receiver):
    kind, title, package = "sshd", "OpenSSH sshd", "openssh-server"
    habits = "closes all descriptors at its start, executes itself for each client"
    ports = {"ssh": Port}
    sees_port = False
    load_hello, load_expected, load_until = b"SSH-2.0-load\r\n", "SSH-2.0-OpenSSH", "answer"

    @classmethod
    def routes(cls, workspace):
        return {"@ssh": str(workspace.site(cls.kind))}

    def command(self):
        for key in ("host", "user"):
            make_key(self.own / key)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it, empty
        configuration = self.write("sshd_config", SshdConfiguration.format(port=Port, own=self.own))
        return ["/usr/sbin/sshd", "-D", "-e", "-f", configuration]

    def serve(self, scheme, source=Source):
        options = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "BatchMode": "yes",
                   "IdentitiesOnly": "yes", "ConnectTimeout": DeadlineSeconds, "BindAddress": source}
        result = subprocess.run(["ssh", "-F", "none", "-p", str(Port), "-i", self.own / "user",
                                 *(f"-o{key}={value}" for key, value in options.items()),
                                 f"{getpass.getuser()}@{self.workspace.address}", "echo $SSH_CONNECTION"],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DeadlineSeconds)
        assert result.returncode == 0, result.stderr
        return result.stdout, (source, None)


class Dovecot(Receiver):
    kind, title, package = "imap", "Dovecot (imaps)", "dovecot-imapd"
    habits = "executes its login processes with an environment of its own; they accept in a chroot"
    ports = {"imaps": Port}
    sees_address = False
    restart_words = "HUP"
    log_pattern = r"imap-login: Info: Login: user=<somebody>.* rip={client},.* TLS"

    def command(self):
        certificate, key = self.certificate()
        mail = self.workspace.site("mail")
        os.chmod(mail, 0o777)
        configuration = self.write("dovecot.conf", DovecotConfiguration.format(
            port=Port, own=self.own, certificate=certificate, key=key, mail=mail))
        return ["/usr/sbin/dovecot", "-F", "-c", configuration]

    def login_processes(self):
        return {pid for pid in self.pids() if read_if_there(f"/proc/{pid}/comm") == "imap-login\n"}

    def restart(self):
        self.old = self.login_processes()
        self.signal(signal.SIGHUP)
        self.wait_for_line("SIGHUP received - reloading configuration")
        wait_until(lambda: self.login_processes() - self.old, "new login processes")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not self.login_processes() & self.old, "the end of the old login processes")

    def serve(self, scheme, source=Source):
        context = ssl.create_default_context(cafile=self.certificate()[0])
        with PinnedImap(self.workspace.address, self.host, source, context) as client:
            client.login("somebody", "secret")
            client.append("INBOX", None, None, b"Subject: a mail\r\n\r\nthrough proxyd\r\n")
            client.select("INBOX")
            _, found = client.fetch("1", "(BODY[TEXT])")
            assert found[0][1] == b"through proxyd\r\n"
        return "", (source, None)


class PinnedImap(imaplib.IMAP4_SSL):
    """To proxyd's address, under the server's name."""

    def __init__(self, address, name, source, context):
        self.pinned = address, name, source
        super().__init__(name, Port, ssl_context=context, timeout=DeadlineSeconds)

    def _create_socket(self, timeout):
        address, name, source = self.pinned
        connection = socket.create_connection((address, Port), timeout, source_address=(source, 0))
        return self.ssl_context.wrap_socket(connection, server_hostname=name)


class Vsftpd(Receiver):
    kind, title, package = "ftp", "vsftpd", "vsftpd"
    habits = "speaks first; a process for each client, in a chroot; its data connections are plain TCP"
    ports = {"ftp": Port}
    sees_address = False
    log_pattern = r'\[ftp\] OK DOWNLOAD: Client "{client}", "/file"'
    load_hello, load_expected, load_until = b"QUIT\r\n", "220 ", "answer"
    exit_codes = (-signal.SIGTERM,)  # it knows no other end

    @classmethod
    def listen(cls, workspace):
        return [{"address": f"{workspace.address}:{Port}", "site": str(workspace.site(cls.kind))}]

    @classmethod
    def routes(cls, workspace):
        return {}

    def command(self):
        (self.own / "empty").mkdir()
        files = self.own / "files"
        files.mkdir()
        (files / "file").write_text("through proxyd\n")
        configuration = self.write("vsftpd.conf", VsftpdConfiguration.format(port=Port, own=self.own))
        return ["/usr/sbin/vsftpd", configuration]

    def serve(self, scheme, source=Source):
        result = subprocess.run(["curl", "-sS", "--max-time", str(DeadlineSeconds), "--interface", source,
                                 f"ftp://{self.workspace.address}:{Port}/file"], capture_output=True, text=True)
        assert (result.returncode, result.stdout) == (0, "through proxyd\n"), result.stderr
        return "", (source, None)


@with_servers(Sshd, Dovecot, Vsftpd)
class TestOtherServers(StandardExercises):
    pass


def test_sshd_executes_itself_again_at_hup(workspace):
    with start_server(Sshd, workspace) as server:
        server.signal(signal.SIGHUP)
        server.wait_for(lambda lines: "".join(lines).count("Server listening on") == 2 or None, "another listener")
        text, (source, _) = server.serve("ssh")
        assert text.split()[0] == source


SshdConfiguration = """
Port {port}
ListenAddress 0.0.0.0
HostKey {own}/host
PidFile none
UsePAM no
StrictModes no
MaxStartups 1000
PasswordAuthentication no
PermitRootLogin yes
AuthorizedKeysFile {own}/user.pub
"""

DovecotConfiguration = """
base_dir = {own}/run
state_dir = {own}/state
log_path = /dev/stderr
protocols = imap
listen = 0.0.0.0
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
mail_location = maildir:{mail}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={mail}
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service stats {{
  process_limit = 1
}}
"""


VsftpdConfiguration = """
listen=YES
listen_ipv6=NO
background=NO
listen_port={port}
anonymous_enable=YES
anon_root={own}/files
secure_chroot_dir={own}/empty
xferlog_enable=YES
vsftpd_log_file={own}/vsftpd.log
"""
