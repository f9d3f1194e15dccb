# SPDX-License-Identifier: MIT
"""libpreload: sites and their files, addresses, broken handoffs, one server after another."""

import contextlib
import os
import signal
import socket
import struct
import sys

import preload_support as support
import pytest
from preload_support import (CLIENT_ADDRESS, PROGRAMS, environment_for, new_edge, new_site, observe,
                             open_descriptors, read_until, running, says_goodbye, wire_header)


@contextlib.contextmanager
def server(site, port, host="127.0.0.1", program="serve_forever", **variables):
    """A preloaded tiny server that is ready; gives the child."""
    environment = environment_for(site, f"443={port}", **variables)
    with running([PROGRAMS / program, host, port], env=environment) as child:
        before = []
        assert read_until(child, "ready", before), before
        yield child


def what_it_prints_for(child, client):
    """The lines of the server about this client, once it has let it go."""
    assert says_goodbye(client) == b"bye\n"
    client.close()
    return [child.stdout.readline().rstrip("\n") for _ in range(8)]


@pytest.fixture
def site():
    with new_site() as site:
        yield site


@pytest.fixture
def tcp_pair():
    """Connected TCP sockets: the client's, and the one that proxyd would have accepted."""
    with contextlib.ExitStack() as stack:

        def connect(host="127.0.0.1", source=CLIENT_ADDRESS):
            listener = socket.create_server((host, 0), family=support.family_of(host))
            with listener:
                client = socket.create_connection(listener.getsockname()[:2],
                                                  support.DEADLINE_SECONDS, (source, 0))
                accepted = listener.accept()[0]
            stack.enter_context(client)
            stack.enter_context(accepted)
            return client, accepted

        yield connect


@pytest.mark.parametrize("variables", [
    {},
    {"PROXYD_SITE": ""},
    {"PROXYD_SITE": "relative/path"},
    {"PROXYD_SITE": "/tmp", "PROXYD_PORTS": "http"},
    {"PROXYD_SITE": "/tmp", "PROXYD_PORTS": "443=0"},
    {"PROXYD_SITE": "/tmp", "PROXYD_PORTS": "443,"},
    {"PROXYD_SITE": "/tmp", "PROXYD_PORTS": "65536"},
    {"PROXYD_SITE": "/tmp", "PROXYD_PORTS": "1"},
], ids=str)
def test_without_usable_variables_for_the_port_it_does_nothing(variables, monkeypatch):
    plain = observe("blocking_accept", "127.0.0.1", preloaded=False)
    monkeypatch.setenv("LD_PRELOAD", str(support.LIBRARY))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert observe("blocking_accept", "127.0.0.1", preloaded=False) == plain


@pytest.mark.parametrize("trace, is_traced", [("1", True), ("", False)])
def test_it_says_what_it_decides_only_when_it_is_asked_to(site, trace, is_traced):
    port = support.free_port()
    environment = environment_for(site, f"443={port}", PROXYD_TRACE=trace)
    command = [PROGRAMS / "serve_forever", "127.0.0.1", port]
    with running(command, env=environment) as child:
        lines = []
        assert read_until(child, "ready", lines)
        decision = (f"libpreload[{child.pid}]: fd 3: bind to 127.0.0.1:{port} became index 0 for "
                    f"port 443 in {site.path}/")
        assert lines == ([decision] if is_traced else [])


def test_the_port_is_not_opened_to_the_network(site):
    port = support.free_port()
    with server(site, port), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_socket_is_called_after_the_address_and_has_mode_0660(site):
    port = support.free_port()
    with server(site, port, "::"):
        assert site.files() == [f"443.d-any-{port}-0.sock"]
        assert os.stat(site.path / site.files()[0]).st_mode & 0o777 == 0o660


def test_a_site_whose_path_is_too_long_for_sun_path_works(tmp_path):
    long_path = tmp_path / ("x" * 100) / ("y" * 100)
    long_path.mkdir(parents=True)
    site = support.Site(long_path)
    port = support.free_port()
    with server(site, port) as child, new_edge(site, 443) as edge:
        assert what_it_prints_for(child, edge.connect())[2] == "accept: ok"
    site.close()


@pytest.mark.parametrize("problem, complaint", [
    ("missing", "Cannot assign requested address"),
    ("a file", "Cannot assign requested address"),
    ("not writable", "Permission denied"),
])
def test_an_unusable_site_makes_bind_fail(site, problem, complaint):
    path = site.path / "site"
    command = [PROGRAMS / "serve_forever", "127.0.0.1", port := support.free_port()]
    if problem == "a file":
        path.touch()
    if problem == "not writable":
        path.mkdir(mode=0o555)
        if os.getuid() == 0:
            site.path.chmod(0o755)
            command = [*support.NOBODY, *command]
    environment = environment_for(site, port, PROXYD_SITE=str(path))
    with running(command, env=environment) as child:
        assert child.stdout.read() == f"new_listener: {complaint}\n"


def test_an_ipv4_client_of_a_dual_stack_listener_is_reported_as_v4_mapped(site):
    with server(site, support.free_port(), "::") as child, new_edge(site, 443) as edge:
        client = edge.connect()
        port = client.getsockname()[1]
        lines = what_it_prints_for(child, client)
        assert f"address: [::ffff:{CLIENT_ADDRESS}] port {port}, length 28" in lines


def test_an_ipv6_client_of_an_ipv4_listener_has_an_address_of_the_listener_s_family(site, tcp_pair):
    program = PROGRAMS / "accept_arguments"
    port = support.free_port()
    observed = []
    with running([program, "127.0.0.1", port], env=environment_for(site, f"443={port}")) as child:
        while read_until(child, "ready", observed):
            _, accepted = tcp_pair("::1", "::1")
            site.send(site.files()[0], b"x", [accepted.fileno()])
    nobody = "length 16, then 02 00 port port" + " 00" * 12 + " 55" * 16
    assert f"with room for 16: {nobody}" in observed
    assert f"with room for 64: {nobody}" in observed


