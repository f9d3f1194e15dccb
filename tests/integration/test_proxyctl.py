# SPDX-License-Identifier: MIT
"""proxyctl with a real proxyd: what it shows, what it commands, and how it ends."""

import getpass
import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from support.control import Events, objects, proxyctl, start_with_control
from support.processes import program
from support.workspace import Port, wait_until

Get = b"GET / HTTP/1.1\r\nHost: blog.example.org\r\n\r\n"


@pytest.fixture
def rewrite(workspace):
    """Changes keys of the configuration file."""
    def change(**keys):
        path = workspace.path / "proxyd.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | keys, indent=2))
    return change


def test_status(workspace):
    proxyd = start_with_control(workspace)
    status, = objects(workspace, "status")
    assert (status["pid"], status["generation"], status["log_level"]) == (proxyd.pid, 1, "notice")
    assert status["listeners"] == [{"address": f"{workspace.address}:{Port}", "site": None}]
    assert [worker["state"] for worker in status["workers"]] == ["serving"] * 2
    uid = os.stat(f"/proc/{status['workers'][0]['pid']}").st_uid
    assert status["user"] == pwd.getpwuid(uid).pw_name
    shown = proxyctl(workspace, "status")
    assert shown.returncode == 0
    assert f"\nworkers run as {status['user']}, confined by seccomp and Landlock {status['landlock']}\n" in shown.stdout
    assert shown.stdout.startswith(f"proxyd {status['version']}, process {proxyd.pid}, up ")
    assert len(shown.stdout.splitlines()) == 9


def test_sites_show_who_listens_and_who_waits(workspace):
    start_with_control(workspace, routes={"blog.example.org": str(workspace.site("blog")),
                                          "other.example.org": str(workspace.path / "other")})
    workspace.connect(Get)
    workspace.connect(Get)

    def waiting():
        sites = {site["site"]: site for site in objects(workspace, "sites")}
        assert sites[str(workspace.path / "other")]["directory"] == {"state": "absent"}
        ports = sites[str(workspace.path / "blog")]["ports"]
        return ports if ports and ports[0]["waiting"] == 2 else None
    port, = wait_until(waiting, "two clients that wait")
    assert (port["port"], port["sockets"]) == (Port, [])
    inbox = workspace.inbox("blog")
    os.chmod(inbox.path, 0o660)
    for _ in range(2):
        inbox.receive()
    workspace.connect(Get)
    wait_until(lambda: not inbox.is_empty(), "a queued client")
    site, = objects(workspace, "sites", "blog")
    socket, = site["ports"][0]["sockets"]
    assert (socket["file"], socket["state"], socket["queued"], socket["mode"]) == (f"{Port}.sock", "live", 1, "0660")
    assert site["ports"][0]["last_taker"] == f"{Port}.sock"
    inbox.receive()
    os.chmod(inbox.path, 0o666)
    site, = objects(workspace, "sites", "blog")
    assert site["ports"][0]["sockets"][0]["world_writable"]
    assert "world-writable: everybody here can inject connections" in proxyctl(workspace, "sites").stdout
    inbox.close()
    site, = objects(workspace, "sites", "blog")
    assert site["ports"][0]["sockets"][0]["state"] == "dead"


def test_sessions(workspace):
    start_with_control(workspace, routes={"blog.example.org": str(workspace.path / "blog")})
    without_hello, waiting = workspace.connect(Get[:10]), workspace.connect(Get)

    def both():
        sessions = {session["client"]: session for session in objects(workspace, "sessions")}
        return sessions if len(sessions) == 2 and all(s["bytes_seen"] for s in sessions.values()) else None
    sessions = wait_until(both, "two sessions")
    first, second = sessions[without_hello.address_text], sessions[waiting.address_text]
    assert (first["state"], first["name"], first["bytes_seen"]) == ("awaiting_hello", None, 10)
    assert (second["state"], second["name"], second["route"], second["site"]) == (
        "awaiting_site", "blog.example.org", "blog.example.org", str(workspace.path / "blog"))
    assert len(objects_of_one(workspace)) == 1


def objects_of_one(workspace):
    result = proxyctl(workspace, "--json", "sessions", "--limit", 1)
    assert (result.returncode, result.stderr) == (0, "proxyctl: 1 more are not shown\n")
    return result.stdout.splitlines()


