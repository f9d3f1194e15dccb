# SPDX-License-Identifier: MIT
"""How a relay's ends see that it ends: in order if all was said and passed on, by a reset if it was cut off."""

import signal
import socket

from support.configured_relay import ConfiguredRelay
from support.relay_ends import RelayEnds, random_bytes, read_to_end, read_to_reset, reset
from support.workspace import wait_until

Request = b"POST / HTTP/1.0\r\n\r\n"


def talking_pair(ends):
    """Both have heard something."""
    client, backend = ends.new_pair(first_bytes=Request)
    assert backend.recv(100) == Request
    backend.sendall(b"part")
    assert client.recv(4) == b"part"
    return client, backend


def test_what_an_idle_timeout_cuts_off_is_reset(workspace):
    ends = RelayEnds(workspace, idle_timeout="100ms")
    client, backend = talking_pair(ends)
    address = client.getsockname()
    assert read_to_reset(client) == b"" and read_to_reset(backend) == b""
    assert ends.ending_of(address) == "idle_timeout"


def test_an_answer_that_stalls_does_not_look_whole(workspace):
    ends = RelayEnds(workspace, idle_timeout="500ms")
    client, backend = ends.new_pair(first_bytes=Request, receive_buffer=4096)
    address = client.getsockname()
    assert backend.recv(100) == Request
    answer = random_bytes(20_000_000, 1)
    backend.setblocking(False)
    sent = 0

    def is_stalled():
        nonlocal sent
        try:
            while True:
                sent += backend.send(answer[sent:sent + 100_000])
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    wait_until(is_stalled, "the reset of the backend")
    assert ends.ending_of(address) == "idle_timeout"
    part = read_to_reset(client)
    assert answer.startswith(part) and len(part) < len(answer)


def test_of_a_half_closed_relay_only_the_open_half_is_reset(workspace):
    ends = RelayEnds(workspace, half_closed_timeout="200ms")
    client, backend = talking_pair(ends)
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(backend) == b""
    assert read_to_reset(client) == b""
    client, backend = talking_pair(ends)
    backend.sendall(b" and all")
    backend.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == b" and all"
    assert read_to_reset(backend) == b""


def test_what_the_end_of_tcpshim_cuts_off_is_reset(workspace):
    relay = ConfiguredRelay(workspace, drain_timeout="100ms")
    pairs = [talking_pair(relay) for _ in range(2)]
    pairs[1][1].shutdown(socket.SHUT_WR)
    assert read_to_end(pairs[1][0]) == b""
    relay.shim.signal(signal.SIGTERM)
    assert relay.shim.wait_for_exit() == 0
    for end in (*pairs[0], pairs[1][1]):
        assert read_to_reset(end) == b""
    assert {relay.access_line(index)["ending"] for index in range(2)} == {"drain_timeout"}


def test_a_backend_may_end_its_half_before_anybody_speaks(workspace):
    ends = RelayEnds(workspace)
    client, backend = ends.new_pair()
    address = client.getsockname()
    backend.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == b""
    said = random_bytes(300_000, 2)
    client.sendall(said)
    client.close()
    assert read_to_end(backend) == said
    assert ends.ending_of(address) == "backend_closed"


def test_a_reset_before_anybody_speaks_is_one_for_the_client(workspace):
    ends = RelayEnds(workspace)
    client, backend = ends.new_pair()
    address = client.getsockname()
    talking_pair(ends)  # tcpshim has seen that the first one is connected: else it is a refusal
    reset(backend)
    assert read_to_reset(client) == b""
    assert ends.ending_of(address) == "no_backend"
