# SPDX-License-Identifier: MIT
"""Mail servers behind proxyd, with smtps. They have a configuration, a queue and a log of their own, and leave those of the
machine alone. See support/receiver_suite.py.

A machine has one of them: to install another one would take its place. test.sh installs Postfix where there is none,
since Exim's package can't be installed where the root directory is closed to others.
"""

import os
import re
import shutil
import signal
import smtplib
import socket
import ssl

import pytest

from support.processes import DeadlineSeconds, read_if_there
from support.receiver_suite import Receiver, Source, StandardExercises, with_servers
from support.servers import IsRootOpen
from support.workspace import Port, wait_until

Master = "/usr/lib/postfix/sbin/master"
Exim4 = "/usr/sbin/exim4"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mail servers want to be started by root")


def needs(path):
    return pytest.mark.skipif(not os.path.exists(path), reason=f"there is no {path}: this machine has another mail server")


class PinnedSmtp(smtplib.SMTP_SSL):
    """To proxyd's address, under the server's name."""

    def __init__(self, address, name, source, context):
        self.pinned = address, source
        super().__init__(name, Port, local_hostname="client.example.org", context=context, timeout=DeadlineSeconds)

    def _get_socket(self, host, port, timeout):
        address, source = self.pinned
        connection = socket.create_connection((address, port), timeout, source_address=(source, 0))
        return self.context.wrap_socket(connection, server_hostname=host)


class MailServer(Receiver):
    """Also somebody who sends it a mail."""

    ports = {"smtps": Port}
    sees_address = False

    def make_directories(self, user, names):
        os.chmod(self.own, 0o755)
        for name in names:
            (self.own / name).mkdir()
            shutil.chown(self.own / name, user)

    def serve(self, scheme, source=Source):
        context = ssl.create_default_context(cafile=self.certificate()[0])
        with PinnedSmtp(self.workspace.address, self.host, source, context) as client:
            client.sendmail("a@example.org", ["b@example.org"], "Subject: a mail\r\n\r\nthrough proxyd\r\n")
        return "", (source, None)


class Postfix(MailServer):
    kind, title, package = "smtp", "Postfix (smtps)", "postfix"
    habits = ("makes an environment of its own before it binds, so `import_environment` must name the variables; other "
              "programs than the one that binds accept, and change their user before")
    log_pattern = r"smtpd\[\d+\]: connect from \S*\[{client}\]"
    restart_words = "HUP"
    exit_codes = (-signal.SIGTERM,)

    def command(self):
        self.make_directories("root", ["queue", "queue/pid"])
        self.make_directories("postfix", ["data", *(f"queue/{name}" for name in QueueDirectories)])
        certificate, key = self.certificate()
        self.write("master.cf", Services.format(port=Port))
        self.write("main.cf", PostfixConfiguration.format(own=self.own, certificate=certificate, key=key))
        return [*UnderOpenRoot, Master, "-c", self.own, "-d"]

    def serve(self, scheme, source=Source):
        served = super().serve(scheme, source)
        wait_until(lambda: re.search("relay=none, .* status=sent", (self.own / "mail.log").read_text()), "the mail's delivery")
        return served

    def smtpd_processes(self):
        return {pid for pid in self.pids() if read_if_there(f"/proc/{pid}/comm").strip() == "smtpd"}

    def restart(self):
        self.old = self.smtpd_processes()
        self.signal(signal.SIGHUP)
        wait_until(lambda: "reload -- version" in (self.own / "mail.log").read_text(), "the new configuration")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not self.smtpd_processes() & self.old, "the end of the old smtpd")


class Exim(MailServer):
    kind, title, package = "exim", "Exim (smtps)", "exim4-daemon-light"
    habits = "is set-user-ID root, and gives up its privileges between listen and accept"
    log_pattern = r"<= a@example\.org H=.* \[{client}\].* P=esmtps "

    def command(self):
        self.make_directories("Debian-exim", ["spool", "log"])
        certificate, key = self.certificate()
        configuration = self.write("exim.conf", EximConfiguration.format(port=Port, own=self.own,
                                                                         certificate=certificate, key=key))
        return [*UnderOpenRoot, Exim4, "-C", configuration, "-bdf"]

    def log_files(self):
        return sorted((self.own / "log").glob("*"))


@needs(Master)
@with_servers(Postfix)
class TestPostfix(StandardExercises):
    pass


@needs(Exim4)
@with_servers(Exim)
class TestExim(StandardExercises):
    pass


# Their processes are another user's, who must get to their files: where he can't, a root directory that is open, with what
# the real one has, in a mount namespace of its own.
UnderOpenRoot = [] if IsRootOpen else ["unshare", "--mount", "sh", "-c", """
    set -e
    mount -t tmpfs -o mode=755 tmpfs /mnt
    for path in /*; do
        if [ -L "$path" ]; then
            cp -P "$path" /mnt/
        elif [ -d "$path" ] && [ "$path" != /mnt ]; then
            mkdir "/mnt$path"
            mount --rbind "$path" "/mnt$path"
        fi
    done
    exec chroot /mnt "$@"
""", "sh"]
QueueDirectories = ["active", "bounce", "defer", "deferred", "incoming", "private", "public"]
Services = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
PostfixConfiguration = """
compatibility_level = 3.6
queue_directory = {own}/queue
data_directory = {own}/data
maillog_file = {own}/mail.log
maillog_file_prefixes = {own}
import_environment = MAIL_CONFIG MAIL_LOGTAG LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_PRELOAD PROXYD_SITE PROXYD_PORTS
myhostname = mail.example.org
mydestination =
local_recipient_maps =
alias_maps =
default_transport = discard
inet_protocols = ipv4
smtpd_tls_wrappermode = yes
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {key}, {certificate}
smtpd_recipient_restrictions =
smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
"""
EximConfiguration = """
primary_hostname = mail.example.org
spool_directory = {own}/spool
log_file_path = {own}/log/%slog
pid_file_path = {own}/exim.pid
daemon_smtp_ports = {port}
tls_on_connect_ports = {port}
local_interfaces = 0.0.0.0
tls_certificate = {certificate}
tls_privatekey = {key}
queue_only
smtp_accept_max = 0
keep_environment =
acl_smtp_rcpt = acl_everybody
begin acl
acl_everybody:
  accept
"""
