# SPDX-License-Identifier: MIT
"""The server behind all of them: one nginx with one worker, one certificate and the same files, which
listens on a TCP port for everybody, and, under libpreload, receives from proxyd."""

import contextlib
import os
import pathlib
import pwd
import re
import socket
import subprocess

from processes import ConnectionsMax, Group, wait_for

HandoffPort = 9443  # what nginx believes to bind; proxyrun makes it a site socket


@contextlib.contextmanager
def unix_queue(length):
    """How many clients wait in a site socket that is made meanwhile."""
    setting = pathlib.Path("/proc/sys/net/unix/max_dgram_qlen")
    before = setting.read_text()
    if length > int(before):
        setting.write_text(str(length))
    try:
        yield
    finally:
        setting.write_text(before)


class Backend:
    def __init__(self, place, client_ports):
        self.place = place
        self.group = Group()
        self.directory = place.directory / "backend"
        self.directory.mkdir()
        self.ports = {port: HandoffPort + number for number, port in enumerate(client_ports)}
        place.site.mkdir()
        # proxyd's workers are nobody, and may write to what belongs to the directory's group.
        os.chown(place.site, 0, pwd.getpwnam("nobody").pw_gid)
        place.site.chmod(0o2775)

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=n0.example.org", "-days", "30", "-addext", "subjectAltName=DNS:*.example.org",
                        "-keyout", self.directory / "key.pem", "-out", self.directory / "cert.pem"],
                       check=True, capture_output=True)

    def make_files(self, big_bytes):
        files = self.directory / "files"
        files.mkdir()
        (files / "1k").write_bytes(b"x" * 1024)
        with open(files / "big", "wb") as big:
            big.truncate(big_bytes)

    def start(self, big_bytes, queue=0):
        self.make_certificate()
        self.make_files(big_bytes)
        listens = "\n".join(f"listen {self.place.address}:{port} ssl backlog=4096;" for port in self.ports.values())
        (self.directory / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; user root;
pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{ worker_connections {ConnectionsMax * 2}; }}
http {{
    access_log off;
    ssl_certificate {self.directory}/cert.pem;
    ssl_certificate_key {self.directory}/key.pem;
    ssl_session_cache shared:tls:10m;
    keepalive_timeout 1h; keepalive_requests 1000000; client_header_timeout 1h; client_body_timeout 1h; lingering_time 1h;
    server {{
        listen {self.place.backend} ssl backlog=4096;
        {listens}
        root {self.directory}/files;
        client_max_body_size 0;
        location = /upload {{ return 200 "read\\n"; }}
    }}
}}
""")
        with unix_queue(queue):
            self.launch()

    def launch(self):
        pairs = [word for client, bound in self.ports.items() for word in ("--port", f"{client}={bound}")]
        self.group.run(self.place.program("proxyrun"), "--site", self.place.site, *pairs, "--", "nginx", "-p", self.directory,
                       "-c", self.directory / "nginx.conf", log=self.directory / "log")
        wait_for(self.serves, "the backend's start")

    def serves(self):
        try:
            socket.create_connection((self.place.address, self.place.backend_port), 1).close()
            return True
        except OSError:
            return False

    def processor_seconds(self):
        return self.group.processor_seconds()

    def close(self):
        self.group.close()


def version():
    done = subprocess.run(["nginx", "-V"], capture_output=True, text=True)
    found = re.search(r"nginx/([\d.]+)[\s\S]*?built with (OpenSSL [\d.]+)", done.stderr)
    return f"nginx {found.group(1)}, {found.group(2)}" if found else "nginx"
