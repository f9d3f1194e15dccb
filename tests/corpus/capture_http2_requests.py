#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes what clients recorded in http2_request_head/ again: what each sends before a server has spoken.

Needs curl, and nghttp and h2load (Debian: nghttp2-client). The files made_*.bin are written by hand.
"""

import pathlib
import socket
import subprocess
import sys

QuietSeconds = 0.5
Folder = pathlib.Path(__file__).parent / "http2_request_head"
Host = "blog.example.org"

Curl = ["curl", "-s", "--http2-prior-knowledge", "--max-time", "2"]
Clients = {
    "curl_get": [*Curl, "--resolve", f"{Host}:{{port}}:127.0.0.1", f"http://{Host}:{{port}}/"],
    "curl_post": [*Curl, "-d", "a=b", "-H", f"Host: {Host}", "http://127.0.0.1:{port}/form"],
    "curl_large_cookie": [*Curl, "-H", f"Host: {Host}", "-H", "Cookie: " + "c=1; " * 5000, "http://127.0.0.1:{port}/"],
    "curl_ipv4_host": [*Curl, "http://127.0.0.1:{port}/"],
    "nghttp_get": ["nghttp", "-t", "2", "-H", f":authority: {Host}", "http://127.0.0.1:{port}/"],
    "nghttp_padded": ["nghttp", "-t", "2", "-b", "200", "-H", f":authority: {Host}", "http://127.0.0.1:{port}/"],
    "nghttp_continuation": ["nghttp", "-t", "2", "--continuation", "-H", f":authority: {Host}",
                            "http://127.0.0.1:{port}/"],
    "nghttp_no_dependencies": ["nghttp", "-t", "2", "--no-dep", "-H", f":authority: {Host}",
                               "http://127.0.0.1:{port}/"],
    "h2load": ["h2load", "-n", "1", "-c", "1", "-T", "2", "-N", "2", "-H", f":authority: {Host}",
               "http://127.0.0.1:{port}/"],
}


def capture(command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = subprocess.Popen([word.format(port=port) for word in command], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(QuietSeconds)
            data = b""
            try:
                while part := connection.recv(65536):
                    data += part
            except TimeoutError:
                pass  # it waits for us now
    client.kill()
    client.wait()
    return data


for name, command in Clients.items():
    if len(sys.argv) == 1 or name in sys.argv[1:]:
        (Folder / f"{name}.bin").write_bytes(capture(command))
