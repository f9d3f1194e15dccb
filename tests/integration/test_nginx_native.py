# SPDX-License-Identifier: MIT
"""nginx that receives handoffs by itself, behind proxyd: patched, and with the module."""

import array
import hashlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys

import pytest

from support.http_clients import Curl
from support.load import Load, state_of
from support.native_nginx import Flavour, HttpPort, NativeNginx, PlainPort, Script
from support.processes import DeadlineSeconds, children_of, descriptors_of
from support.servers import certificate_of_servers, files_directory, is_live_socket
from support.workspace import Port, wait_until

Source = "127.0.0.11"
BigBytes = 8 << 20
IsLong = bool(os.environ.get("PROXYD_SOAK"))
LoadCount, LoadAtOnce = (10000, 200) if IsLong else (1500, 100)

# The installed nginx with the module, and the same version patched; in the long form, the others, too.
Kinds = ["module", "1.22.1", *(["1.26.3", "module@trixie", "module@sid"] if IsLong else [])]
Flavours = [Flavour(kind) for kind in ([os.environ["PROXYD_NGINX"]] if "PROXYD_NGINX" in os.environ else Kinds)]
Patched = [flavour for flavour in Flavours if flavour.is_patched]
EveryFlavour = pytest.mark.parametrize("flavour", Flavours, ids=str)
Get = f"GET / HTTP/1.1\r\nHost: {NativeNginx.host}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def start(workspace):
    """proxyd, and nginx behind it."""
    def start(flavour, listeners=None, **options):
        listen = listeners or [f"{workspace.address}:{port}" for port in NativeNginx.site_ports]
        certificate_of_servers(workspace)
        start.proxyd = workspace.start_proxyd(listen=listen, routes={NativeNginx.host: str(workspace.site("nginx"))})
        return NativeNginx(workspace, flavour, **options).wait_until_ready()

    return start


@pytest.fixture
def curl(workspace):
    return Curl(workspace, source=Source)


def handoff_of(answer):
    return dict(zip(("name", "id", "stated", "stated_port", "reused", "pid"), answer.text.strip().split("|")))


