# SPDX-License-Identifier: MIT
"""The handoff contract (docs/HANDOFF.md), from the receiver's side."""

import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest

from support import client_hello
from support.receivers import TlvAlpn, TlvAuthority, TlvUniqueId
from support.workspace import Port, wait_until

Name = "blog.example.org"
Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"
HandoffDocument = pathlib.Path(__file__).parents[2] / "docs" / "HANDOFF.md"

# Root would be let in anyway.
WithoutOverride = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def test_the_receiver_gets_the_connection_as_the_client_made_it(workspace, start):
    inbox = workspace.inbox("blog")
    proxyd = start()
    data = Get + bytes(range(256)) * 20
    client = workspace.connect(data, source="127.0.0.1")
    handoff = inbox.receive()
    assert handoff.is_blocking
    assert handoff.receive_low_water == 1
    assert handoff.connection.getpeername() == client.address
    assert handoff.connection.getsockname() == client.server_address == (workspace.address, Port)
    assert handoff.read(len(data)) == data
    client.send(b"more")
    assert handoff.read(4) == b"more"
    handoff.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.read_to_end() == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert proxyd.access_line_of(client)["listener"] == f"{workspace.address}:{Port}"


def test_a_hello_that_was_waited_for_leaves_no_trace_on_the_connection(workspace, start, wait_until_accepted):
    inbox = workspace.inbox("blog")
    start()
    hello = client_hello.captured(Name)
    client = workspace.connect(hello[:3])
    wait_until_accepted()
    client.send(hello[3:50])
    wait_until_accepted()
    client.send(hello[50:])
    handoff = inbox.receive()
    assert handoff.is_blocking
    assert handoff.receive_low_water == 1
    assert handoff.read(len(hello)) == hello


def test_the_payload_describes_the_connection(workspace, start):
    inbox = workspace.inbox("blog")
    proxyd = start()
    client = workspace.connect(client_hello.captured("Blog.Example.Org", alpn=["h2", "http/1.1"]))
    handoff = inbox.receive()
    assert handoff.header.source == client.address
    assert handoff.header.destination == client.server_address
    assert set(handoff.header.tlvs) == {TlvAlpn, TlvAuthority, TlvUniqueId}
    assert handoff.header.tlvs[TlvAlpn] == b"h2"
    assert handoff.header.tlvs[TlvAuthority] == b"blog.example.org"
    assert handoff.header.tlvs[TlvUniqueId].decode() == proxyd.access_line_of(client)["id"]
    assert len(handoff.payload) <= 703


def test_the_longest_payload(workspace):
    inbox = workspace.inbox("default")
    workspace.start_proxyd(routes={"*": str(workspace.site("default"))})
    name, protocol = b".".join([b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 61]), b"p" * 255
    hello = client_hello.built(client_hello.server_name(name), client_hello.alpn(protocol, b"h2"))
    workspace.connect(hello)
    handoff = inbox.receive()
    assert handoff.header.tlvs[TlvAuthority] == name
    assert handoff.header.tlvs[TlvAlpn] == protocol
    assert len(handoff.payload) <= 703


def test_ids_differ(workspace, start):
    inbox = workspace.inbox("blog")
    start()
    ids = set()
    for _ in range(50):
        client = workspace.connect(Get)
        ids.add(inbox.receive().header.tlvs[TlvUniqueId])
        client.close()
    assert len(ids) == 50


def test_proxyd_keeps_no_descriptor_of_a_connection(workspace, start):
    inbox = workspace.inbox("blog")
    proxyd = start()

    def one_of_each_kind():
        for first_bytes in (Get, client_hello.captured(Name)):
            client = workspace.connect(first_bytes)
            inbox.receive().answer(b"done")
            assert client.read_to_end() == b"done"  # before proxyd ended: no other copy is open
            client.close()
        for rejected in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", client_hello.captured("no.example.org")):
            client = workspace.connect(rejected)
            client.read_to_end()
            client.close()
        client = workspace.connect(b"GET / ")
        client.close()

    one_of_each_kind()
    proxyd.access_line(5)
    wait_until(lambda: proxyd.tcp_descriptor_count() == 1, "nothing but the listener")
    before = proxyd.descriptors()
    for _ in range(20):
        one_of_each_kind()
    proxyd.access_line(6 * 21 - 1)
    wait_until(lambda: proxyd.descriptors() == before, "the same descriptors as before")


