# SPDX-License-Identifier: MIT
"""PHP from Debian's packages, unmodified, behind proxyd: its own server, and php-fpm behind nginx and by itself."""

import getpass
import os
import signal
import struct

from support import server_table
from support.processes import Child
from support.receiver_suite import HttpPort, HttpsPort, Receiver, Source, StandardExercises, with_servers
from support.servers import IsRootOpen
from support.workspace import wait_until
from test_receiver_web import Nginx

User = "nobody" if os.geteuid() == 0 and IsRootOpen else getpass.getuser()
Script = "<?php echo $_SERVER['REMOTE_ADDR'], ' ', $_SERVER['REMOTE_PORT'], \"\\n\";\n"
FastCgiPort, CheckedPort = 9000, 9001
SocketsScript = """<?php
$listener = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
socket_bind($listener, $argv[1], $argv[2]);
socket_listen($listener);
socket_getsockname($listener, $address, $port);
echo "listens on $address $port\\n";
while ($client = socket_accept($listener)) {
    socket_getpeername($client, $address, $port);
    socket_write($client, "$address $port\\n");
    socket_close($client);
}
"""
OtherSource = "127.0.0.12"


class PhpServer(Receiver):
    kind, title, package = "php", "PHP's own server (`php -S`)", "php8.2-cli"
    habits = "one process, which waits with select for clients and listener alike"
    log_pattern = r"{client}:\d+ \[200\]: GET {path}$"
    stop_signal = signal.SIGINT

    def command(self):
        self.write("index.php", Script)
        return ["php", "-S", f"0.0.0.0:{HttpPort}", "-t", self.own]


class PhpServerWorkers(PhpServer):
    kind, title = "php-workers", "PHP's own server with PHP_CLI_SERVER_WORKERS"
    habits = "processes share a listener that doesn't block"
    stops_group = True  # its first process doesn't pass a signal on

    def command(self):
        return ["env", "PHP_CLI_SERVER_WORKERS=3", *super().command()]


class Fpm(Child):
    """Not under proxyrun, for the servers that speak FastCGI to it through a Unix socket."""

    def __init__(self, workspace, own):
        (own / "fpm.conf").write_text(FpmConfiguration.format(own=own) + FpmPool.format(
            name="www", listen=own / "fpm.sock", user=FpmUser, more="listen.mode = 0666"))
        super().__init__(["php-fpm8.2", "-F", "-y", own / "fpm.conf"], cwd=own)
        workspace.children.append(self)
        self.wait_for_line("ready to handle connections")

    def end(self):
        self.signal(signal.SIGTERM)  # so that it ends its children too
        self.wait_for_exit()
        return []


class NginxFpm(Nginx):
    kind, title, package = "nginx-fpm", "nginx in front of php-fpm", "nginx"
    habits = "only nginx is under libpreload, and passes the client's address on"
    location = """
        location / {{
            root {own};
            fastcgi_pass unix:{own}/fpm.sock;
            fastcgi_param SCRIPT_FILENAME {own}/index.php;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_param REMOTE_PORT $remote_port;
        }}
    """

    def command(self):
        self.write("index.php", Script)
        Fpm(self.workspace, self.own)
        return super().command()


