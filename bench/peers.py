# SPDX-License-Identifier: MIT
"""Who is measured: how each is configured, started, reloaded, upgraded. All lead the same names to the
same backend, with one thread each; what isn't written here is as each comes."""

import json
import pathlib
import re
import shutil
import signal
import socket

from peer import Peer, Restarted, version_of
from processes import ConnectionsMax, DescriptorLimit, file_text, wait_for


class Direct(Peer):
    """No proxy: the limit."""
    name = "direct"

    def launch(self):
        pass


class Proxyd(Peer):
    name = "proxyd"
    offset = 1
    reload_is, upgrade_is, has_master = "SIGHUP", "SIGUSR2", True

    @classmethod
    def version(cls, place):
        return version_of(place.program("proxyd"), "--version")

    def routes(self):
        return {name: str(self.place.site) for name in self.names}

    def configure(self):
        configuration = {"listen": [f"{self.place.address}:{self.port}"], "workers": 1, "user": "nobody",
                         "control": str(self.directory / "control.sock"), "access_log": str(self.directory / "access.log"),
                         "routes": self.routes()}
        self.write("proxyd.json", json.dumps(configuration, indent=0))

    def launch(self):
        self.run(self.place.program("proxyd"), "--config", self.directory / "proxyd.json")

    def main(self):
        """After an upgrade it has the same number."""
        return self.group.popens[0].pid

    def reload(self):
        self.say(signal.SIGHUP)

    def upgrade(self):
        self.say(signal.SIGUSR2)


class Tcpshim(Proxyd):
    """The relay, for servers on other machines: proxyd, and tcpshim behind it."""
    name = "proxyd+tcpshim"
    offset = 2
    connections_max = DescriptorLimit * 3 // 8  # a quarter of the descriptors is for pipes

    def routes(self):
        return {"*": {"tcp": [self.place.backend]}}

    def configure(self):
        configuration = {"listen": [f"{self.place.address}:{self.port}"], "workers": 1, "user": "nobody",
                         "control": str(self.directory / "control.sock"), "access_log": str(self.directory / "access.log"),
                         "tcpshim": {"directory": str(self.directory / "tcp"), "control": str(self.directory / "tcpshim.sock"),
                                     "access_log": str(self.directory / "relayed.log")},
                         "routes": self.routes()}
        self.write("proxyd.json", json.dumps(configuration, indent=0))


class Haproxy(Peer):
    name = "HAProxy"
    offset = 3
    package = "haproxy"
    reload_is, upgrade_is, has_master = "SIGUSR2", "SIGUSR2", True  # which runs the new program in any case

    @classmethod
    def version(cls, place):
        return version_of("haproxy", "-v")

    def configure(self):
        routes = self.write("names.map", "".join(f"{name} site\n" for name in self.names))
        self.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn {self.connections_max}
    stats socket {self.directory}/admin.sock mode 660 level admin expose-fd listeners
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend tls
    bind {self.place.address}:{self.port}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend %[req.ssl_sni,lower,map_str({routes},none)]
backend site
    server nginx {self.place.backend}
backend none
""")

    def launch(self):
        self.run("haproxy", "-W", "-db", "-f", self.directory / "haproxy.cfg")

    def reload(self):
        self.say(signal.SIGUSR2)

    upgrade = reload


def stream_module():
    path = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    return f"load_module {path};" if path.exists() else ""


class Nginx(Peer):
    name = "nginx stream"
    offset = 4
    package = "nginx libnginx-mod-stream"
    reload_is, upgrade_is, has_master = "SIGHUP", "SIGUSR2, SIGQUIT to the old one", True

    @classmethod
    def version(cls, place):
        return version_of("nginx", "-v")

    def configure(self):
        rows = "\n".join(f"{name} site;" for name in self.names)
        self.write("nginx.conf", f"""
{stream_module()}
worker_processes 1;
pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{ worker_connections {2 * self.connections_max}; }}
stream {{
    map_hash_max_size 262144; map_hash_bucket_size 128;
    map $ssl_preread_server_name $chosen {{
        {rows}
    }}
    upstream site {{ server {self.place.backend}; }}
    server {{
        listen {self.place.address}:{self.port} backlog=4096;
        ssl_preread on;
        proxy_pass $chosen;
        proxy_timeout 1h;
    }}
}}
""")

    def launch(self):
        """As a daemon: else it takes no USR2."""
        (self.directory / "pid").unlink(missing_ok=True)
        self.run(shutil.which("nginx"), "-p", self.directory, "-c", self.directory / "nginx.conf")

    def serves(self):
        return bool(file_text(self.directory / "pid").strip()) and super().serves()

    def main(self):
        return int(file_text(self.directory / "pid"))

    def reload(self):
        self.say(signal.SIGHUP)

    def upgrade(self):
        old = self.main()
        self.say(signal.SIGUSR2)
        wait_for(lambda: (number := file_text(self.directory / "pid").strip()) and int(number) != old, "a new nginx")
        wait_for(lambda: file_text(f"/proc/{self.main()}/task/{self.main()}/children").split(), "its worker")
        self.say(signal.SIGQUIT, old)


class Sniproxy(Restarted, Peer):
    name = "sniproxy"
    offset = 5
    package = "sniproxy"
    names_max = 1000
    reload_is = "SIGHUP"

    @classmethod
    def version(cls, place):
        return version_of("sniproxy", "-V")

    def configure(self):
        rows = "\n".join("    ^" + name.replace(".", "\\.") + f"$ {self.place.backend}" for name in self.names)
        self.write("sniproxy.conf", f"""
