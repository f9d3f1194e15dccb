# SPDX-License-Identifier: MIT
"""libpreload takes sockets that somebody holds for the server: inherited ones, and a keeper's."""

import array
import contextlib
import os
import signal
import socket
import sys
import threading

import preload_support as support
import pytest
from preload_support import PROGRAMS, environment_for, new_site, read_until, running


def new_site_socket(site, name):
    """As a keeper or systemd makes it."""
    prepared = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    prepared.bind(str(site.path / name))
    return prepared


class Keeper:
    """Holds a site's sockets of one port, and gives them to whoever binds it."""

    def __init__(self, site, count):
        self.path = site.path / ".keeper"
        self.sockets = [new_site_socket(site, f".443.kept-1-{n}.sock") for n in range(count)]
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.requests = []
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                with connection:
                    request = connection.recv(64)
                    rights = array.array("i", [one.fileno() for one in self.sockets])
                    connection.sendmsg([b"ok"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                    connection.recv(1)  # its end: bind is through
                    self.requests.append((request, site_files(self.path.parent)))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for one in [self.listener, *self.sockets]:
            one.close()


def site_files(path):
    return sorted(name for name in os.listdir(path) if not name.startswith("."))


@pytest.fixture
def site():
    with new_site() as site:
        yield site


@pytest.fixture
def keeper(site):
    keeper = Keeper(site, 2)
    yield keeper
    keeper.close()


@contextlib.contextmanager
def started(site, port, host="127.0.0.1", program="serve_forever", pass_fds=(), **variables):
    environment = environment_for(site, f"443={port}", **variables)
    with running([PROGRAMS / program, host, port], env=environment, pass_fds=pass_fds) as child:
        lines = []
        assert read_until(child, "ready", lines), lines
        yield child


def is_served(child, client):
    assert support.says_goodbye(client) == b"bye\n"
    client.close()
    lines = [child.stdout.readline().rstrip("\n") for _ in range(8)]
    assert "accept: ok" in lines
    return lines


def send_client(site, name):
    """A client in the queue of that site socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), support.DEADLINE_SECONDS)
        accepted = listener.accept()[0]
    with accepted:
        site.send(name, b"x", [accepted.fileno()])
    return client


def test_an_inherited_socket_keeps_its_name_and_its_queue(site):
    with new_site_socket(site, "443.sock") as prepared:
        os.set_inheritable(prepared.fileno(), True)
        early = send_client(site, "443.sock")
        with started(site, port := support.free_port(), pass_fds=[prepared.fileno()],
                     PROXYD_SOCKETS=f"80=0,nonsense,443={prepared.fileno()}") as child:
            is_served(child, early)
            is_served(child, send_client(site, "443.sock"))
            assert site.files() == ["443.sock"]
            child.send_signal(signal.SIGKILL)
            child.wait()
            waiting = send_client(site, "443.sock")
            with started(site, port, pass_fds=[prepared.fileno()],
                         PROXYD_SOCKETS=f"443={prepared.fileno()}") as second:
                is_served(second, waiting)
        assert site.files() == ["443.sock"]


def test_inherited_sockets_are_chosen_by_the_label_in_their_names(site):
    port = support.free_port()
    names = [f"443.6-any-{port}-0.sock", f"443.4-7f000001-{port}-0.sock"]
    with contextlib.ExitStack() as stack:
        prepared = [stack.enter_context(new_site_socket(site, name)) for name in names]
        numbers = [one.fileno() for one in prepared]
        for number in numbers:
            os.set_inheritable(number, True)
        sockets = ",".join(f"443={number}" for number in numbers)
        child = stack.enter_context(started(site, port, pass_fds=numbers, PROXYD_SOCKETS=sockets))
        assert site.files() == sorted(names)
        is_served(child, send_client(site, names[1]))


NumberComesAgain = """
import os, subprocess, sys, time
number = int(sys.argv[1])
def start():
    server = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[number])
    print(server.stdout.readline(), end="", flush=True)
    return server
first = start()
with open(f"/proc/{first.pid}/stat") as stat:
    started = int(stat.read().rpartition(")")[2].split()[19])
while time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") < started + 2:
    pass  # a tick or two, by which they differ
first.kill()
first.wait()
with open("/proc/sys/kernel/ns_last_pid", "w") as last:
    last.write(str(first.pid - 1))
other = subprocess.Popen(["sleep", "60"], pass_fds=[os.dup(number)], env={})
print(other.pid == first.pid)
for child in start(), other:
    child.kill()
    child.wait()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a PID namespace without more ado")
def test_a_process_that_has_got_the_number_of_the_dead_server_is_not_that(site):
    """Even if it has the socket open, or nobody can see whether it has."""
    with new_site_socket(site, "443.sock") as prepared:
        os.set_inheritable(prepared.fileno(), True)
        port = support.free_port()
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", NumberComesAgain,
                   str(prepared.fileno()), PROGRAMS / "serve_forever", "127.0.0.1", str(port)]
        environment = environment_for(site, f"443={port}", PROXYD_SOCKETS=f"443={prepared.fileno()}")
        with running(command, env=environment, pass_fds=[prepared.fileno()]) as child:
            assert child.stdout.read().splitlines() == ["ready", "True", "ready"]


