# SPDX-License-Identifier: MIT
"""Caddy, a dynamically linked program in Go, can't be reached by libpreload: what proxyrun says, and what would
happen otherwise."""

import os
import re
import shutil
import subprocess

from preload_support import LIBRARY
from support import server_table
from support.processes import DeadlineSeconds, program
from support.receiver_suite import Source
from support.workspace import free_port


class Caddy:
    title, package, restart_words = "Caddy, and other servers in Go", "caddy", "-"
    habits = "loads libc, but calls the kernel without it"
    result = "no: nothing can be preloaded; proxyrun says so, and the server would open the port itself"


def test_caddy_is_refused_and_would_open_the_port_itself(workspace, request):
    caddy = shutil.which("caddy")
    assert caddy, "install caddy"
    result = subprocess.run([program("proxyrun"), "--check", caddy], capture_output=True, text=True, timeout=DeadlineSeconds)
    assert (result.returncode, result.stdout, result.stderr) == (
        1, "", f"proxyrun: {caddy} is a Go program, which calls the kernel without libc, so nothing can be preloaded\n")

    site, own = workspace.site("caddy"), workspace.site("caddy-own")
    port = free_port(workspace.address)
    (own / "Caddyfile").write_text(Configuration.format(address=workspace.address, port=port))
    server = workspace.start(
        caddy, "run", "--config", own / "Caddyfile", "--adapter", "caddyfile",
        env={**os.environ, "HOME": str(own), "XDG_DATA_HOME": str(own), "XDG_CONFIG_HOME": str(own),
             "LD_PRELOAD": str(LIBRARY), "PROXYD_SITE": str(site), "PROXYD_PORTS": f"{port}", "PROXYD_TRACE": "1"})
    server.wait_for_line("serving initial configuration")
    hello = b"GET / HTTP/1.1\r\nHost: caddy.example.org\r\nConnection: close\r\n\r\n"
    client = workspace.connect(hello, port=port, source=Source)
    answer = client.read_to_end().decode()
    assert re.search(rf"^client {client.address[0]} {client.address[1]}$", answer, re.MULTILINE), answer
    assert list(site.iterdir()) == []
    assert not [line for line in server.lines if "libpreload" in line or "became" in line]
    server_table.state(request.path, Caddy, Caddy.result)


Configuration = """
{{
    admin off
    auto_https off
}}
http://{address}:{port} http://caddy.example.org:{port} {{
    bind {address}
    respond "client {{remote_host}} {{remote_port}}"
}}
"""
