# SPDX-License-Identifier: MIT
"""A service manager, as far as it listens to its services (sd_notify(3))."""

import socket

from support.processes import DeadlineSeconds


class Notifications:
    """The manager's end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(DeadlineSeconds)

    def next(self):
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def wait_for(self, variable):
        """The next message with that variable, and those before it."""
        before = []
        while variable not in (message := self.next()):
            before.append(message)
        return message, before

    def none_for(self, seconds):
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
            return False
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(DeadlineSeconds)

    def drain(self):
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(4096)
        except BlockingIOError:
            self._socket.settimeout(DeadlineSeconds)

    def close(self):
        self._socket.close()