def test_three_thousand_routes_come_in_pages(workspace):
    routes = {f"name-{i:05}.example.org": str(workspace.site(f"site-{i:05}")) for i in range(3000)}
    start_with_control(workspace, routes=routes, sites=str(workspace.sites))
    workspace.site("sites/own.example.org")
    listed = objects(workspace, "routes")
    assert {route["route"]: route["site"] for route in listed} == routes | {
        "sites/own.example.org": str(workspace.sites / "own.example.org")}
    assert len(listed) == 3001
    sites = [site["site"] for site in objects(workspace, "sites")]
    assert sites == sorted([*routes.values(), str(workspace.sites / "own.example.org")])
    assert [route["route"] for route in objects(workspace, "routes", "00777")] == ["name-00777.example.org"]


def test_explain(workspace):
    inbox = workspace.inbox("blog")
    start_with_control(workspace, routes={"*.example.org": str(workspace.site("blog")),
                                          "denied.example.org": {"site": "/run/none", "deny": ["192.0.2.0/24"]}})
    explanation, = objects(workspace, "explain", "Blog.example.org", "--port", Port)
    assert (explanation["verdict"], explanation["reason"], explanation["route"], explanation["site"]) == (
        "handed_over", "wildcard_name", "*.example.org", str(workspace.site("blog")))
    assert [step["outcome"] for step in explanation["steps"]][-1] == "match"
    assert [socket["state"] for socket in explanation["sockets"]] == ["live"]
    denied, = objects(workspace, "explain", "denied.example.org", "--port", Port, "--from", "192.0.2.7")
    assert (denied["verdict"], denied["reason"]) == ("rejected", "route_deny")
    inbox.close()
    shown = proxyctl(workspace, "explain", "blog.example.org", "--port", Port)
    assert shown.stdout.splitlines()[-1] == (
        "Nobody listens there now: a client waits, and is rejected if that doesn't change.")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_socket_that_has_been_taken_away_is_not_shown_as_if_it_were_there(workspace, workers):
    """Its receiver goes on living, and proxyd has a descriptor for it until the next client comes."""
    inbox = workspace.inbox("blog")
    start_with_control(workspace, workers=workers, routes={"blog.example.org": str(workspace.site("blog"))})
    for _ in range(10):
        workspace.connect(Get)
        inbox.receive().close()
    os.unlink(inbox.path)
    site, = objects(workspace, "sites")
    assert [port["sockets"] for port in site["ports"]] == [[]]
    explanation, = objects(workspace, "explain", "blog.example.org", "--port", Port)
    assert explanation["sockets"] == []


def test_sockets_for_a_port_that_nobody_comes_to_are_pointed_out(workspace):
    start_with_control(workspace, routes={"blog.example.org": str(workspace.site("blog"))})
    workspace.inbox("blog", "80.sock")
    site, = objects(workspace, "sites")
    assert [(port["port"], port["listened_at"]) for port in site["ports"]] == [(80, False)]
    assert proxyctl(workspace, "sites").stdout.splitlines()[1].endswith("  proxyd doesn't listen on port 80")
    explanation, = objects(workspace, "explain", "blog.example.org", "--port", Port)
    assert (explanation["sockets"], explanation["other_ports"]) == ([], [80])
    shown = proxyctl(workspace, "explain", "blog.example.org", "--port", Port)
    assert shown.stdout.splitlines()[-1] == "The site's live sockets are for port 80: --port asks for that."


def test_a_server_that_accepts_where_it_should_receive(workspace):
    """nginx, when `handoff` has been forgotten."""
    path = workspace.site("blog") / f"{Port}.sock"
    listener = workspace.close_at_end(socket.socket(socket.AF_UNIX))
    listener.bind(str(path))
    listener.listen()
    start_with_control(workspace, routes={"blog.example.org": str(path.parent)})
    explanation, = objects(workspace, "explain", "blog.example.org", "--port", Port)
    assert [one["state"] for one in explanation["sockets"]] == ["stream"]
    row = proxyctl(workspace, "sites").stdout.splitlines()[1]
    assert row.endswith("  a stream socket, which receives no handoffs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has workers of another user")
