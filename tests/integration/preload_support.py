# SPDX-License-Identifier: MIT
"""What the tests of libpreload and proxyrun share: a site directory, an edge that hands TCP
connections over as docs/HANDOFF.md says, and programs run with and without the library.

The built files are found through PROXYD_BUILD (the build directory).
"""

import array
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

BUILD = Path(os.environ.get("PROXYD_BUILD", Path(__file__).parents[2] / "build" / "dev"))
LIBRARY = BUILD / "lib" / "libpreload.so"
PROXYRUN = BUILD / "bin" / "proxyrun"
PROGRAMS = BUILD / "tests" / "programs"

CLIENT_ADDRESS = "127.0.0.77"
DEADLINE_SECONDS = 20


def wait_until(condition, what):
    """Returns the first true value of condition(), within the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.005)


def is_ipv6(host):
    return ":" in host


def family_of(host):
    return socket.AF_INET6 if is_ipv6(host) else socket.AF_INET


# Another user, who may pass through every directory, such as a home that is closed to others.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search",
          "--ambient-caps=+dac_read_search"]


def free_port():
    """A port that nobody uses, of either family; below those that the kernel gives to clients, one of
    whom might get it otherwise while no socket holds it."""
    while True:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            with contextlib.suppress(OSError):
                probe.bind(("::", random.randrange(10000, 32768)))
                return probe.getsockname()[1]


def loopback_for(host):
    """Where a client reaches a server that has bound `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def wire_header(source, destination, family):
    """A PROXY protocol version 2 header (section 2.2) for that connection."""
    packed = [socket.inet_pton(family, address[0]) for address in (source, destination)]
    body = b"".join(packed) + struct.pack("!HH", source[1], destination[1])
    code = 0x11 if family == socket.AF_INET else 0x21
    signature = b"\r\n\r\n\x00\r\nQUIT\n"
    return signature + struct.pack("!BBH", 0x21, code, len(body)) + body


class Site:
    """A site directory, and the sending half of the handoff."""

    def __init__(self, path):
        self.path = Path(path)
        self.directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def close(self):
        os.close(self.directory)

    def files(self):
        return sorted(name for name in os.listdir(self.path) if not name.startswith("."))

    def send(self, name, payload, descriptors):
        """One datagram to the site socket called `name`; waits while its queue is full."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(f"/proc/self/fd/{self.directory}/{name}")
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            sender.sendmsg([payload], rights if descriptors else [])

    def is_alive(self, name):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(f"/proc/self/fd/{self.directory}/{name}")
                return True
            except ConnectionRefusedError:
                return False

    def live_files(self, port):
        return [name for name in self.files() if name.startswith(f"{port}.") and
                self.is_alive(name)]

    def wait_for_files(self, port, count=1):
        return wait_until(lambda: len(self.live_files(port)) >= count and self.live_files(port),
                          f"{count} sockets for port {port} in {self.files()}")

    def hand_over(self, connection, port, turn=0):
        """Hands an accepted TCP connection to a live socket that suits it, and closes it."""
        with connection:
            suiting = "4d" if connection.family == socket.AF_INET else "6d"
            names = [name for name in self.live_files(port) if name.split(".")[1][0] in suiting]
            header = wire_header(connection.getpeername(), connection.getsockname(),
                                 connection.family)
            self.send(names[turn % len(names)], header, [connection.fileno()])


@contextlib.contextmanager
def new_site():
    directory = tempfile.mkdtemp(prefix="proxyd-site-")
    site = Site(directory)
    try:
        yield site
    finally:
        site.close()
        shutil.rmtree(directory)


class Edge:
    """Stands for proxyd: accepts TCP on a port and hands each connection to the site."""

    def __init__(self, site, host, port, site_port):
        self.site, self.site_port, self.turn = site, site_port, 0
        self.listener = socket.socket(family_of(host), socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6(host):
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.listener.bind((host, port))
        self.listener.listen(128)
        self.address = self.listener.getsockname()[:2]

    def close(self):
        self.listener.close()

    def connect(self, source=None):
        """A client's socket; its other end is in the server's queue when this returns."""
        if source is None and not is_ipv6(self.address[0]):
            source = CLIENT_ADDRESS
        client = socket.create_connection(self.address, timeout=DEADLINE_SECONDS,
                                          source_address=(source, 0) if source else None)
        self.hand_over_next()
        return client

    def hand_over_next(self):
        self.turn += 1
        self.site.hand_over(self.listener.accept()[0], self.site_port, self.turn)

    def hand_over_many(self, count):
        """In the background: clients may connect to `address` at their will."""

        def work():
            for _ in range(count):
                self.hand_over_next()

        threading.Thread(target=work, daemon=True).start()


@contextlib.contextmanager
def new_edge(site, site_port, host="127.0.0.1", port=0):
    edge = Edge(site, host, port, site_port)
    try:
        yield edge
    finally:
        edge.close()


def environment_for(site, ports, **more):
    return {**os.environ, "LD_PRELOAD": str(LIBRARY), "PROXYD_SITE": str(site.path),
            "PROXYD_PORTS": str(ports), **more}


@contextlib.contextmanager
def running(command, **options):
    """A child whose output goes to pipes as text; killed at the end if it still runs."""
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True, **options)
    # A test that waits for a line which never comes ends by this.
    watchdog = threading.Timer(DEADLINE_SECONDS, lambda: os.killpg(child.pid, signal.SIGKILL))
    watchdog.start()
    try:
        yield child
    finally:
        watchdog.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


def read_until(child, wanted, lines):
    """Reads the child's lines into `lines` up to one that is `wanted`; False at its end."""
    for line in child.stdout:
        if line.rstrip("\n") == wanted:
            return True
        lines.append(line.rstrip("\n"))
    return False


def says_goodbye(client):
    """What a tiny server sends before it closes."""
    data = b""
    while chunk := client.recv(64):
        data += chunk
    return data


def observe(program, host, arguments=(), preloaded=True, directory=PROGRAMS, **variables):
    """What a tiny server prints: a client comes each time that it says "ready"."""
    port = free_port()
    lines = []
    client_ports = []
    with contextlib.ExitStack() as stack:
        environment = {**os.environ, **variables}
        if preloaded:
            site = stack.enter_context(new_site())
            edge = stack.enter_context(new_edge(site, port, loopback_for(host), port))
            environment = environment_for(site, port, **variables)
        command = [directory / program, host, port, *arguments]
        child = stack.enter_context(running(command, env=environment))
        clients = []
        while read_until(child, "ready", lines):
            if preloaded:
                client = edge.connect()
            else:
                target = loopback_for(host)
                source = None if is_ipv6(target) else (CLIENT_ADDRESS, 0)
                client = socket.create_connection((target, port), DEADLINE_SECONDS, source)
            clients.append(stack.enter_context(client))
            client_ports.append(client.getsockname()[1])
        lines.append(f"exit code {child.wait(DEADLINE_SECONDS)}")
    return [normalised(line, port, client_ports) for line in lines]


def normalised(line, port, client_ports):
    line = re.sub(rf"\bport {port}\b", "port SERVER", line)
    for client_port in client_ports:
        line = re.sub(rf"\bport {client_port}\b", "port CLIENT", line)
    return line


def open_descriptors(pid):
    """What each descriptor of a process is."""
    descriptors = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            descriptors[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
    return descriptors


def make_certificate(directory):
    """A self-signed certificate and its key, for localhost."""
    certificate, key = Path(directory) / "certificate.pem", Path(directory) / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


def request(client, path="/", tls=False):
    """A whole HTTP/1.0 exchange over a connected socket; the answer as text."""
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client = context.wrap_socket(client, server_hostname="localhost")
    with client:
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    return answer.decode()