user nobody
pidfile {self.directory}/pid
error_log {{
    filename {self.directory}/error.log
}}
listen {self.place.address}:{self.port} {{
    proto tls
    table names
}}
table names {{
{rows}
}}
""")
        self.directory.chmod(0o777)

    def launch(self):
        self.run("sniproxy", "-f", "-n", 2 * self.connections_max, "-c", self.directory / "sniproxy.conf")

    def working_pids(self):
        """Not the one that binds for it."""
        return [self.main()]

    def reload(self):
        self.say(signal.SIGHUP)


class Sslh(Restarted, Peer):
    """As it comes: one process for each connection."""
    name = "sslh"
    offset = 6
    package = "sslh"
    program = "sslh"
    has_process_for_each = True
    names_max = 1000

    @classmethod
    def version(cls, place):
        return version_of(cls.program, "-V")

    def configure(self):
        host, port = self.place.backend.split(":")
        rows = ", ".join(f'"{name}"' for name in self.names)
        self.write("sslh.cfg", f"""
foreground: true; inetd: false; numeric: true; timeout: 5; user: "nobody"; pidfile: "{self.directory}/pid";
listen: ( {{ host: "{self.place.address}"; port: "{self.port}"; }} );
protocols: ( {{ name: "tls"; host: "{host}"; port: "{port}"; sni_hostnames: [ {rows} ]; log_level: 0; }} );
""")
        self.directory.chmod(0o777)

    def launch(self):
        self.run(self.program, "-F" + str(self.directory / "sslh.cfg"))


class SslhSelect(Sslh):
    """One process for all, which select(2) holds to 1,024 descriptors."""
    name = "sslh-select"
    has_process_for_each = False
    offset = 7
    program = "sslh-select"
    connections_max = 400


class Socat(Restarted, Peer):
    name = "socat"
    offset = 8
    package = "socat"
    has_process_for_each = True
    by_name = False
    connections_max = 1000  # with a process for each

    @classmethod
    def version(cls, place):
        return version_of("socat", "-V")

    def launch(self):
        self.run("socat", f"TCP-LISTEN:{self.port},bind={self.place.address},fork,reuseaddr,backlog=4096",
                 f"TCP:{self.place.backend}")


class SocketProxyd(Restarted, Peer):
    name = "systemd-socket-proxyd"
    offset = 9
    package = "systemd"
    by_name = False
    connections_max = ConnectionsMax // 3 - 100  # six descriptors each
    program = "/lib/systemd/systemd-socket-proxyd"

    @classmethod
    def version(cls, place):
        return re.sub(r"-.*", "", version_of(cls.program, "--version"))

    def launch(self):
        listener = socket.create_server((self.place.address, self.port), backlog=4096)
        listener.setblocking(False)
        self.run("sh", "-c", f"exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec {self.program} "
                 f"--connections-max={self.connections_max} {self.place.backend}", pass_fds=[listener.fileno()])
        listener.close()


Peers = {peer.name: peer for peer in (Direct, Proxyd, Tcpshim, Haproxy, Nginx, Sniproxy, Sslh, SslhSelect, Socat, SocketProxyd)}
