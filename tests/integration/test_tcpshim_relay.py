# SPDX-License-Identifier: MIT
"""tcpshim's relay: every byte arrives, in both directions, whoever closes, half-closes or resets first."""

import os
import socket
import threading

import pytest

from support.processes import DeadlineSeconds, children_of, descriptors_of, status_of
from support.relay_ends import (Echoes, RelayEnds, Transfer, nothing_left, random_bytes, read_to_end, read_to_reset,
                                reset)
from support.workspace import wait_until

IsLong = bool(os.environ.get("PROXYD_SOAK"))
MiB = 1 << 20
Sizes = [0, 1, 2, 1000, 16383, 16384, 16385, 65536, 65537, MiB + 1, 24 * MiB + 1]
AtOnce = 1000


@pytest.fixture
def ends(workspace):
    return RelayEnds(workspace)


def kinds_of_descriptors(ends):
    """Of all of tcpshim's processes, what each descriptor is, without the number by which it is told apart."""
    pids = [ends.shim.pid, *children_of(ends.shim.pid)]
    return sorted(descriptor.partition("[")[0] for pid in pids for descriptor in descriptors_of(pid))


@pytest.mark.parametrize("size", Sizes + ([1 << 30] if IsLong else []))
def test_every_byte_arrives_both_ways_at_the_same_time(ends, size):
    client, backend = ends.new_pair()
    transfers = [Transfer(client, backend, size, seed=1), Transfer(backend, client, size, seed=2)]
    for transfer in transfers:
        transfer.check()


def test_no_descriptor_or_pipe_is_left(ends):
    with nothing_left(ends, lambda: kinds_of_descriptors(ends)):
        for how in ("close", "reset", "half"):
            client, backend = ends.new_pair()
            Transfer(client, backend, MiB, finish=False).check()
            if how == "reset":
                reset(client)
                assert read_to_reset(backend) == b""
            elif how == "half":
                client.shutdown(socket.SHUT_WR)
                assert read_to_end(backend) == b""
            else:
                client.close()
                assert read_to_end(backend) == b""
            backend.close()


def test_a_client_that_has_ended_still_gets_its_answer(ends):
    client, backend = ends.new_pair()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(backend) == b"question"
    Transfer(backend, client, 3 * MiB).check()


def test_a_backend_that_has_ended_still_gets_what_its_client_sends(ends):
    client, backend = ends.new_pair()
    backend.sendall(b"banner")
    backend.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == b"banner"
    Transfer(client, backend, 3 * MiB).check()


def test_a_client_that_ends_before_it_says_anything_is_told_to_the_backend(ends):
    client, backend = ends.new_pair()
    client.shutdown(socket.SHUT_WR)
    assert backend.recv(1) == b""
    backend.sendall(b"farewell")
    backend.close()
    assert read_to_end(client) == b"farewell"


def test_a_server_that_speaks_first_is_heard(ends):
    client, backend = ends.new_pair()
    backend.sendall(b"220 ready\r\n")
    assert client.recv(100) == b"220 ready\r\n"
    client.sendall(b"EHLO there\r\n")
    assert backend.recv(100) == b"EHLO there\r\n"


def test_both_end_at_the_same_time(ends):
    client, backend = ends.new_pair()
    for end in (client, backend):
        end.sendall(b"last words")
        end.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == read_to_end(backend) == b"last words"


