# SPDX-License-Identifier: MIT
"""nginx that receives handoffs by itself: what may be written in its configuration, and what it says of the rest."""

import re
import socket
import subprocess

import pytest

from nginx_native_support import EveryFlavour, start
from support.native_nginx import Environment, Script
from support.processes import DeadlineSeconds
from support.servers import certificate_of_servers
from support.workspace import Port

Nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
Path = "unix:/tmp/proxyd-never/443.sock"
TooLong = f"unix:/tmp/{'x' * 102}"  # as long as an address can be: there is no room for the dot


def nginx_says(workspace, flavour, server, *arguments, prefix=()):
    """The exit code, and the first line that tells of trouble, without its date and the configuration's name."""
    configuration = workspace.path / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {workspace.path}/{kind};"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration.write_text(f"{flavour.load()}pid {workspace.path}/pid; events {{}}\n"
                             f"http {{ access_log off; {temporary} server {{ {server} return 200; }} }}")
    result = subprocess.run([*prefix, flavour.binary, "-e", "stderr", "-c", configuration, *arguments],
                            capture_output=True, text=True, env=Environment, timeout=DeadlineSeconds)
    line = next((line for line in result.stderr.splitlines() if "[emerg]" in line), "")
    return result.returncode, re.sub(r"^.*?\[emerg\] \d+#\d+: | in /\S+:\d+$", "", line)


def incompatible(name):
    return f'"listen" directive "{name}" parameter is incompatible with "handoff"'


@pytest.mark.parametrize("where, options, patched, module", [
    (Path, "reuseport", incompatible("reuseport"), 'invalid parameter "reuseport"'),
    (Path, "deferred", incompatible("deferred"), 'invalid parameter "deferred"'),
    (Path, "backlog=10", incompatible("backlog"), 'invalid parameter "backlog=10"'),
    (Path, "fastopen=3", incompatible("fastopen"), 'invalid parameter "fastopen=3"'),
    (Path, "udp", 'invalid parameter "udp"', 'invalid parameter "udp"'),
    (Path, "sll", 'invalid parameter "sll"', 'invalid parameter "sll"'),
    ("127.0.0.1:443", "", '"listen" directive "handoff" parameter is supported by unix sockets only',
     '"listen_handoff" directive needs a path: unix:/...'),
    ("unix:", "", 'no path in the unix domain socket in "unix:" of the "listen" directive',
     'no path in the unix domain socket in "unix:" of the "listen_handoff" directive'),
    (TooLong, "", f'the path of a "handoff" socket is too long: {TooLong}',
     f'the path of a "handoff" socket is too long: {TooLong}'),
    (Path, "", f'no socket can be made in "/tmp/proxyd-never/" for {Path} (2: No such file or directory)',
     f'no socket can be made in "/tmp/proxyd-never/" for {Path} (2: No such file or directory)'),
    ("unix:/dev/null", "", '"/dev/null" is there already, and not a socket',
     '"/dev/null" is there already, and not a socket'),
])
@EveryFlavour
def test_what_cannot_be(workspace, flavour, where, options, patched, module):
    listen = flavour.listen(where.removeprefix("unix:"), options)
    if not where.startswith("unix:"):
        listen = listen.replace("unix:", "")
    assert nginx_says(workspace, flavour, listen, "-t") == (1, patched if flavour.is_patched else module)


@EveryFlavour
def test_a_socket_that_one_may_not_ask_is_not_replaced(workspace, flavour):
    """It might be alive."""
    workspace.path.chmod(0o777)
    path = workspace.path / "443.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    path.chmod(0o600)
    expected = 1, f"connect() to unix:{path} failed, so it may be in use (13: Permission denied)"
    for arguments in ([], ["-t"]):
        assert nginx_says(workspace, flavour, flavour.listen(path), *arguments, prefix=Nobody) == expected
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(str(path))


@EveryFlavour
def test_several_servers_behind_one_socket_are_told_apart_by_name(workspace, start, flavour):
    path = workspace.site("nginx") / f"{Port}.sock"
    nginx = start(flavour, server=f"""}} server {{
        {flavour.listen(path, "ssl")}
        server_name other.example.org;
        return 200 "other $handoff_name";
    }} server {{
        {flavour.listen(path, "ssl default_server")}
        return 200 "default $handoff_name"; """)
    start.proxyd.reload(routes={"*": str(nginx.site)})
    for name, expected in ((nginx.host, "nginx client "), ("other.example.org", "other other.example.org"),
                           ("any.example.org", "default any.example.org"), (workspace.address, "default ")):
        command = ["curl", "-sSk", "--resolve", f"{name}:{Port}:{workspace.address}", f"https://{name}:{Port}/"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=DeadlineSeconds)
        assert answer.stdout.startswith(expected), (name, answer)


@EveryFlavour
def test_the_configuration_of_the_readme_is_right(workspace, flavour):
    text = (Script.parent / "README.md").read_text()
    text = text[text.index("    log_format handoff"):text.index("Then `sudo nginx -t")]
    certificate, key = certificate_of_servers(workspace)
    text = text.replace("/run/proxyd/sites/web", str(workspace.site("nginx"))).replace("/var/log/nginx", str(workspace.path))
    text = text.replace("/etc/ssl/www.pem", str(certificate)).replace("/etc/ssl/www.key", str(key))
    text = text.replace("        ...", f"ssl_certificate {certificate}; ssl_certificate_key {key};")
    if flavour.is_patched:
        text = re.sub(r"listen_handoff (unix:[^ ;]+)", r"listen \1 handoff", text)
    (workspace.path / "nginx.conf").write_text(
        f"{flavour.load()} pid {workspace.path}/pid; events {{}} http {{ {text} }}")
    tested = subprocess.run([flavour.binary, "-t", "-e", "stderr", "-c", workspace.path / "nginx.conf"],
                            capture_output=True, text=True, env=Environment, timeout=DeadlineSeconds)
    assert tested.returncode == 0 and "test is successful" in tested.stderr, tested.stderr
