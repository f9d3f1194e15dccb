# SPDX-License-Identifier: MIT
"""Servers that proxyd reaches by TCP alone: nginx with TLS, which doesn't know of proxyd."""

import os

from support.processes import Child
from support.servers import NginxUser, certificate_of_servers, files_directory
from support.workspace import own_loopback_address, wait_until

Configuration = """
daemon off; {user} pid {own}/pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log {own}/access.log; client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
    ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};
    server {{
        listen {address}:{port} ssl;
        listen {address}:{plain_port};
        location / {{ return 200 "{name}\\n"; }}
        location /files/ {{ alias {files}/; }}
    }}
}}
"""


class TcpNginx(Child):
    """Answers with its name, by TLS at `port` and without at `plain_port`, both of its own address."""

    def __init__(self, workspace, name, port, plain_port):
        self.name = name
        self.address = own_loopback_address()
        self.port, self.plain_port = port, plain_port
        own = workspace.site(f"{name}-own")
        (own / "nginx.conf").write_text(Configuration.format(
            user=NginxUser, own=own, name=name, files=files_directory(workspace), address=self.address, port=port,
            plain_port=plain_port, certificate=certificate_of_servers(workspace)))
        super().__init__(["nginx", "-c", own / "nginx.conf", "-e", "stderr"], cwd=workspace.path)
        workspace.children.append(self)
        wait_until((own / "pid").exists, f"{name}")

    def where(self, port=None):
        return f"{self.address}:{port or self.port}"

    def end(self):
        """Its workers end with it."""
        if self.process.poll() is None:
            self.process.terminate()
        self.wait_for_exit()
        return []
