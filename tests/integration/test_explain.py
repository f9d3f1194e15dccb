# SPDX-License-Identifier: MIT
"""`proxyctl explain` and the real decision never differ: random configurations, random clients."""

import json
import os
import random

import pytest

from support.client_hello import alpn, built, server_name
from support.control import ControlClient, start_with_control
from support.workspace import Port

Labels = ["a", "b", "www"]
Parents = ["example.org", "sub.example.org", "other.example"]
Protocols = ["h2", "http/1.1", "acme-tls/1"]
Rounds, ClientsPerRound = (40, 60) if os.environ.get("PROXYD_SOAK") else (4, 40)


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
        """Clients come from 127.0.0.0/12."""
        return [self.one(["127.0.0.0/12", "127.2.0.0/16", "127.3.0.0/24", "127.4.0.0/14", "127.5.6.7", "::1"])
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
        keys = {self.one([self.name(), f"*.{self.one(Parents)}", "@tls", "@http", "*"]) for _ in range(6)}
        configuration = {
            "listen": [self.access({"address": f"{workspace.address}:{Port}"}),
                       self.access({"address": f"{workspace.address}:{Port + 1}"} | (
                           {"site": site()} if self.happens(0.3) else {}))],
            "routes": {key: self.route(site) for key in sorted(keys)}, "sites": str(workspace.sites)}
        if self.happens(0.3):
            configuration["alpn"] = {self.one(Protocols): site()}
        return configuration

    def client(self):
        client = {"port": Port + self.random.randrange(2), "protocol": self.one(["tls", "http"]),
                  "from": f"127.{self.random.randrange(1, 8)}.{self.one([0, 6])}.{self.one([1, 7])}"}
        if self.happens(0.9):
            name = self.name() if self.happens(0.9) else self.one(["a..b", "-", "192.0.2.1", "nowhere"])
            client["name"] = self.one([name, name.upper(), name + "."])
        if client["protocol"] == "tls" and self.happens(0.6):
            client["alpn"] = self.random.sample(Protocols, self.random.randrange(1, 3))
        return client


def hello_of(client):
    name = client.get("name")
    if client["protocol"] == "http":
        host = f"Host: {name}\r\n" if name is not None else ""
        return f"GET / HTTP/1.{1 if host else 0}\r\n{host}\r\n".encode()
    extensions = [server_name(name.encode())] if name is not None else []
    if "alpn" in client:
        extensions.append(alpn(*(protocol.encode() for protocol in client["alpn"])))
    return built(*extensions)


@pytest.mark.parametrize("seed", range(Rounds))
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
        for port in (Port, Port + 1):
            inboxes[str(directory), port] = workspace.inbox(directory.relative_to(workspace.path), f"{port}.sock")
    proxyd = start_with_control(workspace, wait_for_site="0s", **configuration)
    control = workspace.close_at_end(ControlClient(workspace.path / "control.sock"))
    verdicts = set()
    for _ in range(ClientsPerRound):
        asked = draw.client()
        lines = control.ask({"do": "explain", **asked})
        said = lines[0]["item"]
        client = workspace.connect(hello_of(asked), port=asked["port"], source=asked["from"])
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
    assert len(verdicts) >= 3, verdicts