def test_a_connection_lives_on_when_proxyd_is_killed(workspace, start):
    inbox = workspace.inbox("blog")
    proxyd = start()
    client = workspace.connect(Get)
    handoff = inbox.receive()
    proxyd.process.kill()
    proxyd.wait_for_exit()
    assert handoff.read(len(Get)) == Get
    handoff.answer(b"still here")
    assert client.read_to_end() == b"still here"


def test_the_receiver_of_the_document(workspace, start):
    program = re.search(r"```python\n(.*?)```", HandoffDocument.read_text(), re.DOTALL).group(1)
    assert len(program.splitlines()) < 20
    script = workspace.path / "receiver.py"
    script.write_text(program)
    socket_path = workspace.site("blog") / f"{Port}.sock"
    receiver = workspace.start("sh", "-c", 'umask 022; exec "$@"', "sh", sys.executable, script, socket_path)
    wait_until(socket_path.exists, "the receiver's socket")
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o660
    proxyd = start()
    receiver.signal(signal.SIGSTOP)
    gone = workspace.connect(Get)
    proxyd.access_line_of(gone)
    gone.reset()
    receiver.signal(signal.SIGCONT)
    result = subprocess.run(["curl", "-sS", "--max-time", "20", "-H", f"Host: {Name}",
                             "--local-port", "20000-60000", f"http://{workspace.address}:{Port}/"],
                            capture_output=True, text=True, timeout=30)
    assert (result.stdout, result.stderr) == ("hello\n", "")
    assert "GET / HTTP/1.1" in receiver.wait_for_line("client .* says").string


def test_several_instances_share_the_load(workspace, start):
    inboxes = [workspace.inbox("blog", f"{Port}.sock"), workspace.inbox("blog", f"{Port}.a.sock"),
               workspace.inbox("blog", f"{Port}.{'b' * 64}.sock")]
    proxyd = start()
    for _ in range(30):
        client = workspace.connect(Get)
        proxyd.access_line_of(client)
    counts = [sum(1 for _ in iter(inbox.receive_if_any, None)) for inbox in inboxes]
    assert sum(counts) == 30
    assert min(counts) >= 5, counts


def test_names_of_no_site_socket_are_ignored(workspace, start):
    others = [workspace.inbox("blog", name) for name in (
        f".{Port}.sock", f"{Port}.sock.bak", f"{Port}", f"0{Port}.sock", f"{Port}sock", f"1{Port}.sock",
        "8080.sock", f"x{Port}.sock", f"{Port}.{'b' * 65}.sock")]
    (workspace.site("blog") / f"{Port}.file.sock").write_text("")
    (workspace.site("blog") / f"{Port}.directory.sock").mkdir()
    os.mkfifo(workspace.site("blog") / f"{Port}.fifo.sock")
    inbox = workspace.inbox("blog")
    proxyd = start()
    for _ in range(10):
        client = workspace.connect(Get)
        assert proxyd.access_line_of(client)["site"] == str(workspace.path / "blog" / f"{Port}.sock")
        inbox.receive()
    assert all(other.is_empty() for other in others)


def test_clients_go_to_the_instance_of_their_family(workspace, start):
    """An instance label tells which address the server believes to be listening on."""
    ipv4, ipv6 = (workspace.inbox("blog", f"{Port}.{family}-any-8443-0.sock") for family in "46")
    proxyd = start()
    for _ in range(6):
        client = workspace.connect(Get)
        assert proxyd.access_line_of(client)["verdict"] == "handed_over"
        ipv4.receive()
    assert ipv6.is_empty()


def test_a_stale_socket_file_is_passed_over(workspace, start):
    workspace.inbox("blog", f"{Port}.a.sock").close()
    inbox = workspace.inbox("blog", f"{Port}.b.sock")
    proxyd = start()
    for _ in range(6):
        client = workspace.connect(Get)
        assert inbox.receive().client == client.address
        assert proxyd.access_line_of(client)["site"].endswith(f"/{Port}.b.sock")


def test_a_new_instance_takes_over_by_rename(workspace, start):
    old = workspace.inbox("blog")
    proxyd = start()
    queued = workspace.connect(Get)
    proxyd.access_line_of(queued)
    new = workspace.inbox("blog")
    client = workspace.connect(Get)
    assert new.receive().client == client.address
    assert old.receive().client == queued.address
    assert old.is_empty()


