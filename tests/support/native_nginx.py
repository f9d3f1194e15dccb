# SPDX-License-Identifier: MIT
"""nginx that receives handoffs by itself: patched, or as it comes with the module (patches/nginx).

Both are built here when they are not there yet. Each configuration has, in one server, a site socket for TLS and
one for plain HTTP, and an ordinary `listen` for each at an address of the test's own.
"""

import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from support.processes import Child, DeadlineSeconds, LogLinesMax
from support.servers import NginxUser, certificate_of_servers, files_directory, is_live_socket
from support.workspace import Port, wait_until

HttpPort, PlainPort, PlainHttpPort = 8080, 9443, 9080
Script = pathlib.Path(__file__).resolve().parents[2] / "patches" / "nginx" / "build.sh"
Installed = pathlib.Path(os.environ["PROXYD_BUILD"]) / "nginx"
BuildSeconds = 900
# nginx as it is doesn't give back all memory when it ends, and its dynamic modules have names that it has, too.
Environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:detect_odr_violation=0:abort_on_error=1"}


@functools.cache
def build(what, asan=False):
    """Returns the folder that it is in."""
    if what == os.environ.get("PROXYD_NGINX"):  # patches/nginx/build.sh --check has built it
        return pathlib.Path(os.environ["PROXYD_NGINX_DIRECTORY"])
    directory = Installed / (what + ("-asan" if asan else ""))
    command = [Script, "--core-only", "--into", directory, *(["--asan"] if asan else []), what]
    result = subprocess.run(command, capture_output=True, text=True, timeout=BuildSeconds)
    if result.returncode == 3:  # the archive doesn't have the source, or can't be reached
        pytest.skip(result.stderr.strip().splitlines()[-1])
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return directory


class Flavour:
    """A kind of nginx that receives handoffs: its binary, and how it is told to.

    `what` is how patches/nginx/build.sh calls it: a version that is patched, "module" for the installed nginx, or
    "module@SUITE" for another release's.
    """

    def __init__(self, what, **build_options):
        self.what, self.build_options = what, build_options
        self.is_patched = not what.startswith("module")

    @property
    def directory(self):
        return build(self.what, **self.build_options)

    @property
    def binary(self):
        return shutil.which("nginx") if self.what == "module" else str(self.directory / "sbin" / "nginx")

    def load(self, *modules):
        """The lines that load what the configuration needs."""
        modules = modules if self.is_patched else ["ngx_handoff_module.so"]
        return "".join(f"load_module {self.directory}/modules/{module};\n" for module in modules)

    def listen(self, path, options=""):
        return f"listen unix:{path} handoff {options};" if self.is_patched else f"listen_handoff unix:{path} {options};"

    def __str__(self):
        return self.what + ("-asan" if self.build_options else "")


class NativeNginx(Child):
    kind, scheme, host = "nginx", "https", "nginx.example.org"
    site_ports = (Port, HttpPort)

    def __init__(self, workspace, flavour, *, http="", server="", main="", events="", options="", launcher=(), stream="",
                 modules=(), sites=True, **process_options):
        self.flavour, self.workspace = flavour, workspace
        self.site = workspace.site(self.kind)
        self.own = workspace.site("nginx-own")
        self.uploads = workspace.site("nginx-own/uploads")
        self.uploads.chmod(0o777)
        self.access_log, self.pid_file = self.own / "access.log", self.own / "nginx.pid"
        self.configuration = self.own / "nginx.conf"
        self.has_sites = sites
        self.parts = {"http": http, "server": server, "main": main, "events": events, "options": options,
                      "stream": stream, "modules": modules}
        self.write_configuration()
        super().__init__([*launcher, *self.arguments()], cwd=workspace.path, start_new_session=True, env=Environment,
                         **process_options)
        workspace.children.append(self)

    def arguments(self):
        return [self.flavour.binary, "-c", str(self.configuration), "-e", "stderr"]

    def socket_path(self, port=Port):
        return self.site / f"{port}.sock"

    def write_configuration(self, **changes):
        self.parts.update(changes)
        parts = self.parts
        listens = [f"listen {self.workspace.address}:{PlainPort} ssl http2;",
                   f"listen {self.workspace.address}:{PlainHttpPort};"]
        if self.has_sites:
            listens += [self.flavour.listen(self.socket_path(), f"ssl http2 {parts['options']}"),
                        self.flavour.listen(self.socket_path(HttpPort), parts["options"])]
        self.configuration.write_text(Configuration.format(
            load=self.flavour.load(*parts["modules"]), user=NginxUser, own=self.own, listens="\n        ".join(listens),
            files=files_directory(self.workspace), certificate=certificate_of_servers(self.workspace),
            **{name: parts[name] for name in ("http", "server", "main", "events", "stream")}))

    def run(self, *arguments):
        """Another process of the same nginx with the same configuration."""
        return subprocess.run([*self.arguments(), *arguments], capture_output=True, text=True, env=Environment,
                              timeout=2 * DeadlineSeconds)

    def wait_until_ready(self):
        def is_ready():
            assert not self.process.poll(), "nginx ended"
            return all(is_live_socket(self.socket_path(port)) for port in self.site_ports) and self.master_pid()

        wait_until(is_ready, "nginx with its site sockets")
        return self

    def master_pid(self):
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.pid_file.read_text())
        return None

    def kill(self):
        """At once, all of it: its socket files stay."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait_for_exit()
        wait_until(lambda: not is_live_socket(self.socket_path()), "the end of all processes of nginx")

    def log(self):
        accesses = self.access_log.read_text().splitlines() if self.access_log.exists() else []
        return "\n".join([super().log(), *accesses[-LogLinesMax:]])

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait_for_exit()
        return [f"nginx: {line}" for line in self.lines
                if "exited on signal" in line and "on signal 9" not in line or "[alert]" in line
                or "AddressSanitizer" in line]


Configuration = """
daemon off;
env ASAN_OPTIONS;
{load}
worker_processes 2;
{user}
pid {own}/nginx.pid;
error_log stderr info;
{main}
events {{ worker_connections 1024; {events} }}
http {{
    log_format seen '$remote_addr "$request" $status "$handoff_name" "$handoff_id"';
    access_log {own}/access.log seen;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    client_max_body_size 0;
    sendfile on;
    ssl_certificate {certificate[0]};
    ssl_certificate_key {certificate[1]};
    ssl_session_cache shared:sessions:1m;
    {http}
    server {{
        {listens}
        server_name nginx.example.org;
        location / {{
            default_type text/plain;
            set $ends "client $remote_addr $remote_port local $server_addr $server_port";
            return 200 "nginx $ends protocol $server_protocol request $connection_requests\\n";
        }}
        location = /handoff {{
            default_type text/plain;
            return 200 "$handoff_name|$handoff_id|$proxy_protocol_addr|$proxy_protocol_port|$ssl_session_reused|$pid\\n";
        }}
        location /files/ {{ alias {files}/; }}
        location /uploads/ {{
            alias {own}/uploads/;
            dav_methods PUT;
        }}
        {server}
    }}
}}
{stream}
"""
