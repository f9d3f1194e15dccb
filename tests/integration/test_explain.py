# SPDX-License-Identifier: MIT
"""`proxyctl explain` and the real decision never differ: random configurations, random clients.

The normal run draws from the same seeds each time; with PROXYD_SOAK=1 they begin at PROXYD_SEED, or anywhere.
"""

import json
import os
import random
import struct

import pytest

from support.client_hello import alpn, built, server_name
from support.clients import address_text
from support.control import ControlClient, start_with_control
from support.workspace import Port

Labels = ["a", "b", "www"]
Parents = ["example.org", "sub.example.org", "other.example"]
Protocols = ["h2", "http/1.1", "acme-tls/1"]
Classes = ["@tls", "@http", "@ssh", "@silent", "@other", "*"]
IsSoak = bool(os.environ.get("PROXYD_SOAK"))
Rounds, ClientsPerRound = (40, 100) if IsSoak else (8, 40)
FirstSeed = int(os.environ.get("PROXYD_SEED", random.randrange(10**6))) if IsSoak else 0
Plain, Other, Proxied = Port, Port + 1, Port + 2  # the last one's clients send a PROXY header first
Http2Preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)  # and empty SETTINGS


class Draw:
    """Everything that is drawn, from one seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one(self, things):
        return self.random.choice(things)

    def happens(self, share):
        return self.random.random() < share

    def name(self):
        return f"{self.one(Labels)}.{self.one(Parents)}" if self.happens(0.8) else self.one(Parents)

    def list_of_addresses(self):
        """Clients come from 127.0.0.0/12, or say that they come from 2001:db8::/32."""
        return [self.one(["127.0.0.0/12", "127.2.0.0/16", "127.3.0.0/24", "127.4.0.0/14", "127.5.6.7",
                          "2001:db8::/32", "2001:db8:1::/48", "2001:db8::7"])
                for _ in range(self.random.randrange(1, 3))]

    def access(self, value):
        for key in ("allow", "deny"):
            if self.happens(0.3):
                value[key] = self.list_of_addresses()
        return value

    def route(self, site):
        if self.happens(0.5):
            return site()
        value = self.access({"site": site()})
        if self.happens(0.5):
            value["alpn"] = {self.one(Protocols): site() for _ in range(2)}
        return value

    def configuration(self, workspace, site):
        keys = {self.one([self.name(), f"*.{self.one(Parents)}", self.one(Classes)]) for _ in range(8)}
        configuration = {
            "listen": [self.access({"address": f"{workspace.address}:{Plain}"}),
                       self.access({"address": f"{workspace.address}:{Other}"} | (
                           {"site": site()} if self.happens(0.3) else {})),
                       self.access({"address": f"{workspace.address}:{Proxied}", "proxy_protocol": True})],
            "routes": {key: self.route(site) for key in sorted(keys)}, "sites": str(workspace.sites),
            "silent_after": "20ms"}
        if self.happens(0.3):
            configuration["alpn"] = {self.one(Protocols): site()}
        return configuration

    def client(self, configuration):
        protocols = 3 * ["tls", "http", "h2"] + ["ssh", "other"]
        # Without such a route a client that says nothing comes to no decision, but to `hello_timeout`.
        protocols += ["silent"] * ("@silent" in configuration["routes"])
        client = {"port": self.one([Plain, Other, Proxied]), "protocol": self.one(protocols),
                  "from": f"127.{self.random.randrange(1, 8)}.{self.one([0, 6])}.{self.one([1, 7])}"}
        if client["port"] == Proxied and self.happens(0.5):
            client["from"] = f"2001:db8:{self.one(['', '1:'])}:{self.one([1, 7])}"
        if client["protocol"] in ("tls", "http", "h2") and self.happens(0.9):
            name = self.name() if self.happens(0.9) else self.one(["a..b", "-", "192.0.2.1", "nowhere"])
            client["name"] = self.one([name, name.upper(), name + "."])
        if client["protocol"] == "tls" and self.happens(0.6):
            client["alpn"] = self.random.sample(Protocols, self.random.randrange(1, 3))
        return client


def http2_request(name):
    block = b"\x82\x86\x84"  # GET, http, /
    if name is not None:
        block += b"\x01" + bytes([len(name)]) + name.encode()  # :authority
    return Http2Preface + struct.pack("!I", len(block))[1:] + b"\x01\x05" + struct.pack("!I", 1) + block


def hello_of(client):
    name = client.get("name")
    if client["protocol"] == "h2":
        return http2_request(name)
    if client["protocol"] == "http":
        host = f"Host: {name}\r\n" if name is not None else ""
        return f"GET / HTTP/1.{1 if host else 0}\r\n{host}\r\n".encode()
    if client["protocol"] != "tls":
        return {"ssh": b"SSH-2.0-OpenSSH_9.2\r\n", "other": b"\0\1\2\3", "silent": b""}[client["protocol"]]
    extensions = [server_name(name.encode())] if name is not None else []
    if "alpn" in client:
        extensions.append(alpn(*(protocol.encode() for protocol in client["alpn"])))
    return built(*extensions)


def connect(workspace, asked, number):
    """One that is as it was asked for. Through a load balancer each has a port of its own, too."""
    if asked["port"] != Proxied:
        return workspace.connect(hello_of(asked), port=asked["port"], source=asked["from"])
    family, destination = ("TCP6", "2001:db8::ffff") if ":" in asked["from"] else ("TCP4", "192.0.2.2")
    header = f"PROXY {family} {asked['from']} {destination} {1024 + number} 443\r\n".encode()
    client = workspace.connect(header + hello_of(asked), port=asked["port"])
    client.address_text = address_text((asked["from"], 1024 + number))
    return client


@pytest.mark.parametrize("seed", range(FirstSeed, FirstSeed + Rounds))
def test_explain_says_what_happens(workspace, seed):
    draw = Draw(seed)
    inboxes = {}

    def site():
        name = f"site-{draw.random.randrange(6)}"
        return str(workspace.site(name))

    configuration = draw.configuration(workspace, site)
    for _ in range(3):
        workspace.site(f"sites/{draw.one([draw.name(), f'*.{draw.one(Parents)}'])}")
    for directory in [*workspace.path.glob("site-*"), *workspace.sites.iterdir()]:
        for port in (Plain, Other, Proxied):
            inboxes[str(directory), port] = workspace.inbox(directory.relative_to(workspace.path), f"{port}.sock")
    proxyd = start_with_control(workspace, wait_for_site="0s", **configuration)
    control = workspace.close_at_end(ControlClient(workspace.path / "control.sock"))
    verdicts = set()
    for number in range(ClientsPerRound):
        asked = draw.client(configuration)
        lines = control.ask({"do": "explain", **asked})
        said = lines[0]["item"]
        client = connect(workspace, asked, number)
        access = proxyd.access_line_of(client)
        context = json.dumps({"configuration": configuration, "client": asked, "explain": said, "log": access}, indent=1)
        assert said["verdict"] == access["verdict"], context
        assert said["reason"] == access["reason"], context
        assert (said["route"] or "-") == access["route"], context
        if said["verdict"] == "handed_over":
            assert f"{said['site']}/{asked['port']}.sock" == access["site"], context
            assert [socket["state"] for socket in said["sockets"]] == ["live"], context
            inboxes[said["site"], asked["port"]].receive().close()
        client.reset()
        verdicts.add((said["verdict"], said["reason"]))
    assert IsSoak or len(verdicts) >= 3, verdicts
