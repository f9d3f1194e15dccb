# SPDX-License-Identifier: MIT
"""Real servers under proxyrun, described by one class each, and the exercises that each of them must pass.

Used by test_receiver_*.py. A file of these derives from `Receiver` for each server, and says

    @with_servers(Nginx, Lighttpd)
    class TestWebServers(StandardExercises):
        pass

Each server is started once and goes through the exercises in order: it serves and sees the client's address, it
serves 500 clients at 50 at once, it restarts while clients come, it stops; then its row in libpreload/README.md
(support/server_table.py) must say what it is. What a server does beyond that has tests of its own, for which
`start_server` gives a server that runs.
"""

import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import ssl

import pytest

from conftest import WorkspaceKey
from support import client_hello, server_table
from support.certificates import make_certificate
from support.load import Load, state_of
from support.processes import Child, DeadlineSeconds, children_of, client_descriptors_of, program
from support.servers import is_live_socket
from support.workspace import Port, Workspace, wait_until, wait_until_equal

HttpsPort, HttpPort = Port, 8080
Source = "127.0.0.11"
LoadCount, LoadAtOnce = 500, 50
# Clients that come while a server restarts, until it is done; "progress" is told after so many.
RestartAtOnce, ProgressStep = 10, 50
# Servers that can't be asked to restart are replaced: a second instance takes their place (proxyrun --takeover).
Takeover = "`--takeover`"


def descendants_of(pid):
    found = [pid]
    for parent in found:
        found += children_of(parent)
    return found


def udp_sockets():
    """As /proc/PID/fd calls them."""
    return {f"socket:[{row.split()[9]}]" for table in ("udp", "udp6")
            for row in pathlib.Path("/proc/net", table).read_text().splitlines()[1:]}


def is_alive(pid):
    return state_of(pid) not in ("Z", "")


def queued_handoffs_of(pids):
    """How many connections lie in site sockets that these processes hold (proc(5), fdinfo)."""
    count = 0
    for pid in pids:
        for entry in pathlib.Path(f"/proc/{pid}/fdinfo").glob("*"):
            with contextlib.suppress(OSError):
                count += sum(map(int, re.findall(r"^scm_fds:\s+(\d+)", entry.read_text(), re.MULTILINE)))
    return count


