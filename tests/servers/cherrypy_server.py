# SPDX-License-Identifier: MIT
"""An ordinary server with CherryPy: cherrypy_server.py ADDRESS PORT

GET / answers with how the server sees its client. SIGTERM ends it when its clients are served.
"""

import sys

import cherrypy


class Seen:
    @cherrypy.expose
    def index(self, **_):
        client = cherrypy.request.remote
        return f"client {client.ip} {client.port}\n"


cherrypy.config.update({
    "server.socket_host": sys.argv[1], "server.socket_port": int(sys.argv[2]), "engine.autoreload.on": False})
cherrypy.quickstart(Seen())
