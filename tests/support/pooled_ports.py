# SPDX-License-Identifier: MIT
"""Python's own tests let the kernel choose their ports, but libpreload must know them: so this runs `python3 -m test`
in a Python whose TCP sockets get one of the given ports instead.

usage: pooled_ports.py PORT,PORT,... ARGUMENTS-OF-TEST...
"""

import errno
import itertools
import runpy
import socket
import sys

ports = [int(port) for port in sys.argv[1].split(",")]
turns = itertools.cycle(ports)
bind = socket.socket.bind


def bind_to_one_of_ours(self, address):
    is_tcp = self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM
    if is_tcp and isinstance(address, tuple) and address[1:2] == (0,):
        for port in itertools.islice(turns, len(ports)):
            try:
                return bind(self, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
    return bind(self, address)


socket.socket.bind = bind_to_one_of_ours
sys.argv = ["python3 -m test", *sys.argv[2:]]
runpy.run_module("test", run_name="__main__", alter_sys=True)