@pytest.mark.parametrize("mode", [0o2750, 0o2754])
def test_a_site_directory_that_the_workers_may_not_enter(workspace, mode):
    workspace.path.chmod(0o755)
    blog = workspace.site("blog")
    inbox = workspace.inbox("blog")
    blog.chmod(mode)
    proxyd = start_with_control(workspace, user="nobody", workers=1, wait_for_site="50ms",
                                routes={"blog.example.org": str(blog)})
    trouble = f"proxyd's user nobody may not enter it: owner root, group root, mode {mode:04o}"
    assert proxyctl(workspace, "sites").stdout.splitlines()[1].endswith(f"  {trouble}")
    for _ in range(2):
        client = workspace.connect(Get)
        client.read_to_end()
        assert proxyd.access_line_of(client)["reason"] == "site_not_permitted"
    row = proxyctl(workspace, "sites").stdout.splitlines()[1]
    assert row.split()[1] == str(Port) and row.endswith(f"  {trouble}")
    shown = proxyctl(workspace, "explain", "blog.example.org", "--port", Port)
    assert shown.stdout.splitlines()[-1] == f"{trouble}. A client waits, and is rejected if that doesn't change."
    site, = objects(workspace, "sites")
    assert site["directory"] == {"state": "unusable", "error": "Permission denied", "worker_uid": 65534,
                                 "mode": f"{mode:04o}", "uid": 0, "gid": 0}
    told = f" site {blog}: proxyd's user 65534 may not enter it: owner 0, group 0, mode {mode:04o}"
    assert [line.endswith(told) for line in proxyd.lines if "may not enter" in line] == [True]
    blog.chmod(0o755)
    os.chmod(inbox.path, 0o666)
    workspace.connect(Get)
    inbox.receive()
    inbox.close()
    blog.chmod(mode)
    workspace.connect(Get).read_to_end()
    proxyd.wait_for(lambda lines: sum("may not enter" in line for line in lines) == 2 or None, "a second warning")


def test_a_proxyd_that_is_stopped_does_not_keep_anybody_waiting(workspace):
    proxyd = start_with_control(workspace)
    proxyd.signal(signal.SIGSTOP)
    try:
        result = proxyctl(workspace, "status")
    finally:
        proxyd.signal(signal.SIGCONT)
    assert result.returncode == 1
    assert result.stderr == (f"proxyctl: {workspace.path}/control.sock: proxyd has said nothing for 10 s: "
                             "it is stopped, or very busy\n")


def test_events_follow_sessions_reloads_and_workers(workspace):
    proxyd = start_with_control(workspace, routes={"blog.example.org": str(workspace.site("blog"))})
    inbox = workspace.inbox("blog")
    events = Events(workspace)
    client = workspace.connect(Get)
    inbox.receive()
    session = events.wait_for_event(lambda event: event["event"] == "session")
    assert (session["client"], session["name"], session["verdict"], session["reason"]) == (
        client.address_text, "blog.example.org", "handed_over", "exact_name")
    assert session["id"] == proxyd.access_line_of(client)["id"]
    assert proxyctl(workspace, "reload").returncode == 0
    assert events.wait_for_event(lambda event: event["event"] == "reload")["ok"] is True
    client = workspace.connect(Get)
    inbox.receive()
    events.wait_for_event(lambda event: event.get("client") == client.address_text)
    victim = objects(workspace, "status")[0]["workers"][-1]["pid"]
    os.kill(victim, signal.SIGKILL)
    lost = events.wait_for_event(lambda event: event.get("state") == "lost")
    assert lost["pid"] == victim and "was ended by SIGKILL" in lost["reason"]


def test_events_go_on_over_an_upgrade(workspace):
    start_with_control(workspace, routes={"blog.example.org": str(workspace.site("blog"))})
    inbox = workspace.inbox("blog")
    events = Events(workspace)
    result = proxyctl(workspace, "upgrade")
    assert (result.returncode, result.stdout, result.stderr) == (0, "The new program has taken over.\n", "")
    assert events.wait_for_event(lambda event: event["event"] == "upgrade")["ok"] is True
    client = workspace.connect(Get)
    inbox.receive()
    events.wait_for_event(lambda event: event.get("client") == client.address_text)


def test_events_end_after_the_count(workspace):
    start_with_control(workspace, routes={"blog.example.org": str(workspace.site("blog"))})
    inbox = workspace.inbox("blog")
    events = Events(workspace, "--count", "2")
    for _ in range(3):
        workspace.connect(Get)
        inbox.receive()
    assert events.wait_for_exit() == 0
    assert len(events.lines) == 3  # the first one tells that it has begun


def test_a_wrong_configuration_is_reported_in_full_and_changes_nothing(workspace, rewrite):
    start_with_control(workspace)
    rewrite(listen=["nowhere"], sessions_max=0)
    result = proxyctl(workspace, "reload")
    path = workspace.path / "proxyd.json"
    assert (result.returncode, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0] == "proxyctl: reload failed, everything goes on as before"
    assert lines[1].startswith(f"{path}:") and " listen[0]: 'nowhere' is no address to listen on" in lines[1]
    assert " sessions_max: is 0, a whole number from 1 " in lines[2]
    assert len(lines) == 3
    status, = objects(workspace, "status")
    assert (status["generation"], status["last_reload"]["ok"]) == (1, False)
    assert len(status["last_reload"]["problems"]) == 2