class PhpFpm(Receiver):
    """FastCGI over TCP: no protocol that proxyd knows, so its listeners name the site."""

    kind, title, package = "php-fpm", "php-fpm by itself", "php8.2-fpm"
    habits = "binds, duplicates the listener and closes the original; processes block in accept; executes itself again"
    restart_words = "USR2"
    ports = {"any": FastCgiPort, "checked": CheckedPort}
    stop_signal = signal.SIGQUIT
    sees_address = False
    log_pattern = r"Connection disallowed: IP address '{client}' has been dropped"
    load_scheme, load_expected = "any", "\x01\x06"  # version 1, FCGI_STDOUT

    @classmethod
    def listen(cls, workspace):
        return [{"address": f"{workspace.address}:{port}", "site": str(workspace.site(cls.kind))}
                for port in cls.ports.values()]

    @classmethod
    def routes(cls, workspace):
        return {"nobody.example.org": str(workspace.site("nobody"))}

    @property
    def load_hello(self):
        return fastcgi_request(self.own / "index.php")

    def command(self):
        self.write("index.php", "<?php echo 'served';")
        pools = [FpmPool.format(name="any", listen=f"0.0.0.0:{FastCgiPort}", user=FpmUser, more=""),
                 FpmPool.format(name="checked", listen=f"0.0.0.0:{CheckedPort}", user=FpmUser,
                                more="listen.allowed_clients = 127.0.0.11")]
        self.write("fpm.conf", FpmConfiguration.format(own=self.own) + "".join(pools))
        return ["php-fpm8.2", "-F", "-y", self.own / "fpm.conf"]

    def serve(self, scheme, source="127.0.0.11"):
        """Its log names whom it refuses, and it knows whom it may serve; so it knows addresses."""
        client = self.workspace.connect(self.load_hello, port=self.ports[scheme], source=source)
        text = client.read_to_end().decode(errors="replace")
        client.close()  # it waits for that
        assert "served" in text, text
        refused = self.workspace.connect(self.load_hello, port=CheckedPort, source=OtherSource)
        assert not refused.read_to_end_or_reset()
        refused.close()
        return text, refused.address

    def restart(self):
        self.old_children = self.pids()[1:]
        self.signal(signal.SIGUSR2)
        wait_until(lambda: len(set(self.pids()[1:]) - set(self.old_children)) == len(self.old_children), "new children")
        return self

    def wait_until_settled(self):
        wait_until(lambda: not set(self.pids()) & set(self.old_children), "the end of the old children")


class PhpSockets(Receiver):
    """A server written in PHP with socket_bind and its like, from the extension "sockets"."""

    kind, title, package = "php-sockets", "PHP's extension `sockets`", "php8.2-common"
    habits = "PHP before 8.5 loads extensions with RTLD_DEEPBIND: their calls go to libc, past every preloaded library"
    restart_words = "-"
    result = "doesn't work: it opens the port itself"
    server_port = 8081  # proxyd's is another, so that this one is free on the test's address

    def command(self):
        self.write("server.php", SocketsScript)
        return ["php", self.own / "server.php", self.workspace.address, self.server_port]


def fastcgi_request(script):
    """A GET of that script, and the connection is to be closed after it (FastCGI specification, section 3)."""
    def record(kind, content):
        return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content

    parameters = {"SCRIPT_FILENAME": str(script), "REQUEST_METHOD": "GET"}
    pairs = b"".join(bytes([len(key), len(value)]) + (key + value).encode() for key, value in parameters.items())
    return record(1, struct.pack("!HB5x", 1, 0)) + record(4, pairs) + record(4, b"") + record(5, b"")


def test_an_extension_of_php_opens_the_port_itself(workspace, request):
    server = PhpSockets(workspace, "--port", f"{HttpsPort}={PhpSockets.server_port}")
    server.wait_for_line(f"^listens on {workspace.address} {PhpSockets.server_port}$")
    client = workspace.connect(port=PhpSockets.server_port, source=Source)
    assert client.read_to_end().decode() == f"{client.address[0]} {client.address[1]}\n"
    assert list(server.site.iterdir()) == []
    server_table.state(request.path, PhpSockets, PhpSockets.result)


@with_servers(PhpServer, PhpServerWorkers, NginxFpm, PhpFpm)
class TestPhp(StandardExercises):
    pass


FpmUser = f"user = {User}\n" if os.geteuid() == 0 else ""
FpmConfiguration = """
[global]
pid = {own}/fpm.pid
error_log = /dev/stderr
daemonize = no
process_control_timeout = 30s
"""
FpmPool = """
[{name}]
{user}
listen = {listen}
pm = static
pm.max_children = 3
catch_workers_output = yes
{more}
"""
