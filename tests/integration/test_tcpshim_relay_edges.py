# SPDX-License-Identifier: MIT
"""tcpshim when something is missing: a backend that answers, descriptors, pipes; and what comes through proxyd."""

import contextlib
import http.client
import http.server
import os
import select
import signal
import socket
import threading

import pytest

from support import client_hello
from support.processes import DeadlineSeconds, descriptors_of
from support.relay_ends import RelayEnds, Transfer, nothing_left, random_bytes, read_to_end, read_to_reset, reset
from support.workspace import Port

Hello = client_hello.captured("blog.example.org")
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
Post = b"POST / HTTP/1.1\r\nHost: blog.example.org\r\nContent-Length: 3\r\n\r\nabc"
InternalErrorAlert = bytes([21, 3, 3, 0, 2, 2, 80])


def accept_any(ends):
    """The next connection at any of the backends, and at which."""
    ready, _, _ = select.select(ends.backends, [], [], DeadlineSeconds)
    assert ready, "no connection at any backend"
    index = ends.backends.index(ready[0])
    return ends.accept(index), index


@pytest.mark.parametrize("first_bytes", [b"", Hello, Hello[:50], Get, Get[:10]],
                         ids=["nothing", "hello", "part of a hello", "request", "part of a request"])
@pytest.mark.parametrize("is_reset", [False, True])
def test_a_backend_that_drops_its_client_is_replaced(workspace, first_bytes, is_reset):
    ends = RelayEnds(workspace, backends=2)
    client = ends.new_client()
    client.sendall(first_bytes)
    dropping, first = accept_any(ends)
    assert dropping.recv(len(first_bytes)) == first_bytes if first_bytes else True
    reset(dropping) if is_reset else dropping.close()
    answering = ends.accept(1 - first)
    received = b""
    while len(received) < len(first_bytes):
        received += answering.recv(10_000)
    assert received == first_bytes
    answering.sendall(b"answer")
    assert client.recv(100) == b"answer"
    client.sendall(b"more")
    assert answering.recv(100) == b"more"
    Transfer(client, answering, 1_000_000).check()
    Transfer(answering, client, 1_000_000).check()


@pytest.mark.parametrize("first_bytes", [Post, b"SSH-2.0-x\r\n", Hello + b"\x17\x03\x03\0\1x", Get + Get,
                                         b"GET /" + b"x" * 20_000],
                         ids=["POST", "SSH", "early data", "two requests", "a long request"])
def test_what_might_do_harm_is_not_repeated(workspace, first_bytes):
    ends = RelayEnds(workspace, backends=2)
    client = ends.new_client()
    client.sendall(first_bytes)
    dropping, first = accept_any(ends)
    received = b""
    while len(received) < len(first_bytes):
        received += dropping.recv(len(first_bytes))
    dropping.close()
    assert read_to_end(client) == b""
    ends.backends[1 - first].settimeout(0)
    with pytest.raises(BlockingIOError):
        ends.backends[1 - first].accept()


@pytest.mark.parametrize("first_bytes, answer", [
    (Hello, InternalErrorAlert),
    (Get, b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 63\r\nConnection: close\r\n\r\n"
          b"tcpshim: the server behind this name does not answer (refused)\n"),
    (b"SSH-2.0-x\r\n", b""),
], ids=["TLS", "HTTP", "SSH"])
def test_a_client_is_told_that_there_is_no_backend(workspace, first_bytes, answer):
    ends = RelayEnds(workspace)
    ends.backends[0].close()
    client = ends.new_client(first_bytes=first_bytes)
    assert read_to_end(client) == answer


def end_by_client(client, backend):
    client.shutdown(socket.SHUT_WR)
    assert backend.recv(1) == b""
    backend.close()


def end_by_backend(client, backend):
    backend.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    client.close()


@pytest.mark.parametrize("end, word", [
    (end_by_client, "client_closed"), (end_by_backend, "backend_closed"), (lambda client, _: reset(client), "client_reset"),
    (lambda _, backend: reset(backend), "backend_reset"),
], ids=["client", "backend", "client's reset", "backend's reset"])
def test_the_log_says_who_ended_it(workspace, end, word):
    ends = RelayEnds(workspace)
    client, backend = ends.new_pair()
    Transfer(client, backend, 1000, finish=False).check()
    Transfer(backend, client, 2000, finish=False).check()
    address = client.getsockname()
    end(client, backend)
    assert ends.ending_of(address) == word
    assert ends.shim.wait_for_line(r" to_backend=1000 to_client=2000 ")


def test_a_relay_where_nothing_moves_ends(workspace):
    ends = RelayEnds(workspace, idle_timeout="50ms")
    client, backend = ends.new_pair()
    address = client.getsockname()
    assert read_to_reset(client) == read_to_reset(backend) == b""
    assert ends.ending_of(address) == "idle_timeout"


def test_a_half_closed_relay_where_nothing_moves_ends(workspace):
    ends = RelayEnds(workspace, half_closed_timeout="50ms")
    client, backend = ends.new_pair()
    address = client.getsockname()
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(backend) == read_to_reset(client) == b""
    assert ends.ending_of(address) == "half_closed_timeout"


