# SPDX-License-Identifier: MIT
"""Postfix behind proxyd: smtps. It has a configuration, a queue and a log of its own, and leaves those of the machine
alone. See support/receiver_suite.py."""

import os
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
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix wants to be started by root"),
    pytest.mark.skipif(not os.path.exists(Master),
                       reason="Postfix isn't installed, as test.sh does where there is no other mail server"),
]


class PinnedSmtp(smtplib.SMTP_SSL):
    """To proxyd's address, under the server's name."""

    def __init__(self, address, name, source, context):
        self.pinned = address, source
        super().__init__(name, Port, local_hostname="client.example.org", context=context, timeout=DeadlineSeconds)

    def _get_socket(self, host, port, timeout):
        address, source = self.pinned
        connection = socket.create_connection((address, port), timeout, source_address=(source, 0))
        return self.context.wrap_socket(connection, server_hostname=host)


class Postfix(Receiver):
    kind, title, package = "smtp", "Postfix (smtps)", "postfix"
    habits = ("makes an environment of its own before it binds, so `import_environment` must name the variables; other "
              "programs than the one that binds accept, and change their user before")
    ports = {"smtps": Port}
    sees_address = False
    log_pattern = r"smtpd\[\d+\]: connect from \S*\[{client}\]"
    restart_words = "HUP"
    exit_codes = (-signal.SIGTERM,)

    def command(self):
        certificate, key = self.certificate()
        os.chmod(self.own, 0o755)
        for name in QueueDirectories:
            (self.own / name).mkdir()
            shutil.chown(self.own / name, "postfix" if name not in ("queue", "queue/pid") else "root")
        self.write("master.cf", Services.format(port=Port))
        self.write("main.cf", Configuration.format(own=self.own, certificate=certificate, key=key))
        return [*([] if IsRootOpen else UnderOpenRoot), Master, "-c", self.own, "-d"]

    def smtpd_processes(self):
        return {pid for pid in self.pids() if read_if_there(f"/proc/{pid}/comm").strip() == "smtpd"}

    def serve(self, scheme, source=Source):
        context = ssl.create_default_context(cafile=self.certificate()[0])
        with PinnedSmtp(self.workspace.address, self.host, source, context) as client:
            client.sendmail("a@example.org", ["b@example.org"], "Subject: a mail\r\n\r\nthrough proxyd\r\n")
        wait_until(lambda: "relay=none, " in (self.own / "mail.log").read_text(), "the mail to be delivered")
        return "", (source, None)

    def restart(self):
        self.old = self.smtpd_processes()
        self.signal(signal.SIGHUP)
        wait_until(lambda: "reload -- version" in (self.own / "mail.log").read_text(), "the new configuration")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not self.smtpd_processes() & self.old, "the end of the old smtpd")


@with_servers(Postfix)
class TestPostfix(StandardExercises):
    pass


# Its processes are another user's, who must get to its files: a root directory that is open, with what the real one has,
# in a mount namespace of its own.
UnderOpenRoot = ["unshare", "--mount", "sh", "-c", """
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
QueueDirectories = ["data", "queue", *(f"queue/{name}" for name in (
    "active", "bounce", "defer", "deferred", "incoming", "pid", "private", "public"))]
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
Configuration = """
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
