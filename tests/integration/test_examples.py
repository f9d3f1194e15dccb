# SPDX-License-Identifier: MIT
"""Every example works as its README says, and leaves nothing behind."""

import os
import pathlib
import re
import signal
import socket

import pytest

Examples = pathlib.Path(__file__).parents[2] / "examples"
Scripts = sorted(Examples.glob("*/run.sh"))
SecondsMax = 180  # for a whole example on a busy machine; each step in it has 30


def start(workspace, script, *arguments):
    """With a directory of the workspace for what is temporary, which servers of other users may pass through;
    PROXYD_BUILD says what is tested."""
    workspace.path.chmod(0o711)
    return workspace.start(script, *arguments, env={**os.environ, "TMPDIR": str(workspace.site("temporary"))})


def users_of(directory):
    """The processes that have something in the directory open or for their working directory."""
    def uses(process):
        try:
            links = [process / "cwd", process / "exe", *(process / "fd").iterdir()]
            return any(os.readlink(link).startswith(f"{directory}/") for link in links)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False  # gone meanwhile, or somebody else's

    return [int(process.name) for process in pathlib.Path("/proc").glob("[0-9]*") if uses(process)]


def assert_nothing_is_left(workspace):
    assert users_of(workspace.path) == []
    assert list(workspace.site("temporary").iterdir()) == []


@pytest.mark.parametrize("script", Scripts, ids=[script.parent.name for script in Scripts])
def test_example_runs_and_ends_cleanly(workspace, script):
    example = start(workspace, script)
    assert example.process.wait(SecondsMax) == 0
    assert_nothing_is_left(workspace)


def test_quickstart_shows_that_each_server_saw_the_client_itself(workspace):
    example = start(workspace, Examples / "quickstart" / "run.sh")
    assert example.wait_for_exit() == 0
    output = "\n".join(example.lines)
    rows = re.findall(r"^  (https?)://(\w+)\S+ +([^/ ]+)/\S+ +(127\S+):(\d+) +(127\S+):(\S+) +same$", output, re.M)
    assert [row[:3] for row in rows] == [("https", "blog", "nginx"), ("https", "app", "Node.js"),
                                         ("http", "files", "Python")]
    assert [row[3] for row in rows] == [row[5] for row in rows] == ["127.0.0.11", "127.0.0.22", "127.0.0.33"]
    assert [row[6] for row in rows] == [rows[0][4], rows[1][4], "-"]
    assert len(re.findall(r"^\S+ access .* verdict=handed_over reason=exact_name ", output, re.M)) == 3
    assert "Connections open in Node.js: 1, in proxyd: 0." in output
    assert "has all 67108864 bytes" in output


def test_quickstart_stays_until_it_is_told_to_end(workspace):
    example = start(workspace, Examples / "quickstart" / "run.sh", "--stay")
    example.wait_for_line("until you press Ctrl-C")
    example.wait_for_line("kill -9")
    assert len(users_of(workspace.path)) >= 6  # run.sh itself, proxyd, nginx and its workers, Node.js, Python
    example.signal(signal.SIGTERM)
    assert example.wait_for_exit() == 0
    assert_nothing_is_left(workspace)


def test_quickstart_ends_cleanly_when_it_is_interrupted(workspace):
    example = start(workspace, Examples / "quickstart" / "run.sh")
    example.wait_for_line("proxyd listens on")
    example.signal(signal.SIGTERM)
    assert example.wait_for_exit() == 128 + signal.SIGTERM
    assert_nothing_is_left(workspace)


def test_quickstart_takes_other_ports_when_its_own_are_taken(workspace):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 8443))
            holder.listen()
        except OSError:
            pass  # somebody else holds it, which serves as well
        example = start(workspace, Examples / "quickstart" / "run.sh")
        assert example.wait_for_exit() == 0
    listens = example.wait_for_line(r"proxyd listens on 127\.0\.0\.1, ports (\d+) ")
    assert int(listens.group(1)) > 8443


def test_quickstart_says_what_is_missing(workspace):
    example = start(workspace, Examples / "quickstart" / "run.sh", workspace.path)
    assert example.wait_for_exit() == 1
    assert example.lines == [f"run.sh: there is no {workspace.path}/bin/proxyd; ./quickstart.sh installs and builds it"]


def test_acme_shows_that_each_client_comes_where_it_belongs(workspace):
    example = start(workspace, Examples / "acme" / "run.sh")
    assert example.wait_for_exit() == 0
    rows = [line.split()[1:] for line in example.lines if " alpn=" in line]
    web, acme = "alpn=h2,http/1.1", "alpn=acme-tls/1"
    assert rows == [
        ["blog.example.test", web, "route=blog.example.test", "handed_over", "exact_name"],
        *[[f"{name}.example.test", acme, "route=alpn/acme-tls/1", "handed_over", "alpn"]
          for name in ("blog", "new", "other")],
        ["intern.example.test", web, "route=intern.example.test", "handed_over", "exact_name"],
        ["intern.example.test", web, "route=intern.example.test", "rejected", "route_allow"],
        ["intern.example.test", web, "route=intern.example.test", "rejected", "route_deny"]]
