#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes what senders recorded in proxy_header/ again: the headers of haproxy and curl, with the client's first bytes.

The files made_*.bin are written by hand.
"""

import pathlib
import socket
import subprocess
import tempfile

Folder = pathlib.Path(__file__).parent / "proxy_header"
HaproxyConfiguration = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 2s
    timeout server 2s
listen here
    bind {address}:{front}
    server there 127.0.0.1:{back} {option}
"""


def first_bytes(listener):
    connection, _ = listener.accept()
    with connection:
        return connection.recv(65536)


def ask(address, port):
    """Once haproxy is there."""
    while True:
        try:
            with socket.create_connection((address, port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\n")
                client.recv(1)
                return
        except ConnectionRefusedError:
            pass


def capture_haproxy(name, address, option):
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.NamedTemporaryFile("w") as file:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            front = probe.getsockname()[1]
        file.write(HaproxyConfiguration.format(address=address, front=front, back=listener.getsockname()[1],
                                               option=option))
        file.flush()
        haproxy = subprocess.Popen(["/usr/sbin/haproxy", "-q", "-f", file.name])
        client = subprocess.Popen([__file__, "--ask", address, str(front)])
        (Folder / f"{name}.bin").write_bytes(first_bytes(listener))
        client.wait()
        haproxy.kill()
        haproxy.wait()


def capture_curl():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = subprocess.Popen(["curl", "-s", "--haproxy-protocol",
                                   f"http://127.0.0.1:{listener.getsockname()[1]}/"])
        (Folder / "curl_v1.bin").write_bytes(first_bytes(listener))
        client.wait()


if __name__ == "__main__":
    import sys
    if sys.argv[1:2] == ["--ask"]:
        ask(sys.argv[2], int(sys.argv[3]))
    else:
        capture_haproxy("haproxy_v1", "127.0.0.1", "send-proxy")
        capture_haproxy("haproxy_v2", "127.0.0.1", "send-proxy-v2")
        capture_haproxy("haproxy_v2_ipv6", "::1", "send-proxy-v2")
        capture_haproxy("haproxy_v2_options", "127.0.0.1", "send-proxy-v2 proxy-v2-options crc32c,unique-id")
        capture_curl()
