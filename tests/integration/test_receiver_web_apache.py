# SPDX-License-Identifier: MIT
"""Apache from Debian's packages, unmodified, behind proxyd: its event and prefork modules, TLS and PHP."""

import os
import signal

from support.receiver_suite import (HttpPort, HttpsPort, Receiver, Source, StandardExercises, start_server,
                                    with_servers)
from support.servers import IsRootOpen
from support.workspace import wait_until

ModulesDirectory = "/usr/lib/apache2/modules"
# As root it gives up its privileges, unless nobody else may pass through the root directory.
User = "User nobody\nGroup nogroup" if os.geteuid() == 0 and IsRootOpen else ""


class Apache(Receiver):
    package = "apache2-bin"
    restart_words = "USR1"
    ports = {"https": HttpsPort, "http": HttpPort}
    log_pattern = '^{client} "GET {path} '
    mpm = page = modules = settings = ""

    def command(self):
        certificate, key = self.certificate()
        for name, text in self.pages().items():
            self.write(name, text)
        modules = [f"mpm_{self.mpm}", "authz_core", "dir", "mime", "ssl", "socache_shmcb", *self.modules]
        load = "\n".join(f"LoadModule {name}_module {ModulesDirectory}/mod_{name}.so" for name in modules)
        self.write("mime.types", "text/html html shtml\n")
        listeners = f"Listen {HttpPort}\n"
        if "https" in self.ports:
            listeners += TlsListener.format(own=self.own, certificate=certificate, key=key, https=HttpsPort)
        self.write("apache.conf", ApacheConfiguration.format(own=self.own, load=load, user=User, settings=self.settings,
                                                             listeners=listeners))
        return ["apache2", "-DFOREGROUND", "-d", self.own, "-f", self.own / "apache.conf"]

    def generation(self):
        """How often it has read its configuration and has started children for it."""
        return len([line for line in self.error_lines() if "resuming normal operations" in line])

    def error_lines(self):
        path = self.own / "error.log"
        return path.read_text().splitlines() if path.exists() else []

    def wait_until_ready(self, without=()):
        wait_until(lambda: self.generation() == 1, "Apache's children")
        return super().wait_until_ready(without)

    def restart(self):
        self.old_children = self.pids()[1:]
        generation = self.generation()
        self.signal(signal.SIGUSR1)
        wait_until(lambda: self.generation() == generation + 1, "Apache's next generation")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not set(self.pids()) & set(self.old_children), "the end of the old children")


class ApacheEvent(Apache):
    kind, title, mpm = "apache-event", "Apache, mpm_event, mod_ssl", "event"
    habits = ("children with many threads share the listeners; TCP_NODELAY set on them, which clients' sockets must "
              "inherit")
    modules = ["include"]
    settings = """
        StartServers 2
        ServerLimit 4
        ThreadsPerChild 25
        MaxRequestWorkers 100
        Options +Includes
        AddType text/html .shtml
        AddOutputFilter INCLUDES .shtml
        DirectoryIndex index.shtml
    """

    def pages(self):
        return {"index.shtml": '<!--#echo var="REMOTE_ADDR" --> <!--#echo var="REMOTE_PORT" -->\n'}


class ApacheWorker(ApacheEvent):
    kind, title, mpm = "apache-worker", "Apache, mpm_worker, mod_ssl", "worker"
    habits = "a thread in each child takes turns with those of the others at waiting for clients of several listeners"


class ApachePrefork(Apache):
    kind, title, mpm = "apache-prefork", "Apache, mpm_prefork, mod_ssl, mod_php", "prefork"
    habits = "many processes take turns at waiting for clients of several listeners"
    settings = f"""
        LoadModule php_module {ModulesDirectory}/libphp8.2.so
        StartServers 5
        MaxRequestWorkers 60
        AddHandler application/x-httpd-php .php
        DirectoryIndex index.php
    """

    def pages(self):
        return {"index.php": "<?php echo $_SERVER['REMOTE_ADDR'], ' ', $_SERVER['REMOTE_PORT'], \"\\n\";\n"}


class ApacheOneListener(ApachePrefork):
    kind, title = "apache-one", "Apache, mpm_prefork, mod_php, one listener"
    habits = "many processes block in accept"
    ports = {"http": HttpPort}


@with_servers(ApacheEvent, ApacheWorker, ApachePrefork, ApacheOneListener)
class TestApache(StandardExercises):
    pass


def test_apache_starts_anew_at_hup(workspace):
    """Which ends clients that are being served, on TCP too; those who come later get through."""
    with start_server(ApacheWorker, workspace) as server:
        server.serve("https")
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.generation() == 2, "Apache's next generation")
        assert server.serve("https")[1][0] == Source
        server.stop()


ApacheConfiguration = """
ServerName localhost
DefaultRuntimeDir {own}
PidFile {own}/apache.pid
ErrorLog {own}/error.log
LogLevel notice
{load}
{user}
TypesConfig {own}/mime.types
LogFormat '%a "%r" %>s' seen
CustomLog {own}/access.log seen
DocumentRoot {own}
<Directory {own}>
Require all granted
</Directory>
{settings}
{listeners}
"""
TlsListener = """
Listen {https}
SSLSessionCache shmcb:{own}/sessions(512000)
<VirtualHost *:{https}>
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
</VirtualHost>
"""