def test_an_inherited_socket_follows_the_server_to_another_address(site):
    """It gets clients as long as it is held, whatever the server binds."""
    with new_site_socket(site, "443.sock") as prepared:
        os.set_inheritable(prepared.fileno(), True)
        inherited = {"pass_fds": [prepared.fileno()], "PROXYD_SOCKETS": f"443={prepared.fileno()}"}
        with started(site, port := support.free_port(), **inherited) as child:
            is_served(child, send_client(site, "443.sock"))
            child.send_signal(signal.SIGKILL)
            child.wait()
        waiting = send_client(site, "443.sock")
        with started(site, port, "127.0.0.2", **inherited) as child:
            is_served(child, waiting)
            assert site.files() == ["443.sock"]
            with started(site, port, **inherited):
                assert site.files() == [f"443.4-7f000001-{port}-0.sock", "443.sock"]


@pytest.mark.parametrize("what", ["pipe", "tcp", "other port", "closed"])
def test_descriptors_that_are_no_sockets_for_the_port_are_passed_over(site, what):
    with contextlib.ExitStack() as stack:
        if what == "pipe":
            number, other = os.pipe()
            stack.callback(os.close, number)
            stack.callback(os.close, other)
        elif what == "closed":
            number = 999
        else:
            one = (socket.socket() if what == "tcp" else new_site_socket(site, "80.sock"))
            number = stack.enter_context(one).fileno()
        inherited = [] if what == "closed" else [number]
        for one in inherited:
            os.set_inheritable(one, True)
        port = support.free_port()
        with started(site, port, pass_fds=inherited, PROXYD_SOCKETS=f"443={number}") as child:
            name = f"443.4-7f000001-{port}-0.sock"
            assert name in site.files()
            is_served(child, send_client(site, name))


@pytest.mark.parametrize("name", [".443.x.sock", "443.sock"], ids=["hidden", "visible"])
@pytest.mark.parametrize("what", ["removed", "of another directory"])
def test_prepared_sockets_without_a_file_in_the_site_are_passed_over(site, name, what):
    with new_site() as other, new_site_socket(other if what == "of another directory" else site, name) as prepared:
        if what == "removed":
            (site.path / name).unlink()
        os.set_inheritable(prepared.fileno(), True)
        port = support.free_port()
        with started(site, port, pass_fds=[prepared.fileno()], PROXYD_SOCKETS=f"443={prepared.fileno()}") as child:
            own = f"443.4-7f000001-{port}-0.sock"
            assert site.files() == [own]
            is_served(child, send_client(site, own))


def test_a_keeper_s_socket_outlives_the_server_with_its_queue(site, keeper):
    port = support.free_port()
    name = f"443.4-7f000001-{port}-0.sock"
    variables = {"PROXYD_KEEPER": str(keeper.path)}
    clients = []
    for _ in range(3):
        with started(site, port, **variables) as child:
            for client in clients:
                is_served(child, client)
            is_served(child, send_client(site, name))
            assert site.files() == [name]
            child.send_signal(signal.SIGKILL)
            child.wait()
            clients = [send_client(site, name) for _ in range(3)]
    support.wait_until(lambda: len(keeper.requests) == 3, "the keeper's requests")
    assert keeper.requests == [(b"443", [name])] * 3