def test_a_reload_tells_of_warnings(workspace, rewrite):
    start_with_control(workspace)
    rewrite(routes={"*": "/nowhere/blog"})
    result = proxyctl(workspace, "reload")
    assert (result.returncode, result.stdout) == (0, "The configuration is in force.\n")
    assert re.fullmatch(rf"{workspace.path}/proxyd.json:\d+: routes.\*: /nowhere/blog: No such file or directory; "
                        r"clients wait until it is there \(a warning\)\n", result.stderr)
    rewrite(routes={"*": str(workspace.site("blog"))})
    assert proxyctl(workspace, "reload").stderr == ""


def test_log_level(workspace):
    start_with_control(workspace)
    assert proxyctl(workspace, "log-level").stdout == "notice\n"
    assert proxyctl(workspace, "log-level", "debug").stdout == "debug\n"
    assert objects(workspace, "log-level") == [{"level": "debug"}]
    result = proxyctl(workspace, "log-level", "loud")
    assert (result.returncode, result.stdout, result.stderr) == (
        1, "", "proxyctl: there is no such log level, but there are error, warning, notice, info, debug\n")


def test_metrics(workspace):
    start_with_control(workspace)
    result = proxyctl(workspace, "metrics")
    assert result.returncode == 0
    assert "# TYPE proxyd_sessions_total counter\n" in result.stdout
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=result.stdout, text=True, check=True)


def test_without_proxyd(workspace):
    path = workspace.path / "control.sock"
    result = proxyctl(workspace, "status")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"proxyctl: {path}: No such file or directory; is proxyd running? "
                             "--control says where its socket is\n")


def run(*arguments):
    return subprocess.run([program("proxyctl"), *map(str, arguments)], capture_output=True, text=True)


def test_wrong_command_lines():
    assert (run().returncode, run().stderr) == (2, "proxyctl: a command is missing, see proxyctl --help\n")
    result = run("explain", "a", "--port", "x")
    assert (result.returncode, result.stderr) == (
        2, "proxyctl: --port x: a whole number from 1 to 65535 is allowed\n")
    for arguments, what in ((("--from", "nonsense"), "an IP address"),
                            (("--protocol", "gopher"), "one of tls, http, h2, ssh, silent, other")):
        result = run("explain", "a", *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"proxyctl: {' '.join(arguments)}: {what} is allowed\n"
    assert run("statsu").returncode == 2


def test_version_is_that_of_proxyd():
    assert run("--version").stdout.split()[1] == subprocess.run(
        [program("proxyd"), "--version"], capture_output=True, text=True).stdout.split()[1]


# Sites

def me():
    return "root" if os.geteuid() == 0 else str(os.geteuid())


def test_site_add_makes_a_directory_that_is_a_route_at_once(workspace):
    start_with_control(workspace, sites=str(workspace.sites))
    result = proxyctl(workspace, "site", "add", "Blog.Example.org", "--owner", me(), "--group", os.getegid(),
                      "--sites", workspace.sites)
    assert (result.returncode, result.stderr) == (0, "")
    directory = workspace.sites / "blog.example.org"
    assert result.stdout.endswith("\nClients that ask for blog.example.org come here unless a route says otherwise.\n")
    assert result.stdout.startswith(f"{directory} is there: owner ")
    assert f"    proxyrun --site '{directory}' -- COMMAND...\n" in result.stdout
    status = directory.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o2750, os.geteuid(), os.getegid())
    assert [entry.name for entry in workspace.sites.iterdir()] == ["blog.example.org"]
    inbox = workspace.inbox("sites/blog.example.org")
    workspace.connect(Get)
    inbox.receive()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_site_add_gives_it_to_another_user(workspace):
    result = run("site", "add", "*.example.org", "--owner", "nobody", "--group", "daemon", "--sites", workspace.sites)
    assert (result.returncode, result.stderr) == (0, "")
    status = (workspace.sites / "*.example.org").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (65534, 0o2750)


def test_site_add_says_which_route_is_needed(workspace):
    add = ("site", "add", "blog.test", "--owner", me(), "--group", os.getegid(), "--sites", workspace.sites)
    line = f'    "blog.test": "{workspace.sites}/blog.test"\n'
    without_proxyd = proxyctl(workspace, *add)
    assert without_proxyd.stdout.endswith(
        '\nRoute clients to it, in "routes" of proxyd\'s configuration, unless its "sites" is '
        f'"{workspace.sites}":\n{line}')
    (workspace.sites / "blog.test").rmdir()
    start_with_control(workspace, sites=str(workspace.site("others")))
    assert proxyctl(workspace, *add).stdout.endswith(
        f'\nRoute clients to it, in "routes" of proxyd\'s configuration:\n{line}')
    assert proxyctl(workspace, *add[:2], "blog", *add[3:]).stdout.endswith(
        f'    "blog.example.org": "{workspace.sites}/blog"  // the name that they ask for\n')


