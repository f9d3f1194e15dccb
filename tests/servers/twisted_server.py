# SPDX-License-Identifier: MIT
"""An ordinary server with Twisted: twisted_server.py HTTP-PORT HTTPS-PORT CERTIFICATE KEY

GET / answers with how the server sees its client. SIGTERM ends it.
"""

import sys

from twisted.internet import endpoints, reactor
from twisted.web.resource import Resource
from twisted.web.server import Site


class Seen(Resource):
    isLeaf = True

    def render_GET(self, request):
        client = request.getClientAddress()
        print(f"seen {client.host} GET {request.uri.decode()}", flush=True)
        request.setHeader("Content-Type", "text/plain")
        return f"client {client.host} {client.port}\n".encode()


def main(http_port, https_port, certificate, key):
    site = Site(Seen())
    for description in [f"tcp:{http_port}", f"ssl:{https_port}:certKey={certificate}:privateKey={key}"]:
        endpoints.serverFromString(reactor, description).listen(site)
    reactor.run()


main(*sys.argv[1:])