class Receiver(Child):
    """A server with its configuration in a directory of its own. A subclass says what stands here, and `command`."""

    kind = ""  # its site, and the first label of its name
    title = ""  # what the table calls it
    package = ""  # Debian's, for the version
    habits = ""  # of its listeners: what it does that not every server does, in words for the table
    restart_words = Takeover  # how it is restarted so that no client notices
    result = server_table.Works  # when it has passed the exercises
    ports = {"http": HttpPort}  # scheme: port, the same at proxyd and for the server
    sockets_count = None  # site sockets that are there when it is ready; None: one for each port
    log_pattern = None  # how its log shows a request: a pattern with {client} and {path}
    sees_port = True  # whether its answer to GET / contains "ADDRESS PORT" of the client, or else "ADDRESS"
    sees_address = True  # whether its answer contains that at all
    stop_signal = signal.SIGTERM
    proxyrun_options = ()
    stops_group = False  # whether that is for all its processes, as from a terminal or by systemd
    exit_codes = (0,)
    # What a client of the load sends to which port, and what its answer begins with. None: a plain GET if there is
    # a port for that, else a ClientHello.
    load_scheme, load_hello, load_expected = None, None, None
    load_until = "end"

    def __init__(self, workspace, *proxyrun_options, instance=1, **options):
        self.workspace = workspace
        self.site = workspace.site(self.kind)
        self.own = workspace.site(f"{self.kind}-own-{instance}")
        self.instance = instance
        for directory in (workspace.path, self.own):
            os.chmod(directory, 0o755)  # servers change their user
        command = self.command()
        if not shutil.which(str(command[0])):
            pytest.fail(f"{command[0]} is not there: install {self.package}")
        ports = [word for port in self.ports.values() for word in ("--port", port)]
        # A session of its own, so that none of its processes outlives the test.
        super().__init__([program("proxyrun"), "--site", self.site, *ports, *self.proxyrun_options,
                          *proxyrun_options, "--", *command],
                         cwd=self.own, start_new_session=True, **options)
        workspace.children.append(self)

    # What a subclass may say.

    def command(self):
        """Writes the configuration into `own`; returns the command that serves in the foreground."""
        raise NotImplementedError

    def restart(self):
        """With a new configuration or program, in the way that loses nobody; returns who serves after it. When it
        returns, the new processes serve, and `wait_until_settled` tells when the old ones are gone."""
        old = self.live_inodes()
        return type(self)(self.workspace, "--takeover", instance=self.instance + 1).wait_until_ready(without=old)

    def wait_until_settled(self):
        """Called on who served before a restart, when clients have come since: the old processes are gone."""
        wait_until(lambda: not self.clients() and not queued_handoffs_of(self.pids()),
                   f"an idle {self.kind} after another took its place")
        self.stop()

    def serve(self, scheme, source=Source):
        """One client from that address; returns what the server answered, and the client's address and port."""
        context = ssl.create_default_context(cafile=self.certificate()[0]) if scheme == "https" else None
        client = PinnedConnection(self.workspace.address, self.ports[scheme], self.host, source, context)
        with contextlib.closing(client):
            client.request("GET", f"/?{scheme}")
            address = client.sock.getsockname()
            answer = client.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return text, address

    # What all have.

    @property
    def host(self):
        return f"{self.kind}.example.org"

    def certificate(self):
        """The paths of a certificate and its key, which everybody may read: servers change their user."""
        paths = self.workspace.path / f"{self.host}.crt", self.workspace.path / f"{self.host}.key"
        if not paths[1].exists():
            make_certificate(self.workspace.path, self.host)
            os.chmod(paths[1], 0o644)
        return paths

    def write(self, name, text):
        path = self.own / name
        path.write_text(text)
        return path

    @classmethod
    def routes(cls, workspace):
        return {f"{cls.kind}.example.org": str(workspace.site(cls.kind))}

    @classmethod
    def listen(cls, workspace):
        """proxyd's."""
        return [f"{workspace.address}:{port}" for port in cls.ports.values()]

    def live_sockets(self):
        return sorted(path for path in self.site.glob("*.sock")
                      if not path.name.startswith(".") and is_live_socket(path))

    def live_inodes(self):
        return {os.stat(path).st_ino for path in self.live_sockets()}

    def is_running(self):
        return self.process.poll() is None

    def wait_until_ready(self, without=()):
        """Until it has its site sockets, none of which is one of those inodes."""
        count = self.sockets_count or len(self.ports)

        def is_ready():
            assert self.is_running(), f"{self.kind} ended"
            inodes = self.live_inodes()
            return len(inodes) == count and not inodes & set(without)

        wait_until(is_ready, f"{self.kind} with {count} site sockets")
        self.idle_sockets = client_descriptors_of(*self.pids())  # of other kinds, or left by a bind that failed
        return self

    def clients(self):
        """The sockets of clients that any of its processes holds."""
        return client_descriptors_of(*self.pids()) - self.idle_sockets - udp_sockets()

    def pids(self):
        """Of all its processes."""
        return descendants_of(self.pid)

    def log_files(self):
        return [path for path in sorted(self.own.glob("*.log")) if path.is_file()]

    def wait_for_request_of(self, client, path):
        """The server's own log, on standard output or a file *.log in its directory, knows the client."""
        pattern = self.log_pattern.format(client=re.escape(client), path=re.escape(path))

        def is_there():
            texts = ["\n".join(self.lines), *(file.read_text(errors="replace") for file in self.log_files())]
            return any(re.search(pattern, text, re.MULTILINE) for text in texts)

        wait_until(is_there, f"a line like {pattern} in the log")

    def log(self):
        files = (f"--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-30:])
                 for file in self.log_files())
        return "\n".join([super().log(), *files])

    def load(self, **options):
        scheme = self.load_scheme or ("http" if "http" in self.ports else next(iter(self.ports)))
        hello, expected, until = self.load_hello, self.load_expected or "HTTP/1.1 200", self.load_until
        if hello is None and scheme == "http":
            hello = f"GET / HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode()
        elif hello is None:
            hello, expected, until = client_hello.captured(self.host), "\x16\x03\x03", "answer"
        return Load(self.workspace, hello, port=self.ports[scheme], expect=expected, until=until, **options)

    def stop(self):
        """Cleanly, or this fails: no process and no site socket is left, and the exit code is a good one."""
        pids = self.pids()
        (os.killpg if self.stops_group else os.kill)(self.pid, self.stop_signal)
        code = self.wait_for_exit()
        assert code in self.exit_codes, f"{self.kind} ended with {code}"
        wait_until_equal(lambda: list(filter(is_alive, pids)), [])

    def end(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait_for_exit()
        return [f"{self.kind}: {line}" for line in self.lines if "exited on signal" in line or "Segmentation" in line]


class PinnedConnection(http.client.HTTPConnection):
    """To proxyd's address, under the server's name."""

    def __init__(self, address, port, name, source, context):
        super().__init__(address, port, timeout=DeadlineSeconds, source_address=(source, 0))
        self._name, self._context = name, context

    def connect(self):
        super().connect()
        if self._context:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)

    def putrequest(self, method, url, **_):
        super().putrequest(method, url, skip_host=True)
        self.putheader("Host", self._name)