@pytest.mark.parametrize("version", [1, 2])
def test_the_backend_is_told_who_the_client_is_once(workspace, version):
    ends = RelayEnds(workspace, backends=2, proxy_protocol=version)
    client = ends.new_client(first_bytes=Get)
    host, port = client.getsockname()
    dropping, first = accept_any(ends)
    size = len(dropping.recv(10_000))
    dropping.close()
    answering = ends.accept(1 - first)
    received = b""
    while len(received) < size:
        received += answering.recv(10_000)
    assert received.endswith(Get)
    header = received.removesuffix(Get)
    if version == 1:
        assert header == b"PROXY TCP4 %s %s %d %d\r\n" % (
            host.encode(), ends._front.getsockname()[0].encode(), port, ends._front.getsockname()[1])
    else:
        assert header[:13] == b"\r\n\r\n\0\r\nQUIT\n!"
        assert header[16:20] == socket.inet_aton(host) and header[24:26] == port.to_bytes(2, "big")
    Transfer(client, answering, 100_000).check()
    Transfer(answering, client, 100_000).check()


@pytest.fixture
def unix_ends(workspace):
    path = workspace.path / "app.sock"
    listener = workspace.close_at_end(socket.socket(socket.AF_UNIX))
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen()
    listener.settimeout(DeadlineSeconds)
    ends = RelayEnds(workspace, to=[f"unix:{path}"])

    def new_pair():
        client = ends.new_client()
        backend, _ = listener.accept()
        backend.settimeout(DeadlineSeconds)
        return client, workspace.close_at_end(backend)

    ends.new_pair = new_pair
    return ends


def test_every_byte_goes_to_and_from_a_unix_socket(unix_ends):
    for size in (1, 20_000, 9_000_001):
        client, backend = unix_ends.new_pair()
        transfers = [Transfer(client, backend, size, seed=1), Transfer(backend, client, size, seed=2)]
        for transfer in transfers:
            transfer.check()


def test_a_slow_reader_of_what_a_unix_socket_says_gets_all(unix_ends):
    client, backend = unix_ends.new_pair()
    data = random_bytes(1 << 20, 6)
    backend.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += backend.send(data[sent % len(data):])
    backend.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == (data * (sent // len(data) + 1))[:sent]
    client.sendall(b"thanks")
    client.close()
    backend.settimeout(DeadlineSeconds)
    assert read_to_end(backend) == b"thanks"


def test_relays_go_on_without_pipes(workspace):
    # 48 descriptors: a few pipes at most, for many stalled relays.
    ends = RelayEnds(workspace, prefix=("prlimit", "--nofile=48:48"))
    pairs = [ends.new_pair(receive_buffer=4096) for _ in range(8)]
    sent = []
    data = random_bytes(1 << 20, 5)
    for client, backend in pairs:
        backend.sendall(b"x")  # settled
        assert client.recv(1) == b"x"
        backend.setblocking(False)
        sent.append(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                sent[-1] += backend.send(data[sent[-1] % len(data):])
    for (client, backend), count in zip(pairs, sent):
        backend.settimeout(DeadlineSeconds)
        backend.shutdown(socket.SHUT_WR)
        received = read_to_end(client)
        assert len(received) == count
        assert received == (data * (count // len(data) + 1))[:count]


def test_clients_beyond_the_limit_wait_where_they_are(workspace):
    ends = RelayEnds(workspace, prefix=("prlimit", "--nofile=48:48"))
    pairs = [ends.new_pair() for _ in range(8)]
    waiting = ends.new_client()
    ends.backends[0].settimeout(0)
    waiting.sendall(b"I wait")
    Transfer(*pairs[0], 100_000, finish=False).check()
    with pytest.raises(BlockingIOError):
        ends.backends[0].accept()
    ends.backends[0].settimeout(DeadlineSeconds)
    for end in pairs[0]:
        end.close()
    assert ends.accept().recv(100) == b"I wait"


def test_what_is_no_connection_is_dropped(workspace):
    ends = RelayEnds(workspace)
    with nothing_left(ends, lambda: sorted(each.partition("[")[0] for each in descriptors_of(ends.serving_pid()))):
        listener = workspace.close_at_end(socket.create_server((workspace.address, 0)))
        for other in (listener, socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), *socket.socketpair(),
                      *socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM), open("/dev/null"), open(__file__), *os.pipe()):
            number = other if isinstance(other, int) else other.fileno()
            socket.send_fds(ends._sender, [b""], [number])
            os.close(number) if isinstance(other, int) else other.close()
        client, backend = ends.new_pair()
        Transfer(client, backend, 1000).check()
        Transfer(backend, client, 1000).check()


def test_no_client_is_lost_when_it_stops(workspace):
    ends = RelayEnds(workspace)
    client, backend = ends.new_pair()
    worker = ends.serving_pid()
    os.kill(worker, signal.SIGSTOP)
    queued = ends.new_client()
    ends.shim.signal(signal.SIGTERM)
    os.kill(worker, signal.SIGCONT)
    queued_backend = ends.accept()
    for pair in ((client, backend), (queued, queued_backend)):
        Transfer(*pair, 1_000_000).check()
        Transfer(*reversed(pair), 1_000_000).check()
    assert ends.shim.wait_for_exit() == 0


def test_through_proxyd_and_back(workspace):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    ends = RelayEnds(workspace)
    address, port = ends.backends[0].getsockname()
    ends.backends[0].close()
    server = http.server.ThreadingHTTPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    workspace.start_proxyd(routes={"blog.example.org": str(ends.site)})
    connection = http.client.HTTPConnection(workspace.address, Port, timeout=DeadlineSeconds)
    for size in (0, 1, 1000, 3_000_000):  # kept alive
        body = random_bytes(size, size)
        connection.request("POST", "/", body, {"Host": "blog.example.org"})
        assert connection.getresponse().read() == body
    connection.close()
    server.shutdown()
    server.server_close()
