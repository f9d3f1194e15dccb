# SPDX-License-Identifier: MIT
"""An ordinary server with Python's http.server: http_server.py PORT ADDRESS FILES [CERTIFICATE KEY]

GET / answers with how it sees its client, GET /files/NAME with a file, PUT with the body's SHA-256.
"""

import hashlib
import http.server
import pathlib
import shutil
import socket
import ssl
import sys

PartBytes = 1 << 16


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    request_count = 0

    def do_GET(self):
        self.request_count += 1
        if self.path.startswith("/files/"):
            self.send_file(pathlib.Path(sys.argv[3]) / pathlib.Path(self.path).name)
        else:
            self.answer(self.description().encode())

    def do_PUT(self):
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left > 0:
            part = self.rfile.read(min(left, PartBytes))
            if not part:
                raise ConnectionError("the client left before the end of the body")
            digest.update(part)
            left -= len(part)
        self.answer(digest.hexdigest().encode())

    def description(self):
        client, local = (" ".join(map(str, address[:2]))
                         for address in (self.client_address, self.connection.getsockname()))
        return f"python client {client} local {local} protocol {self.request_version} request {self.request_count}\n"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, path):
        self.send_response(200)
        self.send_header("Content-Length", path.stat().st_size)
        self.end_headers()
        with open(path, "rb") as file:
            shutil.copyfileobj(file, self.wfile, PartBytes)


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET


server = Server((sys.argv[2], int(sys.argv[1])), Handler)
if len(sys.argv) > 4:  # as most do it: accept() of the listener makes connections with TLS
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[4:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
