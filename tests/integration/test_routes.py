# SPDX-License-Identifier: MIT
"""Which site a name leads to, and which sockets proxyd listens at."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest

from support import client_hello
from support.workspace import Port, free_port, wait_until


def hello_for(name):
    return client_hello.captured(name)


def get_for(name):
    return f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()


class Sites:
    """Several sites, and the question to which of them a client came."""

    def __init__(self, workspace, names):
        self.inboxes = {name: workspace.inbox(name) for name in names}

    def taker(self, proxyd, client):
        line = proxyd.access_line_of(client)
        taken = [name for name, inbox in self.inboxes.items() if inbox.receive_if_any()]
        assert len(taken) == (line["verdict"] == "handed_over"), line
        return (taken[0] if taken else None), line["reason"], line["route"]


# In the order of precedence, for the name a.b.example.org over TLS: what leads there, what the log
# gives as reason and as route.
Precedence = [
    ("exact", "exact_name", "a.b.example.org"),
    ("long", "wildcard_name", "*.b.example.org"),
    ("short", "wildcard_name", "*.example.org"),
    ("sites/a.b.example.org", "sites_exact", "sites/a.b.example.org"),
    ("sites/*.b.example.org", "sites_wildcard", "sites/*.b.example.org"),
    ("sites/*.example.org", "sites_wildcard", "sites/*.example.org"),
    ("tls", "protocol_class", "@tls"),
    ("default", "default", "*"),
]


@pytest.mark.parametrize("first", range(len(Precedence) + 1))
def test_precedence(workspace, first):
    """Of all that lead somewhere, the first is taken; without those before it, the next."""
    existing = Precedence[first:]
    sites = Sites(workspace, [site for site, _, _ in existing])
    # Backwards: the order in the file must not matter.
    routes = {route: str(workspace.site(site)) for site, _, route in reversed(existing) if "sites/" not in site}
    proxyd = workspace.start_proxyd(sites=str(workspace.sites), routes=routes)
    client = workspace.connect(hello_for("a.b.example.org"))
    assert sites.taker(proxyd, client) == (existing[0] if existing else (None, "no_route", "-"))


def test_a_wildcard_matches_below_its_name_at_any_depth_but_not_the_name_itself(workspace):
    sites = Sites(workspace, ["wild"])
    proxyd = workspace.start_proxyd(routes={"*.example.org": str(workspace.site("wild"))})

    def taker(name):
        return sites.taker(proxyd, workspace.connect(get_for(name)))[0]

    assert taker("a.example.org") == "wild"
    assert taker("a.b.c.d.example.org") == "wild"
    assert taker("example.org") is None
    assert taker("badexample.org") is None
    assert taker("example.org.evil.net") is None


def test_a_wildcard_in_sites_does_not_match_its_own_name(workspace):
    sites = Sites(workspace, ["sites/*.example.org"])
    proxyd = workspace.start_proxyd(sites=str(workspace.sites))
    assert sites.taker(proxyd, workspace.connect(get_for("a.b.example.org")))[0] == "sites/*.example.org"
    assert sites.taker(proxyd, workspace.connect(get_for("example.org")))[0] is None


def test_routes_compare_without_case_and_trailing_dot(workspace):
    sites = Sites(workspace, ["blog", "wild"])
    proxyd = workspace.start_proxyd(routes={"Blog.EXAMPLE.org.": str(workspace.site("blog")),
                                            "*.Cloud.Example.Org": str(workspace.site("wild"))})
    assert sites.taker(proxyd, workspace.connect(get_for("bLOG.example.org")))[0] == "blog"
    assert sites.taker(proxyd, workspace.connect(get_for("A.cloud.example.org.")))[0] == "wild"


def test_protocol_classes(workspace):
    sites = Sites(workspace, ["tls", "http"])
    proxyd = workspace.start_proxyd(routes={"@tls": str(workspace.site("tls")),
                                            "@http": str(workspace.site("http"))})
    assert sites.taker(proxyd, workspace.connect(hello_for("a.example.org"))) == ("tls", "protocol_class", "@tls")
    assert sites.taker(proxyd, workspace.connect(hello_for(None))) == ("tls", "protocol_class", "@tls")
    assert sites.taker(proxyd, workspace.connect(get_for("a.example.org"))) == ("http", "protocol_class", "@http")
    assert sites.taker(proxyd, workspace.connect(b"GET / HTTP/1.0\r\n\r\n")) == ("http", "protocol_class", "@http")


def test_the_default_takes_no_other_protocols(workspace):
    sites = Sites(workspace, ["default"])
    proxyd = workspace.start_proxyd(routes={"*": str(workspace.site("default"))})
    client = workspace.connect(b"\0\0\0\0 not a protocol")
    assert client.read_to_end() == b""
    assert sites.taker(proxyd, client) == (None, "protocol_unknown", "-")


def test_directories_in_sites_come_and_go(workspace):
    proxyd = workspace.start_proxyd(sites=str(workspace.sites))

    def reason():
        client = workspace.connect(get_for("blog.example.org"))
        return proxyd.access_line_of(client)["reason"]

    assert reason() == "no_route"
    workspace.inbox("sites/blog.example.org")
    assert reason() == "sites_exact"
    os.rename(workspace.sites / "blog.example.org", workspace.path / "elsewhere")
    assert reason() == "no_route"
    os.rename(workspace.path / "elsewhere", workspace.sites / "blog.example.org")
    assert reason() == "sites_exact"


def test_sites_may_be_removed_and_made_again(workspace):
    proxyd = workspace.start_proxyd(sites=str(workspace.sites))
    workspace.inbox("sites/blog.example.org")
    os.rename(workspace.sites, workspace.path / "elsewhere")
    client = workspace.connect(get_for("blog.example.org"))
    assert proxyd.access_line_of(client)["reason"] == "no_route"
    workspace.inbox("sites/blog.example.org")
    # Nothing tells when proxyd has noticed.
    wait_until(lambda: proxyd.access_line_of(workspace.connect(get_for("blog.example.org")))["reason"] == "sites_exact")


def test_a_link_to_sites_may_be_turned_to_another_directory(workspace):
    """As in a deployment that switches from one version to the next. Nothing tells when proxyd has noticed."""
    for version in ("v1", "v2"):
        (workspace.path / version).mkdir()
    (workspace.path / "current").symlink_to("v1")
    proxyd = workspace.start_proxyd(sites=str(workspace.path / "current"))
    assert proxyd.access_line_of(workspace.connect(get_for("blog.example.org")))["reason"] == "no_route"
    workspace.inbox("v2/blog.example.org")
    (workspace.path / "next").symlink_to("v2")
    os.rename(workspace.path / "next", workspace.path / "current")
    wait_until(lambda: proxyd.access_line_of(workspace.connect(get_for("blog.example.org")))["reason"] == "sites_exact")


def test_a_client_meets_a_site_that_was_there_before_it_came(workspace):
    """Also when another client is being taken in the same moment."""
    proxyd = workspace.start_proxyd(sites=str(workspace.sites))
    for number in range(50):
        name = f"site-{number}.example.org"
        workspace.connect(get_for("elsewhere.example.org"))
        workspace.inbox(f"sites/{name}")
        assert proxyd.access_line_of(workspace.connect(get_for(name)))["reason"] == "sites_exact"


def test_lost_events_lose_no_site(workspace):
    """More changes at once than the kernel keeps events for (max_queued_events, inotify(7))."""
    proxyd = workspace.start_proxyd(sites=str(workspace.sites))
    proxyd.access_line_of(workspace.connect(get_for("blog.example.org")))
    proxyd.signal(signal.SIGSTOP)
    events = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    passing = workspace.sites / "passing"
    for _ in range(events // 2 + 1):
        passing.touch()
        passing.unlink()
    workspace.inbox("sites/blog.example.org")
    proxyd.signal(signal.SIGCONT)
    assert proxyd.access_line_of(workspace.connect(get_for("blog.example.org")))["reason"] == "sites_exact"


def test_a_link_in_sites_is_not_followed(workspace):
    sites = Sites(workspace, ["elsewhere", "default"])
    (workspace.sites / "blog.example.org").symlink_to(workspace.path / "elsewhere")
    proxyd = workspace.start_proxyd(sites=str(workspace.sites), routes={"*": str(workspace.site("default"))})
    client = workspace.connect(get_for("blog.example.org"))
    assert sites.taker(proxyd, client) == ("default", "default", "*")


def test_a_file_in_sites_is_not_a_site(workspace):
    (workspace.sites / "blog.example.org").write_text("")
    proxyd = workspace.start_proxyd(sites=str(workspace.sites))
    client = workspace.connect(get_for("blog.example.org"))
    assert proxyd.access_line_of(client)["reason"] == "no_route"


def test_a_listeners_own_site_gets_the_connection_before_the_client_speaks(workspace):
    inbox = workspace.inbox("mail")
    site = str(workspace.site("mail"))
    proxyd = workspace.start_proxyd(listen=[{"address": f"{workspace.address}:{Port}", "site": site}])
    client = workspace.connect()
    handoff = inbox.receive()
    assert handoff.client == client.address
    assert handoff.name is None
    handoff.connection.sendall(b"220 mail.example.org\r\n")
    assert client.read(5) == b"220 m"
    line = proxyd.access_line_of(client)
    assert [line[key] for key in ("protocol", "name", "alpn", "route", "verdict", "reason")] == \
        ["-", "-", "-", "listener", "handed_over", "listener_site"]


def test_a_listeners_own_site_goes_before_all_routes(workspace):
    sites = Sites(workspace, ["own", "blog"])
    listener = {"address": f"{workspace.address}:{Port}", "site": str(workspace.site("own"))}
    proxyd = workspace.start_proxyd(listen=[listener], routes={"blog.example.org": str(workspace.site("blog"))})
    client = workspace.connect(get_for("blog.example.org"))
    assert sites.taker(proxyd, client) == ("own", "listener_site", "listener")


def test_several_listeners_use_the_socket_of_their_port(workspace):
    blog_8443 = workspace.inbox("blog", "8443.sock")
    blog_8080 = workspace.inbox("blog", "8080.sock")
    workspace.start_proxyd(listen=[f"{workspace.address}:8443", {"address": f"{workspace.address}:8080"}],
                           routes={"blog.example.org": str(workspace.site("blog"))})
    client = workspace.connect(get_for("blog.example.org"), port=8080)
    assert blog_8080.receive().client == client.address
    client = workspace.connect(get_for("blog.example.org"), port=8443)
    assert blog_8443.receive().client == client.address


def test_an_ipv6_listener(workspace):
    port = free_port("::1")
    inbox = workspace.inbox("blog", f"{port}.sock")
    proxyd = workspace.start_proxyd(listen=[f"[::1]:{port}"], routes={"blog.example.org": str(workspace.site("blog"))})
    client = workspace.connect(get_for("blog.example.org"), address="::1", port=port)
    handoff = inbox.receive()
    assert handoff.connection.family == socket.AF_INET6
    assert handoff.connection.getpeername()[:2] == client.address == handoff.header.source
    assert handoff.connection.getsockname()[:2] == ("::1", port) == handoff.header.destination
    line = proxyd.access_line_of(client)
    assert (line["client"], line["listener"]) == (client.address_text, f"[::1]:{port}")


def test_a_port_alone_means_both_families_as_two_sockets(workspace):
    port = free_port("::")
    inbox = workspace.inbox("blog", f"{port}.sock")
    proxyd = workspace.start_proxyd(listen=[f":{port}"], routes={"blog.example.org": str(workspace.site("blog"))})

    listening = subprocess.run(["ss", "-H", "-lnte", f"sport = :{port}"], capture_output=True, text=True, check=True)
    sockets = sorted(line.split()[3] for line in listening.stdout.splitlines())
    assert sockets == [f"0.0.0.0:{port}", f"[::]:{port}"]
    assert "v6only:1" in next(line for line in listening.stdout.splitlines() if "[::]" in line)

    client = workspace.connect(get_for("blog.example.org"), address="127.0.0.1", port=port)
    handoff = inbox.receive()
    assert handoff.connection.family == socket.AF_INET
    assert handoff.client == client.address
    assert proxyd.access_line_of(client)["listener"] == f"127.0.0.1:{port}"

    client = workspace.connect(get_for("blog.example.org"), address="::1", port=port)
    assert inbox.receive().connection.family == socket.AF_INET6
    assert proxyd.access_line_of(client)["listener"] == f"[::1]:{port}"