def test_site_add_refuses(workspace):
    add = ("site", "add", "a.example.org", "--sites", workspace.sites)
    assert run(*add).stderr == "proxyctl: --owner is missing, see proxyctl site add --help\n"
    assert run(*add, "--owner", "no such user").stderr == (
        "proxyctl: --owner no such user: there is no such user\n")
    name = run("site", "add", "../a", "--owner", me())
    assert (name.returncode, name.stderr) == (
        2, "proxyctl: '../a' is neither a DNS name nor a wildcard such as '*.example.org' (name_has_empty_label)\n")
    (workspace.sites / "a.example.org").mkdir()
    there = run(*add, "--owner", me(), "--group", os.getegid())
    assert (there.returncode, there.stderr) == (
        1, f"proxyctl: cannot make {workspace.sites}/a.example.org: File exists; to give it the right group and "
        f"mode: chgrp {grp.getgrgid(os.getegid()).gr_name} '{workspace.sites}/a.example.org' && "
        f"chmod 2750 '{workspace.sites}/a.example.org', and restart the server\n")


def test_site_list(workspace):
    (workspace.sites / "a.example.org").mkdir(mode=0o755)
    result = run("site", "list", "--sites", workspace.sites)
    assert result.returncode == 0
    assert re.split(r"\s{2,}", result.stdout.splitlines()[1])[0] == "a.example.org"
    control = ("--control", workspace.path / "control.sock")  # not that of a proxyd of the machine
    listed, = map(json.loads, run("site", "list", "--json", "--sites", workspace.sites, *control).stdout.splitlines())
    assert listed["problems"] == ["has no set-group-ID bit: sockets get the server's group"]
    start_with_control(workspace)
    (workspace.sites / "a.example.org").chmod(0)
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    closed = subprocess.run([*prefix, program("proxyctl"), "site", "list", "--sites", workspace.sites, *control],
                            capture_output=True, text=True)
    assert re.split(r"\s{2,}", closed.stdout.splitlines()[1])[4:] == [
        "?", "has no set-group-ID bit: sockets get the server's group; its mode keeps the user of proxyd's workers "
        f"({getpass.getuser()}) out; Permission denied"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has workers of another user")
def test_site_list_looks_at_the_group_for_the_workers_of_the_running_proxyd(workspace):
    for name, group in (("a.example.org", "root"), ("b.example.org", "games")):
        directory = workspace.site(f"sites/{name}")
        os.chown(directory, 1, grp.getgrnam(group).gr_gid)
        directory.chmod(0o2750)
    listing = ("site", "list", "--json", "--sites", workspace.sites)

    def problems():
        lines = proxyctl(workspace, *listing).stdout.splitlines()
        return [listed["problems"] for listed in map(json.loads, lines)]

    def closed(user, group):
        return [f"the user of proxyd's workers ({user}) is not in group {group}"]
    default = "proxyd" if "proxyd" in {user.pw_name for user in pwd.getpwall()} else "nobody"
    assert problems() == [closed(default, "root"), closed(default, "games")]
    workspace.path.chmod(0o755)
    start_with_control(workspace, user="games")
    assert problems() == [closed("games", "root"), []]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_site_add_without_root_takes_the_own_group(workspace):
    workspace.path.chmod(0o755)
    os.chown(workspace.sites, 65534, 65534)

    def add(name, *options):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=1", "--clear-groups", program("proxyctl"),
                               "--control", workspace.path / "control.sock", "site", "add", name, "--owner", "nobody",
                               "--sites", workspace.sites, *options], capture_output=True, text=True)
    result = add("a.example.org")
    assert (result.returncode, result.stderr) == (0, "")
    status = (workspace.sites / "a.example.org").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 1, 0o2750)
    result = add("b.example.org", "--group", "games")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (f"proxyctl: cannot make {workspace.sites}/b.example.org: it can't be given to owner nobody "
                             "and group games: Operation not permitted\n")
    listing = subprocess.run(["setpriv", "--reuid=65534", "--regid=1", "--clear-groups", program("proxyctl"), "--control",
                              workspace.path / "control.sock", "--json", "site", "list", "--sites", workspace.sites],
                             capture_output=True, text=True)
    assert json.loads(listing.stdout)["problems"] == []
