# SPDX-License-Identifier: MIT
"""An ordinary server with Tornado: tornado_server.py PORT CERTIFICATE KEY [share]

GET / answers with how the server sees its client. SIGTERM ends it when its clients are served. With "share", several
of them may have the port.
"""

import asyncio
import signal
import ssl
import sys

import tornado.httpserver
import tornado.web


class Seen(tornado.web.RequestHandler):
    def get(self):
        host, port = self.request.connection.context.address[:2]
        print(f"seen {host} GET {self.request.uri}", flush=True)
        self.write(f"client {host} {port}\n")


async def main(port, certificate, key, share=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Seen)]), ssl_options=context)
    server.bind(int(port), reuse_port=bool(share))  # on 0.0.0.0 and on [::]
    server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.stop()
    await server.close_all_connections()


asyncio.run(main(*sys.argv[1:]))
