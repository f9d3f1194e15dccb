# SPDX-License-Identifier: MIT
"""Servers that proxyd reaches by TCP alone: nginx with TLS, which doesn't know of proxyd."""

import os
import re
import signal

from support.processes import Child
from support.servers import NginxUser, certificate_of_servers, files_directory
from support.workspace import own_loopback_address, wait_until

Configuration = """
daemon off; {user} pid {own}/pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
    log_format seen '$remote_addr:$remote_port by=$proxy_protocol_addr:$proxy_protocol_port name=$ssl_server_name '
                    'reused=$ssl_session_reused connection=$connection_requests $request $status';
    access_log {own}/access.log seen; client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
    ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};
    ssl_session_cache shared:sessions:1m; ssl_protocols TLSv1.2 TLSv1.3;
    server {{
        listen {address}:{port} ssl http2 {listen_options};
        listen {address}:{plain_port} {listen_options};
        location / {{ return 200 "{name}\\n"; }}
        location /files/ {{ alias {files}/; }}
        {more}
    }}
}}
"""


class TcpNginx(Child):
    """Answers with its name, by TLS at `port` and without at `plain_port`, both of `address`, else of its own.

    `more` is what else its server block has, `prefix` what its command line begins with."""

    def __init__(self, workspace, name, port, plain_port, address=None, listen_options="", more="", prefix=()):
        self.name = name
        self.address = address or own_loopback_address()
        self.port, self.plain_port = port, plain_port
        own = workspace.site(f"{name}-own")
        self.access_log = own / "access.log"
        (own / "nginx.conf").write_text(Configuration.format(
            user=NginxUser, own=own, name=name, files=files_directory(workspace), address=self.address, port=port,
            plain_port=plain_port, listen_options=listen_options, more=more, certificate=certificate_of_servers(workspace)))
        (own / "pid").unlink(missing_ok=True)
        super().__init__([*prefix, "nginx", "-c", own / "nginx.conf", "-e", "stderr"], cwd=workspace.path,
                         start_new_session=True)
        workspace.children.append(self)
        wait_until((own / "pid").exists, f"{name}")

    def where(self, port=None):
        return f"{self.address}:{port or self.port}"

    def seen(self, pattern):
        """The first line of its own access log that is like that."""
        return wait_until(lambda: self.access_log.exists() and re.search(f"^{pattern}$", self.access_log.read_text(),
                                                                         re.MULTILINE), f"a request like {pattern}")

    def kill(self):
        """All of its processes at once."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait_for_exit()

    def end(self):
        """Its workers end with it."""
        if self.process.poll() is None:
            self.process.terminate()
        self.wait_for_exit()
        return []
