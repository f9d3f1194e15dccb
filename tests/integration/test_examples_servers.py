# SPDX-License-Identifier: MIT
"""What the examples of single servers show (test_examples.py runs all examples): as an ordinary user, with
the first ports taken; and what systemd says of their units."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from preload_support import NOBODY
from support.load import state_of
from support.unit_files import faults_of_units

Examples = pathlib.Path(__file__).parents[2] / "examples"
Build = pathlib.Path(os.environ["PROXYD_BUILD"])
SystemUnits = pathlib.Path("/lib/systemd/system")

SecondsMax = 180  # for a whole example on a busy machine; each step in it has 30
NothingInProxyd = r"A connection is held open now\. Connections open in {}: 1, in proxyd: 0\."

# The server, the clients whose addresses it must have seen, and what else is said.
Shown = {
    "nginx": ("nginx", ["127.0.0.11", "127.0.0.22"], [
        r'  127\.0\.0\.11:\d+ "GET / HTTP/2\.0" 200 HTTP/2\.0',
        r"Upgraded \(USR2, QUIT\): the new nginx has taken over the site sockets of the old one\.",
        r"Meanwhile (\d+) clients came, one after the other; \1 were answered\."]),
    "apache-php": ("Apache", ["127.0.0.11", "127.0.0.22", "127.0.0.44", "127.0.0.55"], [
        r'  127\.0\.0\.33:\d+ "GET / HTTP/1\.1" 301']),
    "wordpress": ("Apache", ["127.0.0.33", "127.0.0.44"], [
        r"WordPress [\d.]+ was installed by its wizard, over TLS through proxyd\.",
        r"  The front page's title: A blog behind proxyd",
        r'  127\.0\.0\.33 "POST /wp-comments-post\.php HTTP/1\.1" 302']),
    "django": ("gunicorn", ["127.0.0.11", "127.0.0.22", "127.0.0.33", "127.0.0.55"], [
        r"Reloaded \(HUP\) in between: new workers answer\."]),
    "node": ("Node.js", ["127.0.0.11", "127.0.0.22"], [
        r"Two processes of a cluster serve, one after the other: \d+ and \d+\."]),
    "java": ("Tomcat", ["127.0.0.11", "127.0.0.22"], [
        r'  127\.0\.0\.11:\d+ "GET / HTTP/2\.0" 200']),
    "sshd": ("sshd", ["127.0.0.11", "127.0.0.22", "127.0.0.44"], [
        r"sshd was restarted \(HUP: it executes itself again\), and took another client; the session went on\.",
        r"  Accepted publickey for \S+ from 127\.0\.0\.33 port \d+ ssh2:"]),
}


def hold_first_ports(workspace):
    """So that the examples must take others; whoever else holds them serves as well."""
    for port in (8443, 8080):
        holder = workspace.close_at_end(socket.socket())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            holder.bind(("127.0.0.1", port))
            holder.listen()


def launcher_of(example):
    """As an ordinary user, but for sshd, who lets nobody in without a shell."""
    return NOBODY if os.geteuid() == 0 and example != "sshd" else []


def start(workspace, example):
    temporary = workspace.site("temporary")
    workspace.path.chmod(0o711)
    launcher = launcher_of(example)
    if launcher:
        shutil.chown(temporary, "nobody")
    run = workspace.start(*launcher, Examples / example / "run.sh",
                          env={**os.environ, "TMPDIR": str(temporary), "HOME": str(temporary)})
    end = workspace.close_at_end(contextlib.ExitStack())
    end.callback(run.process.wait, SecondsMax)
    end.callback(run.process.terminate)  # it ends what it has started
    return run


def wait_for_success(run):
    assert run.process.wait(SecondsMax) == 0
    run.wait_for_exit()  # and all output is there


@pytest.mark.parametrize("example", Shown)
def test_an_example_shows_who_the_server_saw(workspace, example):
    server, clients, lines = Shown[example]
    hold_first_ports(workspace)
    run = start(workspace, example)
    wait_for_success(run)
    output = "\n".join(run.lines)
    rows = re.findall(r"^  (?:http|ssh|a comment|another).* +(127\.[\d.:]+) +(127\.[\d.:]+) +same$", output, re.M)
    assert [row[0].split(":")[0] for row in rows] == clients
    assert all(used == seen for used, seen in rows)
    for line in [NothingInProxyd.format(re.escape(server)), *lines]:
        assert re.search(f"^{line}$", output, re.M), line
    [taken] = re.findall(r"^proxyd listens on 127\.0\.0\.1.*?port\w* (\d+)", output, re.M)
    assert int(taken) not in (8443, 8080)
    assert list(workspace.site("temporary").iterdir()) == []


def test_nginx_in_the_background_ends_with_an_example_that_is_interrupted(workspace):
    run = start(workspace, "nginx")
    run.wait_for_line(r"proxyd listens on 127\.0\.0\.1")
    daemon = int(next(workspace.path.glob("temporary/*/nginx.pid")).read_text())
    run.signal(signal.SIGTERM)
    assert run.wait_for_exit() == 128 + signal.SIGTERM
    assert state_of(daemon) in ("Z", "")
    assert list(workspace.site("temporary").iterdir()) == []


def test_a_service_is_killed_and_no_other_client_notices(workspace):
    hold_first_ports(workspace)
    run = start(workspace, "systemd")
    wait_for_success(run)
    output = "\n".join(run.lines)
    assert "systemd-analyze verify has nothing to say against the service, its drop-in and its socket unit." in output
    assert re.search(r"^The first client started the service, and got: A page\.$", output, re.M)
    assert re.search(r"^  http://files\.example\.org/page +127\.0\.0\.11 +127\.0\.0\.11 +same$", output, re.M)
    [lost] = re.findall(r"answered; (\d+) were with the service when it was killed\.$", output, re.M)
    assert int(lost) <= 5
    assert list(workspace.site("temporary").iterdir()) == []


def test_an_example_says_which_packages_are_missing():
    script = ('. "$here/../server.sh"; '
              'need bash=bash no-such-program=one-package "/no/such/*.so=another-package" /no/such/file=one-package')
    result = subprocess.run(["bash", "-c", f"set -euo pipefail; {script}"], capture_output=True, text=True,
                            env={**os.environ, "here": str(Examples / "nginx")})
    assert (result.returncode, result.stdout, result.stderr) == (
        1, "", "run.sh: not everything is installed; as root: "
               "apt install --no-install-recommends another-package one-package\n")


def units():
    for path in sorted(Examples.glob("*/*.service.d/proxyd.conf")):
        yield pytest.param(path.parent.name.removesuffix(".d"), path, id=f"{path.parts[-3]}-{path.parts[-2]}")
    for path in sorted(Examples.glob("*/*.service")):
        yield pytest.param(path.name, path, id=f"{path.parent.name}-{path.name}")


@pytest.mark.parametrize("name, path", units())
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path, name, path):
    """A drop-in with the unit that it is for, as far as its package is there, and with this build's proxyrun."""
    unit = tmp_path / name
    drop_in = tmp_path / f"{name}.d" / "proxyd.conf"
    for base in (SystemUnits / name, *Examples.glob(f"*/{name}"), *Examples.glob(f"*/{unit.stem}.socket")):
        if base.exists():
            shutil.copy(base, tmp_path)
    if not unit.exists():
        unit.write_text("[Service]\n")
    target = unit if path.name == name else drop_in
    target.parent.mkdir(exist_ok=True)
    target.write_text(path.read_text().replace("/usr/bin/proxyrun", str(Build / "bin" / "proxyrun")))
    assert faults_of_units(unit, SYSTEMD_UNIT_PATH=f"{tmp_path}:") == []
