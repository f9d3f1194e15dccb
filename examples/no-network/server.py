# SPDX-License-Identifier: MIT
"""An ordinary HTTP server, which tells what it sees: its client, its network, and whether it gets out. Usage: server.py PORT"""

import http.server
import pathlib
import socket
import sys

Elsewhere = ("192.0.2.1", 80)  # an address of nobody (RFC 5737)


def interfaces():
    return " ".join(name for _, name in socket.if_nameindex()) or "none"


def way_out():
    with socket.socket() as attempt:
        attempt.settimeout(1)
        try:
            attempt.connect(Elsewhere)
        except TimeoutError:
            return "somewhere"
        except OSError as error:
            return error.strerror
        return "everywhere"


def queue_length():
    """How many clients wait in the kernel at most, if a socket were made now (unix(7)); without /proc nobody knows."""
    try:
        return int(pathlib.Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 1
    except OSError:
        return "unknown"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host, port = self.client_address
        body = f"{host}:{port}|{interfaces()}|{way_out()}|{queue_length()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