def tcp_sockets():
    """As ss(8) has them: the peer's address, and the timer."""
    rows = subprocess.run(["ss", "-Htno"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [row.split() for row in rows]
    return [{"peer": (row[4].rpartition(":")[0], int(row[4].rpartition(":")[2])),
             "timer": row[5].removeprefix("timer:(") if len(row) > 5 else ""} for row in found if len(row) > 4]


def load_of(workspace, **options):
    return Load(workspace, Get, port=HttpPort, at_once=LoadAtOnce, **options)


def assert_all_served(result, at_least=1):
    assert result["ok"] == result["clients"] >= at_least, result


@EveryFlavour
def test_it_sees_the_real_client_and_what_proxyd_knows(workspace, start, curl, flavour):
    nginx = start(flavour)
    for port, version in ((Port, "--http1.1"), (Port, "--http2"), (HttpPort, "--http1.1")):
        curl.port = port
        nginx.scheme = "https" if port == Port else "http"
        answer = curl.request(nginx, "/", version)
        seen = answer.seen()
        assert seen["client"] == answer.client and seen["client"].split()[0] == Source
        assert seen["local"] == f"{workspace.address} {port}"
        assert seen["protocol"] == ("HTTP/2.0" if version == "--http2" else "HTTP/1.1")
    answer = curl.request(nginx, "/handoff")
    handoff, line = handoff_of(answer), start.proxyd.access_line(3)
    assert (handoff["name"], handoff["id"]) == (nginx.host, line["id"])
    assert f"{handoff['stated']} {handoff['stated_port']}" == answer.client
    wait_until(lambda: f'{Source} "GET /handoff HTTP/1.1" 200 "{nginx.host}" "{line["id"]}"'
               in nginx.access_log.read_text(), "the access log's line")


@EveryFlavour
def test_the_same_server_also_listens_to_tcp(workspace, start, flavour):
    nginx = start(flavour)
    answer = Curl(workspace, port=PlainPort, source=Source).request(nginx)
    assert answer.seen()["client"] == answer.client
    assert answer.seen()["local"] == f"{workspace.address} {PlainPort}"
    handoff = handoff_of(Curl(workspace, port=PlainPort).request(nginx, "/handoff"))
    assert (handoff["name"], handoff["id"], handoff["stated"]) == ("", "", "")


@EveryFlavour
def test_files_uploads_and_keep_alive(workspace, start, curl, flavour):
    nginx = start(flavour)
    body = files_directory(workspace) / "big"
    body.write_bytes(os.urandom(BigBytes))
    expected = hashlib.sha256(body.read_bytes()).hexdigest()
    for version in ("--http1.1", "--http2"):
        received = workspace.path / "received"
        assert curl.run(nginx, version, "-o", received, curl.url(nginx, "/files/big")).returncode == 0
        assert hashlib.sha256(received.read_bytes()).hexdigest() == expected
        assert curl.request(nginx, f"/uploads/{version}", version, "-T", body).status == 201
        assert hashlib.sha256((nginx.uploads / version).read_bytes()).hexdigest() == expected
        answers = curl.requests(nginx, ["/"] * 5, version)
        assert [answer.connections for answer in answers] == [1, 0, 0, 0, 0]
        assert [answer.seen()["request"] for answer in answers] == ["1", "2", "3", "4", "5"]


@EveryFlavour
def test_tls_sessions_are_resumed(workspace, start, flavour):
    nginx = start(flavour)
    context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose tickets come with the handshake
    session = None
    for is_reused in (False, True):
        with socket.create_connection((workspace.address, Port), DeadlineSeconds) as connection, \
                context.wrap_socket(connection, server_hostname=nginx.host, session=session) as client:
            client.sendall(Get)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert client.session_reused == is_reused
            session = client.session


@EveryFlavour
def test_web_sockets_are_proxied(workspace, start, flavour):
    """Both ways through an upgraded connection, as large as it takes to fill buffers."""
    upstream = workspace.close_at_end(socket.create_server(("127.0.0.1", 0)))
    upstream.settimeout(DeadlineSeconds)
    nginx = start(flavour, server=f"""location /socket {{
        proxy_pass http://127.0.0.1:{upstream.getsockname()[1]};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_set_header Client $remote_addr:$remote_port;
    }}""")
    context = ssl.create_default_context(cafile=certificate_of_servers(workspace)[0])
    with socket.create_connection((workspace.address, Port), DeadlineSeconds) as connection, \
            context.wrap_socket(connection, server_hostname=nginx.host) as client:
        client.sendall(f"GET /socket HTTP/1.1\r\nHost: {nginx.host}\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\n\r\n".encode())
        server, _ = upstream.accept()
        with server:
            server.settimeout(DeadlineSeconds)
            assert "Client: %s:%d\r\n" % client.getsockname() in server.recv(65536).decode()
            server.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
            for sender, receiver in ((client, server), (server, client)):
                data = os.urandom(1 << 16)
                sender.sendall(data)
                received = b""
                while len(received) < len(data):
                    part = receiver.recv(65536)
                    assert part
                    received += part
                assert received == data


@EveryFlavour
def test_stated_addresses_are_for_realip(workspace, start, flavour):
    """A load balancer in front of proxyd names a client; $remote_addr is its own until it's trusted."""
    trusted = f"set_real_ip_from {Source}; real_ip_header proxy_protocol;"
    listener = {"address": f"{workspace.address}:{HttpPort}", "proxy_protocol": True}
    nginx = start(flavour, [f"{workspace.address}:{Port}", listener], http=trusted)
    header = f"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n".encode()
    for source, expected in ((Source, "192.0.2.1 1024"), ("127.0.0.12", None)):
        client = workspace.connect(header + Get, port=HttpPort, source=source)
        seen = re.search(rb"client (\S+ \d+) local (\S+ \d+)", client.read_to_end())
        assert seen[1].decode() == (expected or "%s %d" % client.address[:2])
        assert seen[2].decode() == f"{workspace.address} {HttpPort}"


@EveryFlavour
@pytest.mark.parametrize("events", ["", "accept_mutex on;", "multi_accept on;"])
def test_clients_at_once(workspace, start, flavour, events):
    start(flavour, events=events)
    assert_all_served(load_of(workspace, count=LoadCount, seconds=10 * DeadlineSeconds).result(), LoadCount)


# nginx lets itself be upgraded only when the process that started it has gone, as a daemon's has.
Orphan = ["sh", "-c", 'pid_file=$0; "$@" & until test -s "$pid_file"; do sleep 0.01; done']


@EveryFlavour
def test_nobody_notices_reload_and_upgrade(workspace, start, flavour):
    nginx = start(flavour, launcher=[*Orphan, workspace.path / "nginx-own" / "nginx.pid"])
    load = load_of(workspace, seconds=10 * DeadlineSeconds, progress=100)
    load.wait_until_done(100)
    old = nginx.master_pid()
    workers = set(children_of(old))
    os.kill(old, signal.SIGHUP)
    wait_until(lambda: len(children_of(old)) == 2 and not workers & set(children_of(old)), "other workers")
    os.kill(old, signal.SIGUSR2)
    new = wait_until(lambda: (pid := nginx.master_pid()) != old and pid, "another master")
    wait_until(lambda: len(children_of(new)) == 2, "its workers")
    os.kill(old, signal.SIGQUIT)
    wait_until(lambda: state_of(old) in ("Z", ""), "the end of the first master")
    clients = len(nginx.access_log.read_text().splitlines())
    wait_until(lambda: len(nginx.access_log.read_text().splitlines()) > clients + 100, "clients of the second")
    load.signal(signal.SIGTERM)
    assert_all_served(load.result())
    assert all(is_live_socket(nginx.socket_path(port)) for port in nginx.site_ports)


@EveryFlavour
def test_it_starts_over_the_file_that_a_crash_has_left(workspace, start, curl, flavour):
    nginx = start(flavour)
    assert os.stat(nginx.socket_path()).st_mode & 0o7777 == 0o660
    nginx.kill()
    assert nginx.socket_path().exists()
    after = NativeNginx(workspace, flavour).wait_until_ready()
    assert curl.request(after).status == 200


@EveryFlavour
def test_a_second_instance_and_a_test_of_the_configuration_do_no_harm(workspace, start, curl, flavour):
    nginx = start(flavour)
    inode = os.stat(nginx.socket_path()).st_ino
    tested = nginx.run("-t")
    assert tested.returncode == 0 and "test is successful" in tested.stderr
    second = nginx.run()
    assert second.returncode == 1
    assert f"bind() to unix:{nginx.socket_path()} failed (98: Address already in use)" in second.stderr
    assert os.stat(nginx.socket_path()).st_ino == inode
    assert sorted(path.name for path in nginx.site.iterdir()) == ["8080.sock", "8443.sock"]
    assert curl.request(nginx).status == 200


@EveryFlavour
def test_a_listener_comes_and_goes_with_a_reload(workspace, start, curl, flavour):
    nginx = start(flavour)
    other = nginx.site / "81.sock"
    listen = flavour.listen(other)
    nginx.write_configuration(server=f"}} server {{ {listen} return 200; ")
    nginx.signal(signal.SIGHUP)
    wait_until(lambda: is_live_socket(other), "the new site socket")
    nginx.write_configuration(server="")
    nginx.signal(signal.SIGHUP)
    wait_until(lambda: not is_live_socket(other), "its end")
    assert curl.request(nginx).status == 200


KeeperProgram = """
import os, socket, sys
number = 3
for path in sys.argv[1].split(","):
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    os.fchmod(inbox.fileno(), 0o666)
    inbox.bind(path)
    os.chmod(path, 0o666)
    kept = os.dup2(inbox.detach(), 100 + number)
    number += 1
while True:
    pid = os.fork()
    if pid == 0:
        for i in range(3, number):
            os.dup2(100 + i, i)
            os.set_inheritable(i, True)
            os.close(100 + i)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(number - 3))
        os.execv(sys.argv[2], sys.argv[2:])
    print("server", pid, flush=True)
    os.waitpid(pid, 0)
"""


@EveryFlavour
def test_a_keeper_loses_nobody_while_it_is_killed(workspace, start, flavour):
    """The sockets are those of a service manager (LISTEN_FDS), which starts it again."""
    site = workspace.site("nginx")
    paths = ",".join(str(site / f"{port}.sock") for port in NativeNginx.site_ports)
    nginx = start(flavour, launcher=[sys.executable, "-c", KeeperProgram, paths], main="master_process off;")
    load = Load(workspace, Get, port=HttpPort, at_once=20, seconds=10 * DeadlineSeconds, progress=100)
    killed = 0
    for done in (100, 400, 700):
        load.wait_until_done(done)
        servers = [int(line.split()[1]) for line in nginx.lines if line.startswith("server ")]
        os.kill(servers[-1], signal.SIGSTOP)
        in_hand = len([fd for fd in os.listdir(f"/proc/{servers[-1]}/fd")])
        os.kill(servers[-1], signal.SIGKILL)
        killed += in_hand
        wait_until(lambda: len([line for line in nginx.lines if line.startswith("server ")]) > len(servers), "another")
    load.wait_until_done(1000)
    load.signal(signal.SIGTERM)
    result = load.result()
    # Those whom it had accepted go with it, and nobody else: none is refused or told to come later.
    assert result["refused"] == result["wrong"] == result["timed_out"] == result["other"] == 0, result
    assert result["reset"] + result["end_of_file"] <= killed, result
    assert any(f"using inherited socket #3 for unix:{site}/8443.sock" in line for line in nginx.lines)


class Sender:
    """Sends datagrams to a site socket, as anybody might who may write to it."""

    def __init__(self, workspace, nginx):
        self.socket = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.settimeout(DeadlineSeconds)
        self.socket.connect(str(nginx.socket_path(HttpPort)))

    def send(self, payload, *given):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [one.fileno() for one in given]))]
        self.socket.sendmsg([payload], rights if given else [])


