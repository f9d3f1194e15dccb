# SPDX-License-Identifier: MIT
"""What the tests of test_nginx_native*.py share: the kinds of nginx, and how they are started behind proxyd."""

import os

import pytest

from support.http_clients import Curl
from support.load import Load
from support.native_nginx import Flavour, HttpPort, NativeNginx, PlainHttpPort, PlainPort
from support.servers import certificate_of_servers
from support.workspace import Port

Source = "127.0.0.11"
IsLong = bool(os.environ.get("PROXYD_SOAK"))
LoadCount, LoadAtOnce = (10000, 200) if IsLong else (1500, 100)

# The installed nginx with the module, which takes seconds to build; in the long form the patched ones, too, one of them
# with AddressSanitizer, and other releases' nginx.
Kinds = ["module", *(["1.22.1", "1.26.3", "module@trixie", "module@sid"] if IsLong else [])]
Flavours = [Flavour(kind) for kind in ([os.environ["PROXYD_NGINX"]] if "PROXYD_NGINX" in os.environ else Kinds)]
if IsLong and "PROXYD_NGINX" not in os.environ:
    Flavours.append(Flavour("1.22.1", asan=True))
Patched = [flavour for flavour in Flavours if flavour.is_patched]
EveryFlavour = pytest.mark.parametrize("flavour", Flavours, ids=str)
# The module is for http only.
EveryPatched = pytest.mark.parametrize("flavour", Patched or [pytest.param(None, marks=pytest.mark.skip(
    reason="a patched nginx takes a minute to build: ./test.sh --soak"))], ids=str)
# Handed over, and accepted by nginx itself: that must be as good as ever.
EitherWay = pytest.mark.parametrize("port", [Port, PlainPort], ids=["handoff", "listen"])
EitherWayOfHttp = pytest.mark.parametrize("port", [HttpPort, PlainHttpPort], ids=["handoff", "listen"])
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


def load_of(workspace, **options):
    return Load(workspace, Get, at_once=LoadAtOnce, **options)


def assert_all_served(result, at_least=1):
    assert result["ok"] == result["clients"] >= at_least, result