@pytest.mark.parametrize("first_bytes", [b"", b"something", b"\x16\x03\x01\x00\x05\x01\0\0\x01x", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_reset_of_the_client_reaches_the_backend(ends, first_bytes):
    client, backend = ends.new_pair()
    client.sendall(first_bytes)
    received = b""
    while len(received) < len(first_bytes):
        received += backend.recv(1000)
    reset(client)
    assert received + read_to_reset(backend) == first_bytes


def test_a_reset_of_the_backend_reaches_the_client(ends):
    client, backend = ends.new_pair()
    client.sendall(b"question")
    assert backend.recv(100) == b"question"
    backend.sendall(b"ans")
    assert client.recv(100) == b"ans"
    reset(backend)
    assert read_to_reset(client) == b""


def test_what_was_said_before_a_reset_is_heard(ends):
    client, backend = ends.new_pair()
    client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
    assert backend.recv(1000)
    client.sendall(b"x" * 1000)  # stays unread, so closing is a reset
    wait_until(lambda: backend.recv(1000, socket.MSG_PEEK | socket.MSG_DONTWAIT), "the body's begin")
    backend.sendall(b"HTTP/1.1 413 Too Large\r\n\r\n")
    backend.close()
    assert read_to_reset(client) == b"HTTP/1.1 413 Too Large\r\n\r\n"


def test_a_reset_reaches_a_backend_that_reads_nothing(ends):
    client, backend = ends.new_pair()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            client.send(b"x" * 65536)
    reset(client)
    read_to_reset(backend)


def test_a_reset_reaches_a_client_that_reads_nothing(ends):
    client, backend = ends.new_pair()
    backend.sendall(b"x")
    assert client.recv(1) == b"x"  # earlier, it would be a backend that could not be had
    backend.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            backend.send(b"x" * 65536)
    reset(backend)
    read_to_reset(client)


@pytest.mark.parametrize("from_client", [True, False])
def test_a_slow_reader_holds_its_sender_back(ends, from_client):
    client, backend = ends.new_pair(receive_buffer=4096)
    sender, receiver = (client, backend) if from_client else (backend, client)
    before = status_of(ends.serving_pid(), "VmRSS")
    data = random_bytes(MiB, 3)
    sender.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:  # until all buffers between the two are full
            sent += sender.send(data[sent % MiB:])
    assert status_of(ends.serving_pid(), "VmRSS") - before < 4096, "the buffers are the kernel's"
    sender.settimeout(DeadlineSeconds)
    sender.shutdown(socket.SHUT_WR)
    received = read_to_end(receiver)
    assert len(received) == sent
    assert received == (data * (sent // MiB + 1))[:sent]


def test_a_slow_writer_is_passed_on_byte_by_byte(ends):
    client, backend = ends.new_pair()
    data = random_bytes(300, 4)
    for index in range(len(data)):
        client.sendall(data[index:index + 1])
        assert backend.recv(100) == data[index:index + 1]
        backend.sendall(data[index:index + 1])
        assert client.recv(100) == data[index:index + 1]


def test_many_questions_and_answers_of_all_sizes(ends):
    client, backend = ends.new_pair()
    for size in (1, 20_000, 3, 200_000, 16_384, 5, 32_768, 1, 1, 70_000, 16_385, 2):
        Transfer(client, backend, size, seed=size, finish=False).check()
        Transfer(backend, client, size, seed=-size, finish=False).check()


def test_urgent_bytes_keep_their_place(ends):
    client, backend = ends.new_pair()
    client.sendall(b"before")
    assert backend.recv(100) == b"before"
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"after" * 10_000)
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(backend) == b"!" + b"after" * 10_000


def test_an_urgent_byte_keeps_its_place_even_if_it_comes_first(ends):
    client = ends.new_client(first_bytes=b"!", urgent=True)
    client.sendall(b"after")
    backend = ends.accept()
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(backend) == b"!after"


def test_urgent_bytes_of_a_backend_keep_their_place(ends):
    client, backend = ends.new_pair()
    backend.send(b"!", socket.MSG_OOB)  # the first byte of all
    assert client.recv(100) == b"!"
    backend.sendall(b"before")
    assert client.recv(100) == b"before"
    backend.send(b"?", socket.MSG_OOB)
    backend.sendall(b"after" * 10_000)
    backend.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == b"?" + b"after" * 10_000


def test_a_thousand_relays_at_once(ends, workspace):
    with nothing_left(ends, lambda: kinds_of_descriptors(ends)):
        echoes = Echoes(ends.backends[0])
        try:
            clients = [ends.new_client() for _ in range(AtOnce)]
            transfers = {}

            def talk(number, client):
                data = random_bytes(1 + number * 97 % 150_000, number)
                client.settimeout(4 * DeadlineSeconds)
                sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
                sender.start()
                transfers[number] = read_to_end(client) == data
                sender.join()
                client.close()

            # All are open at the same time, and some dozens move bytes at once.
            numbers = iter(enumerate(clients))
            lock = threading.Lock()

            def work():
                while True:
                    with lock:
                        number, client = next(numbers, (None, None))
                    if client is None:
                        return
                    talk(number, client)

            workers = [threading.Thread(target=work) for _ in range(32)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert len(transfers) == AtOnce and all(transfers.values())
        finally:
            echoes.close()