def test_a_server_that_closes_all_descriptors_at_its_start_finds_its_keeper(site, keeper):
    port = support.free_port()
    with started(site, port, program="close_all", PROXYD_KEEPER=str(keeper.path)) as child:
        client = send_client(site, f"443.4-7f000001-{port}-0.sock")
        assert support.says_goodbye(client) == b"bye\n"
        client.close()
        assert child.wait(support.DEADLINE_SECONDS) == 0


def test_two_addresses_take_two_sockets_and_a_third_is_the_server_s_own(site, keeper):
    port = support.free_port()
    environment = environment_for(site, f"443={port}", PROXYD_KEEPER=str(keeper.path))
    with contextlib.ExitStack() as stack:
        for host in "127.0.0.1", "127.0.0.2", "127.0.0.3":
            command = [PROGRAMS / "serve_forever", host, port]
            child = stack.enter_context(running(command, env=environment))
            lines = []
            assert read_until(child, "ready", lines), lines
        names = [f"443.4-7f00000{n}-{port}-0.sock" for n in (1, 2, 3)]
        assert site.files() == names
        for child_name in names:
            send_client(site, child_name).close()
    # The keeper holds the first two.
    assert [site.is_alive(name) for name in names] == [True, True, False]


def test_a_live_server_has_the_kept_socket_s_address(site, keeper):
    port = support.free_port()
    variables = {"PROXYD_KEEPER": str(keeper.path)}
    command = [PROGRAMS / "serve_forever", "127.0.0.1", port]
    with started(site, port, **variables) as first:
        environment = environment_for(site, f"443={port}", **variables)
        with running(command, env=environment) as second:
            assert second.stdout.read() == "new_listener: Address already in use\n"
        is_served(first, send_client(site, site.files()[0]))


def test_reuse_port_shares_a_keeper_s_socket(site, keeper):
    """A queue of its own for each worker would wait for nobody once that worker is dead."""
    port = support.free_port()
    environment = environment_for(site, f"443={port}", PROXYD_KEEPER=str(keeper.path))
    with running([PROGRAMS / "reuse_port", "127.0.0.1", port], env=environment) as child:
        assert read_until(child, "ready", [])
        assert site.files() == [f"443.4-7f000001-{port}-0.sock"]


@pytest.mark.parametrize("path", ["/nowhere/at/all", "x" * 200, ""])
def test_without_an_answer_of_its_keeper_a_server_makes_a_socket_of_its_own(site, path):
    port = support.free_port()
    with started(site, port, PROXYD_KEEPER=path) as child:
        name = f"443.4-7f000001-{port}-0.sock"
        assert site.files() == [name]
        is_served(child, send_client(site, name))
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not site.is_alive(name)


def observed_without_options(site, port, edge, **variables):
    """What a server that sets no option observes of its listener and of a connection."""
    command = [PROGRAMS / "inherited_options", "127.0.0.1", port, "never"]
    with running(command, env=environment_for(site, f"{edge}={port}", **variables)) as child:
        assert read_until(child, "ready", [])
        with send_client(site, f"{edge}.4-7f000001-{port}-0.sock") as client:
            output = child.stdout.read()
            return output.replace(str(client.getsockname()[1]), "CLIENT").splitlines()


def test_the_options_of_the_dead_server_are_not_the_next_one_s(site, keeper):
    port = support.free_port()
    variables = {"PROXYD_KEEPER": str(keeper.path)}
    command = [PROGRAMS / "inherited_options", "127.0.0.1", port, "after-bind"]
    with running(command, env=environment_for(site, f"443={port}", **variables)) as child:
        assert read_until(child, "ready", [])
        child.send_signal(signal.SIGKILL)
        child.wait()
    kept = observed_without_options(site, port, 443, **variables)
    plain = observed_without_options(site, port, 80)
    local = [line for line in kept + plain if line.startswith("  local")]
    assert local and [line for line in kept if line not in local] == [
        line for line in plain if line not in local]