@contextlib.contextmanager
def start_server(server_type, workspace, **configuration):
    """proxyd, and the server behind it; returns the server, whose `proxyd` is that."""
    proxyd = workspace.start_proxyd(listen=server_type.listen(workspace), routes=server_type.routes(workspace),
                                    **configuration)
    server = server_type(workspace).wait_until_ready()
    server.proxyd = proxyd
    yield server


def wait_for_more(load):
    """Until more clients have got their answer than had when this was called."""
    def told(lines):
        return [line for line in lines if line.startswith("done ")]

    so_far = len(told(load.lines))
    # One step for the clients that were on their way, another one for those that came since.
    load.wait_for(lambda lines: len(told(lines)) >= so_far + 2 or None, "more clients")


def assert_all_served(load):
    result = load.result()
    assert not result["failures"] and result["ok"] == result["clients"], result
    return result


def with_servers(*server_types):
    """Decorates a class of `StandardExercises`."""
    def decorate(exercises):
        exercises.server_types = server_types
        parameters = pytest.mark.parametrize("run", server_types, indirect=True, scope="class",
                                             ids=[server.kind for server in server_types])
        return parameters(exercises)

    return decorate


class Run:
    """One server's way through the exercises."""

    def __init__(self, server_type):
        self.server_type = server_type
        self.workspace = Workspace()
        self.passed = []
        self.server = None

    def start(self):
        self.proxyd = self.workspace.start_proxyd(listen=self.server_type.listen(self.workspace),
                                                  routes=self.server_type.routes(self.workspace))
        self.server = self.server_type(self.workspace).wait_until_ready()

    def wait_until_nobody_is_left(self):
        """proxyd has its listeners, and no client's socket."""
        wait_until(lambda: self.proxyd.tcp_descriptor_count() == len(self.server.ports), "proxyd without clients")

    def pass_exercise(self, name):
        self.passed.append(name)


class StandardExercises:
    """The group, the table's heading, is the name of the test file. Where an exercise makes no sense, a class says so
    by `test_... = None`, and leaves it out of `names`."""

    names = ["serves", "load", "restart", "stop"]

    @pytest.fixture(scope="class")
    def run(self, request):
        run = Run(request.param)
        try:
            run.start()
        except BaseException:
            log = "\n".join(child.log() for child in run.workspace.children)
            run.workspace.close()
            print(log)
            raise
        yield run
        complaints = run.workspace.close()
        assert not complaints, "\n".join(complaints)

    @pytest.fixture(autouse=True)
    def show_logs_of_children(self, run, request):
        request.node.stash[WorkspaceKey] = run.workspace

    def test_serves_and_sees_the_client(self, run):
        server = run.server
        for scheme in server.ports:
            text, (address, port) = server.serve(scheme)
            if server.sees_address:
                assert re.search(rf"\b{re.escape(address)}{f' {port}' if server.sees_port else ''}\b", text), text
            if server.log_pattern:
                server.wait_for_request_of(address, f"/?{scheme}")
            assert server.sees_address or server.log_pattern, "nobody has looked for the client's address"
        run.pass_exercise("serves")

    def test_500_clients_at_50_at_once(self, run):
        server = run.server
        result = assert_all_served(server.load(count=LoadCount, at_once=LoadAtOnce, seconds=60))
        assert result["ok"] == LoadCount
        wait_until(lambda: not server.clients(), f"{server.kind} without any client")
        run.wait_until_nobody_is_left()
        run.pass_exercise("load")

    def test_restarts_while_clients_come(self, run):
        old = run.server
        load = old.load(at_once=RestartAtOnce, seconds=10 * DeadlineSeconds, progress=ProgressStep)
        wait_for_more(load)
        run.server = old.restart()
        wait_for_more(load)
        old.wait_until_settled()
        wait_for_more(load)
        load.signal(signal.SIGTERM)
        assert_all_served(load)
        run.pass_exercise("restart")

    def test_stops(self, run):
        run.server.stop()
        assert run.server.live_sockets() == []
        run.wait_until_nobody_is_left()
        counts = run.proxyd.stop()
        assert counts["handed_over"] == counts["sessions"]
        run.pass_exercise("stop")

    def test_stands_in_the_table(self, run, request):
        assert run.passed == self.names, "it has not passed all the exercises"
        server_table.state(request.path, run.server_type, run.server_type.result)