def test_without_inotify_watches_a_new_instance_is_found_all_the_same(workspace, start):
    """The user's watches may be used up by others (max_user_watches)."""
    without = ("unshare", "--user", "--map-root-user", "sh", "-c",
               'echo 0 > /proc/sys/user/max_inotify_watches && exec "$@"', "sh")
    if subprocess.run([*without, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs a user namespace of its own")
    workspace.inbox("blog")
    proxyd = start(prefix=without)
    proxyd.access_line_of(workspace.connect(Get))
    new = workspace.inbox("blog")
    client = workspace.connect(Get)
    assert new.receive().client == client.address


def test_a_world_writable_site_socket_is_told_of_once(workspace, start):
    inbox = workspace.inbox("blog")
    os.chmod(workspace.path / "blog" / f"{Port}.sock", 0o666)
    proxyd = start()
    for mode in (0o666, 0o667):
        os.chmod(workspace.path / "blog" / f"{Port}.sock", mode)
        client = workspace.connect(Get)
        assert inbox.receive().client == client.address
        proxyd.access_line_of(client)
    assert sum(line.endswith(f"blog/{Port}.sock is world-writable: everybody here can inject connections")
               for line in proxyd.lines) == 1


def test_a_site_socket_that_was_unlinked_gets_nothing_more(workspace, start, wait_until_accepted):
    old = workspace.inbox("blog")
    proxyd = start()
    proxyd.access_line_of(workspace.connect(Get))
    old.receive()
    os.unlink(old.path)
    client = workspace.connect(Get)
    wait_until_accepted()
    assert workspace.inbox("blog").receive().client == client.address
    assert old.is_empty()


def test_a_site_directory_may_be_a_link_that_is_switched(workspace):
    old, new = workspace.inbox("blog-1"), workspace.inbox("blog-2")
    link = workspace.path / "blog"
    link.symlink_to("blog-1")
    workspace.start_proxyd(routes={Name: str(link)})
    workspace.connect(Get)
    old.receive()
    (workspace.path / "blog.new").symlink_to("blog-2")
    os.rename(workspace.path / "blog.new", link)

    def is_switched():
        workspace.connect(Get)
        wait_until(lambda: not (old.is_empty() and new.is_empty()), "a handoff")
        return new.receive_if_any() or (old.receive() and None)

    # Nothing tells proxyd: it looks at the path from time to time.
    wait_until(is_switched, "handoffs to where the link leads")


def test_a_stream_socket_is_no_site_socket(workspace, start):
    path = workspace.site("blog") / f"{Port}.a.sock"
    stream = workspace.close_at_end(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    stream.bind(str(path))
    stream.listen()
    inbox = workspace.inbox("blog", f"{Port}.b.sock")
    start()
    for _ in range(4):
        client = workspace.connect(Get)
        assert inbox.receive().client == client.address


def test_a_socket_whose_mode_keeps_proxyd_out(workspace):
    inbox = workspace.inbox("blog")
    os.chmod(inbox.path, 0)
    proxyd = workspace.start_proxyd(prefix=WithoutOverride, wait_for_site="250ms",
                                    routes={Name: str(workspace.site("blog"))})
    client = workspace.connect(Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    assert proxyd.access_line_of(client)["reason"] == "site_not_permitted"
    assert inbox.is_empty()


def test_a_site_directory_whose_mode_keeps_proxyd_out(workspace):
    inbox = workspace.inbox("blog")
    workspace.site("blog").chmod(0)
    proxyd = workspace.start_proxyd(prefix=WithoutOverride, wait_for_site="250ms",
                                    routes={Name: str(workspace.path / "blog")})
    client = workspace.connect(Get)
    assert client.read_to_end().startswith(b"HTTP/1.1 503 ")
    workspace.site("blog").chmod(0o700)
    assert proxyd.access_line_of(client)["reason"] == "site_not_permitted"
    assert inbox.is_empty()


def test_a_path_longer_than_a_socket_address(workspace):
    site = "long-" * 20 + "/" + "name-" * 20
    inbox = workspace.inbox(site)
    workspace.start_proxyd(routes={Name: str(workspace.site(site))})
    client = workspace.connect(Get)
    assert inbox.receive().client == client.address