def test_a_client_that_is_gone_already_still_has_its_address(site, tcp_pair):
    with server(site, support.free_port()) as child:
        client, accepted = tcp_pair()
        source, destination = client.getsockname(), client.getpeername()
        # A reset: getpeername(2) says ENOTCONN from then on.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(OSError):
            accepted.getpeername()
        header = wire_header(source, destination, socket.AF_INET)
        site.send(site.files()[0], header, [accepted.fileno()])
        assert child.stdout.readline() == "errno after accept: 0\n"
        expected = f"address: {CLIENT_ADDRESS} port {source[1]}, length 16\n"
        assert child.stdout.readline() == expected


def test_a_client_that_nobody_knows_the_address_of_was_aborted(site, tcp_pair):
    with server(site, support.free_port()) as child:
        client, accepted = tcp_pair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        site.send(site.files()[0], b"no header", [accepted.fileno()])
        assert child.stdout.readline() == "accept: -1 Software caused connection abort\n"


def test_broken_handoffs_cost_nothing_but_themselves(site, tcp_pair):
    with contextlib.ExitStack() as stack:
        child = stack.enter_context(server(site, support.free_port()))
        edge = stack.enter_context(new_edge(site, 443))
        name = site.files()[0]
        before = open_descriptors(child.pid)

        pipe = os.pipe()
        stack.callback(lambda: [os.close(end) for end in pipe])
        datagram = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        _, accepted = tcp_pair()
        broken = [[], [pipe[0]], [datagram.fileno()], [listening.fileno()], [unix.fileno()],
                  [pipe[0], accepted.fileno(), pipe[1]]]
        for payload in b"", b"junk", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", b"x" * 5000:
            for descriptors in broken:
                site.send(name, payload, descriptors)
                assert "accept: ok" in what_it_prints_for(child, edge.connect())
        assert open_descriptors(child.pid) == before


def test_surplus_descriptors_are_closed_and_the_first_is_the_connection(site, tcp_pair):
    with server(site, support.free_port()) as child:
        before = open_descriptors(child.pid)
        client, accepted = tcp_pair()
        surplus = os.pipe()
        site.send(site.files()[0], b"", [accepted.fileno(), *surplus])
        accepted.close()
        for end in surplus:
            os.close(end)
        assert "accept: ok" in what_it_prints_for(child, client)
        assert open_descriptors(child.pid) == before


def test_what_arrives_is_the_very_socket(site, tcp_pair):
    """By its inode: the server's descriptor is proxyd's open file."""
    port = support.free_port()
    with running([sys.executable, "-c", (
            "import os, socket, sys\n"
            "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as listener:\n"
            "    print('ready', flush=True)\n"
            "    connection, _ = listener.accept()\n"
            "    print(os.fstat(connection.fileno()).st_ino)\n"), port],
                 env=environment_for(site, f"443={port}")) as child:
        assert read_until(child, "ready", [])
        _, accepted = tcp_pair()
        inode = os.fstat(accepted.fileno()).st_ino
        site.send(site.files()[0], b"x", [accepted.fileno()])
        assert child.stdout.read() == f"{inode}\n"


def test_500_connections_leave_no_descriptor_behind(site):
    with server(site, support.free_port()) as child, new_edge(site, 443) as edge:
        before = open_descriptors(child.pid)
        for _ in range(500):
            assert "accept: ok" in what_it_prints_for(child, edge.connect())
        assert open_descriptors(child.pid) == before


def test_a_crashed_server_leaves_nothing_in_the_way(site):
    port = support.free_port()
    environment = environment_for(site, f"443={port}")
    with running([PROGRAMS / "reuse_port", "127.0.0.1", port], env=environment) as child:
        assert read_until(child, "ready", [])
        assert len(site.files()) == 2
        child.send_signal(signal.SIGKILL)
    assert len(site.files()) == 2
    with server(site, port) as child, new_edge(site, 443) as edge:
        assert site.files() == [f"443.4-7f000001-{port}-0.sock"]
        assert "accept: ok" in what_it_prints_for(child, edge.connect())


def test_sockets_of_others_stay_in_the_directory(site):
    for name in "443.sock", "443.native.sock", "80.4-any-80-0.sock", "readme":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(site.path / name))
    port = support.free_port()
    with server(site, port):
        assert site.files() == sorted(["443.sock", "443.native.sock", "80.4-any-80-0.sock",
                                       "readme", f"443.4-7f000001-{port}-0.sock"])


def test_a_live_server_has_the_port(site):
    port = support.free_port()
    command = [PROGRAMS / "serve_forever", "127.0.0.1", port]
    with server(site, port) as first, new_edge(site, 443) as edge:
        with running(command, env=environment_for(site, f"443={port}")) as second:
            assert second.stdout.read() == "new_listener: Address already in use\n"
        assert "accept: ok" in what_it_prints_for(first, edge.connect())


def test_a_server_takes_over_when_it_is_told_to(site):
    port = support.free_port()
    with server(site, port, "0.0.0.0") as first, new_edge(site, 443) as edge:
        first.send_signal(signal.SIGSTOP)
        queued = edge.connect()
        with server(site, port, "127.0.0.1", PROXYD_TAKEOVER="1") as second:
            assert site.files() == [f"443.4-7f000001-{port}-0.sock"]
            assert "accept: ok" in what_it_prints_for(second, edge.connect())
            # Whoever was in the first one's queue is served by it.
            first.send_signal(signal.SIGCONT)
            assert "accept: ok" in what_it_prints_for(first, queued)