def connected_pair(workspace):
    """Both ends of a TCP connection: the client's, and the accepted one."""
    with socket.create_server((workspace.address, 0)) as listener:
        client = workspace.close_at_end(socket.create_connection(listener.getsockname(), DeadlineSeconds))
        return client, workspace.close_at_end(listener.accept()[0])


def header(addresses, tlvs=b"", *, command=0x21, family=0x11, size=None):
    content = addresses + tlvs
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, len(content) if size is None else size) + content


Ends = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!HH", 1024, 443)
Good = header(Ends, b"\x02\0\x04name\x05\0\x02id")
# A connection comes with each; all are accepted, and what is said of them is taken only from a whole header.
Payloads = {
    "a good one": (Good, "name|id|192.0.2.1|1024"), "empty": (b"", "|||"), "one byte": (b"x", "|||"),
    "text": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n", "|||"), "64 KiB": (b"x" * 65536, "|||"),
    "64 KiB after a header": (header(Ends, size=65535) + b"x" * 65500, "|||"),
    "the signature only": (Good[:12], "|||"), "without a length": (Good[:14], "|||"),
    "without addresses": (header(b""), "|||"), "half the addresses": (header(Ends[:11]), "|||"),
    "cut": (Good[:-1], "|||"), "IPv4 addresses for IPv6": (header(Ends, family=0x21), "|||"),
    "UDP": (header(Ends, family=0x12), "|||"), "LOCAL": (header(b"", command=0x20), "|||"),
    "version 3": (header(Ends, command=0x31), "|||"),
    "a TLV that is longer than the header": (header(Ends, b"\x02\xff\xffname"), "||192.0.2.1|1024"),
    "a TLV without a length": (header(Ends, b"\x02\0"), "||192.0.2.1|1024"),
    "empty TLVs": (header(Ends, b"\x02\0\0\x05\0\0\x01\0\0"), "||192.0.2.1|1024"),
    "TLVs that nobody knows": (header(Ends, b"\xe1\0\x01x\x02\0\x01n"), "n||192.0.2.1|1024"),
}


