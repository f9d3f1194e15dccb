# SPDX-License-Identifier: MIT
"""A small server for tests of proxyrun --keep: kept_server.py PORT [HOW]...

Says "serving PID INODE" with the inode of its listening socket, "got N" for each signal, and answers each client
with its PID. HOW: "daemon" (goes into the background first), "deaf" (never accepts), "fail=N" (ends with N instead of
binding), "more=N" (binds N more addresses), "after=N" (ends with N when it has bound), "default" (no handlers of signals), "stubborn" (goes on when it is
told to end).
"""

import os
import signal
import socket
import sys

port, how = int(sys.argv[1]), dict((word.split("=") + [""])[:2] for word in sys.argv[2:])


def said(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def got(number, frame):
    said("got", number)
    if number == signal.SIGTERM and "stubborn" not in how:
        os._exit(5)


if "fail" in how:
    os._exit(int(how["fail"]))
if "default" not in how:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
                   signal.SIGTTIN, signal.SIGTTOU, signal.SIGRTMIN + 3):
        signal.signal(number, got)
listener = socket.create_server(("127.0.0.1", port))
more = [socket.create_server((f"127.0.1.{number + 1}", port)) for number in range(int(how.get("more", "0")))]
if "after" in how:
    os._exit(int(how["after"]))
if "daemon" in how:
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
said("serving", os.getpid(), os.fstat(listener.fileno()).st_ino)
while "deaf" in how:
    signal.pause()
while True:
    connection, address = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(f"{os.getpid()}\n".encode())