def assert_says(client, expected):
    client.sendall(b"GET /handoff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    with client.makefile("rb") as answer:
        body = answer.read().partition(b"\r\n\r\n")[2].decode()
    assert "|".join(body.split("|")[:4]) == expected


@pytest.mark.parametrize("flavour", [*Flavours, *([Flavour("1.22.1", asan=True)] if IsLong else [])], ids=str)
def test_malformed_datagrams_harm_nobody(workspace, start, curl, flavour):
    nginx = start(flavour)
    curl.request(nginx)
    workers = children_of(nginx.master_pid())
    before = sorted(kind for pid in workers for kind in descriptors_of(pid))
    sender = Sender(workspace, nginx)
    for payload, expected in Payloads.values():
        client, accepted = connected_pair(workspace)
        sender.send(payload, accepted)
        accepted.close()
        assert_says(client, expected)
    for payload in (b"", b"x", Good, b"x" * 65536):
        sender.send(payload)
    # Several descriptors: the first is the connection.
    client, accepted = connected_pair(workspace)
    with open("/dev/null") as file:
        sender.send(Good, accepted, *[file] * 252)
    accepted.close()
    assert_says(client, "name|id|192.0.2.1|1024")
    # What is no connection, or none any more.
    gone, accepted = connected_pair(workspace)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    with open("/dev/null") as file, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, \
            socket.create_server((workspace.address, 0)) as listener, socket.socket() as unconnected, \
            socket.socketpair()[0] as local:
        udp.connect((workspace.address, 9))
        for given in (file, udp, listener, unconnected, local, sender.socket, accepted):
            sender.send(Good, given)
    accepted.close()
    assert curl.request(nginx).status == 200
    for count, message in ((4, "handoff without a descriptor, ignored"), (1, "handoff with 252 surplus descriptors, closed"),
                           (5, "handoff of what is not a TCP connection, closed"),
                           (2, "handoff of a client that has gone, closed"),
                           (14, "handoff without a PROXY protocol header, accepted")):
        wait_until(lambda: len([line for line in nginx.lines if "[info]" in line and message in line]) == count,
                   f"{count} lines: {message}")
    wait_until(lambda: sorted(kind for pid in workers for kind in descriptors_of(pid)) == before, "the same descriptors")
    assert children_of(nginx.master_pid()) == workers


@EveryFlavour
def test_a_full_table_of_descriptors_loses_nobody(workspace, start, flavour):
    nginx = start(flavour, main="worker_rlimit_nofile 40;")
    request = Get.replace(b"Connection: close\r\n", b"")
    clients = [workspace.connect(request, port=HttpPort) for _ in range(100)]
    nginx.wait_for_line(r"\[crit\] .*\(24: Too many open files\)")
    for client in clients:  # those who are answered first make room for others
        assert client.read(12) == b"HTTP/1.1 200"
        client.close()


@EveryFlavour
def test_options_of_the_listener_reach_the_connections(workspace, start, flavour):
    nginx = start(flavour, options="so_keepalive=11s:12s:3 rcvbuf=40k")
    client = workspace.connect(Get.replace(b"Connection: close\r\n", b""), port=HttpPort)
    assert client.read(12) == b"HTTP/1.1 200"
    workers = children_of(nginx.master_pid())
    kept = [line for line in tcp_sockets() if line["peer"] == client.address]
    assert workers and len(kept) == 1 and kept[0]["timer"].startswith("keepalive"), kept


@pytest.mark.parametrize("options, message", [
    ("reuseport", "reuseport"), ("deferred", "deferred"), ("backlog=10", "backlog"), ("fastopen=3", "fastopen")])
@EveryFlavour
def test_options_that_mean_nothing_here_are_refused(workspace, flavour, options, message):
    nginx = NativeNginx(workspace, flavour, options=options)
    assert nginx.wait_for_exit() == 1
    line = nginx.wait_for_line("emerg").string
    assert (f'"{message}" parameter is incompatible with "handoff"' if flavour.is_patched
            else f'invalid parameter "{options}"') in line


def test_the_patches_have_the_files_of_the_module():
    folder = Script.parent
    series = sorted(folder.glob("*/series"))
    assert series
    for patch in (path.parent / path.read_text().splitlines()[0] for path in series):
        for name in ("ngx_event_handoff.c", "ngx_event_handoff.h", "ngx_handoff_payload.c", "ngx_handoff_socket.c"):
            added = re.search(rf"^\+\+\+ b/src/event/{name}\n@@ .*\n((?:\+.*\n)+)", patch.read_text(), re.MULTILINE)[1]
            assert re.sub(r"^\+", "", added, flags=re.MULTILINE) == (folder / "module" / name).read_text()


EveryPatched = pytest.mark.parametrize("flavour", Patched, ids=str)  # the module is for http only
StreamPort, PassPort, MailPort = 8444, 8446, 8025


@EveryPatched
def test_stream(workspace, start, flavour):
    upstream = workspace.close_at_end(socket.create_server(("127.0.0.1", 0)))
    upstream.settimeout(DeadlineSeconds)
    site, certificate = workspace.site("nginx"), certificate_of_servers(workspace)
    stream = f"""stream {{
        ssl_certificate {certificate[0]};
        ssl_certificate_key {certificate[1]};
        server {{
            {flavour.listen(site / f"{StreamPort}.sock", "ssl")}
            return "$remote_addr $remote_port $server_addr $server_port $handoff_name $protocol\\n";
        }}
        server {{
            {flavour.listen(site / f"{PassPort}.sock")}
            proxy_protocol on;
            proxy_pass 127.0.0.1:{upstream.getsockname()[1]};
        }}
    }}"""
    nginx = start(flavour, [f"{workspace.address}:{port}" for port in (Port, HttpPort, StreamPort, PassPort)],
                  stream=stream, modules=["ngx_stream_module.so"])
    context = ssl.create_default_context(cafile=certificate[0])
    with socket.create_connection((workspace.address, StreamPort), DeadlineSeconds, (Source, 0)) as connection, \
            context.wrap_socket(connection, server_hostname=nginx.host) as client, client.makefile("r") as answer:
        expected = f"{Source} {client.getsockname()[1]} {workspace.address} {StreamPort} {nginx.host} TCP\n"
        assert answer.readline() == expected
    client = workspace.connect(Get, port=PassPort, source=Source)
    server, _ = upstream.accept()
    with server:
        server.settimeout(DeadlineSeconds)
        expected = f"PROXY TCP4 {Source} {workspace.address} {client.address[1]} {PassPort}\r\n".encode() + Get
        received = b""
        while len(received) < len(expected):
            received += server.recv(65536)
        assert received == expected
        server.sendall(b"answer")
    assert client.read_to_end() == b"answer"


@EveryPatched
def test_mail(workspace, start, flavour):
    """nginx speaks first: proxyd hands over at accept. Whom it serves, another server tells it."""
    authority = workspace.close_at_end(socket.create_server(("127.0.0.1", 0)))
    authority.settimeout(DeadlineSeconds)
    site = workspace.site("nginx")
    mail = f"""mail {{
        auth_http 127.0.0.1:{authority.getsockname()[1]};
        server_name mail.example.org;
        server {{ {flavour.listen(site / f"{MailPort}.sock")} protocol smtp; smtp_auth none; }}
    }}"""
    listeners = [f"{workspace.address}:{port}" for port in (Port, HttpPort)]
    start(flavour, [*listeners, {"address": f"{workspace.address}:{MailPort}", "site": str(site)}],
          stream=mail, modules=["ngx_mail_module.so"])
    with socket.create_connection((workspace.address, MailPort), DeadlineSeconds, (Source, 0)) as client, \
            client.makefile("r") as answer:
        assert answer.readline() == "220 mail.example.org ESMTP ready\n"
        for command, code in (("HELO x", "250"), ("MAIL FROM:<a@x>", "250")):
            client.sendall(f"{command}\r\n".encode())
            assert answer.readline().startswith(code)
        client.sendall(b"RCPT TO:<b@x>\r\n")
        server, _ = authority.accept()
        with server:
            asked = server.recv(65536)
            assert f"Client-IP: {Source}\r\n".encode() in asked
            server.sendall(b"HTTP/1.0 200 OK\r\nAuth-Status: none today\r\n\r\n")
        assert "none today" in answer.readline()
