# SPDX-License-Identifier: MIT
"""What proxyrun advises: each command is typed, and does what was promised."""

import contextlib
import getpass
import grp
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys

import pytest

import preload_support
from preload_support import NOBODY
from support.processes import Child, DeadlineSeconds, program
from support.workspace import free_port

Proxyrun, Proxyctl = program("proxyrun"), program("proxyctl")
Server = pathlib.Path(preload_support.__file__).parents[1] / "support" / "kept_server.py"
Me = getpass.getuser()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else, or give files away")


def run(*words, **options):
    finished = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=DeadlineSeconds,
                              **options)
    return finished.returncode, finished.stdout, finished.stderr


def type_in(command, **options):
    """As a user does it who copies an advice."""
    code, output, errors = run("sh", "-euc", command, **options)
    assert (code, errors) == (0, ""), command
    return output


@pytest.fixture
def nobody_asks(tmp_path):
    """A control socket where nobody answers, whatever runs on this machine."""
    return "--control", tmp_path / "none"


# Sites.


WhoseItIs = "; --owner is who will start the server" if os.geteuid() == 0 else ""


def test_a_site_that_is_not_there(tmp_path, nobody_asks):
    path = tmp_path / "blog"
    command = f"{Proxyctl} site add blog --owner {Me} --sites {tmp_path} --control {nobody_asks[1]}"
    start = [Proxyrun, "--site", path, *nobody_asks, "true"]
    assert run(*start) == (1, "", f"proxyrun: {path}: there is no such site directory: make it ({command}){WhoseItIs}\n")
    type_in(command)
    assert run(*start) == (0, "", "")


def test_a_relative_path_and_a_name_that_proxyctl_does_not_take(tmp_path):
    command = "mkdir -p './my site'"
    start = [Proxyrun, "--site", "./my site", "true"]
    assert run(*start, cwd=tmp_path) == (
        1, "", f"proxyrun: ./my site: there is no such site directory: make it ({command})\n")
    type_in(command, cwd=tmp_path)
    assert run(*start, cwd=tmp_path)[0] == 0


@needs_root
def test_a_name_is_made_below_run(workspace):
    """In a /run of its own, with the programs in PATH."""
    command = "mkdir -p /run/proxyd/sites && proxyctl site add no-such-site --owner root"
    complaint = f"proxyrun: /run/proxyd/sites/no-such-site: there is no such site directory: make it ({command}){WhoseItIs}"
    script = ("mount -t tmpfs none /run; proxyrun --site no-such-site true; echo $? >&2; "
              f"({command}) >/run/said; proxyrun --site no-such-site true")
    environment = {**os.environ, "PATH": f"{os.path.dirname(Proxyrun)}:{os.environ['PATH']}"}
    assert run("unshare", "--mount", "sh", "-c", script, env=environment) == (0, "", f"{complaint}\n1\n")


def test_a_name_with_a_slash_and_a_directory_without(tmp_path):
    name = f"no-such-site-{os.getpid()}"
    start = [Proxyrun, "--site"]
    assert run(*start, f"{name}/", "true", cwd=tmp_path) == (
        1, "", f"proxyrun: {name}/: with a slash it is a path, and there is no such directory here; the site of that name "
               f"is --site {name}\n")
    (tmp_path / name).mkdir()
    assert run(*start, f"{name}/", "true", cwd=tmp_path)[0] == 0
    code, _, complaint = run(*start, name, "true", cwd=tmp_path)
    assert code == 1 and complaint.endswith(f"; the directory here is --site ./{name}\n")
    assert run(*start, f"./{name}", "true", cwd=tmp_path)[0] == 0
    assert f"PROXYD_SITE={tmp_path}\n" in run(*start, ".", "env", cwd=tmp_path)[1]


def test_a_site_that_is_no_directory(tmp_path):
    path = tmp_path / "blog"
    path.touch()
    assert run(Proxyrun, "--site", path, "true") == (1, "", f"proxyrun: {path} is no directory\n")


@pytest.fixture
def site(workspace):
    """Where others may pass."""
    workspace.path.chmod(0o755)
    return workspace.site("blog")


def as_nobody(*words):
    return run(*NOBODY, Proxyrun, *words)


@needs_root
def test_a_site_that_the_user_may_not_write_to(site):
    command = f"chown nobody {site}"
    site.chmod(0o755)
    assert as_nobody("--site", site, "true") == (
        1, "", f"proxyrun: {site}: nobody can't put a socket there (Permission denied): the directory is root's; "
               f"start the server as that user (sudo -u root {Proxyrun} ...), or give the directory to this one (as root: "
               f"{command})\n")
    type_in(command)
    assert as_nobody("--site", site, "true")[0] == 0


@needs_root
def test_a_site_below_a_directory_that_is_closed(site):
    """As nobody without the capability that passes through all."""
    site.parent.chmod(0o700)
    start = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", Proxyrun, "--site", site, "true"]
    code, _, complaint = run(*start)
    if code in (126, 127):
        pytest.skip("the build itself lies where nobody else may go")
    assert (code, complaint) == (
        1, f"proxyrun: {site}: Permission denied: a directory above keeps nobody out (namei -l {site})\n")
    assert f"drwx------ root root {site.parent.name}\n" in type_in(f"namei -l {site}")


@needs_root
def test_a_site_that_keeps_its_owner_out(site):
    command = f"chmod u+rwx {site}"
    os.chown(site, 65534, 65534)
    site.chmod(0o500)
    assert as_nobody("--site", site, "true") == (
        1, "", f"proxyrun: {site}: nobody can't put a socket there (Permission denied), though the directory is "
               f"nobody's: {command}\n")
    type_in(" ".join(NOBODY) + " " + command)
    assert as_nobody("--site", site, "true") == (0, "", "")


# Its group.


@needs_root
@pytest.mark.parametrize("mode, bits", [(0o755, "s"), (0o700, "rxs")])
def test_a_site_that_is_of_no_group_of_the_workers(workspace, site, mode, bits):
    command = f"chgrp nogroup {site} && chmod g+{bits} {site}"
    site.chmod(mode)
    workspace.start_proxyd(routes={"*": str(site)}, user="nobody")
    start = [Proxyrun, "--site", site, "--control", workspace.path / "control.sock", "true"]
    assert run(*start) == (
        0, "", f"proxyrun: warning: {site}: proxyd's workers run as nobody, who is not in the directory's group root, so "
               f"they can't send to the socket: {command}; and start the server again\n")
    type_in(command)
    assert run(*start) == (0, "", "")


@needs_root
def test_a_site_whose_mode_keeps_the_workers_out(workspace, site):
    command = f"chmod g+rxs {site}"
    shutil.chown(site, group="nogroup")
    site.chmod(0o2700)
    workspace.start_proxyd(routes={"*": str(site)}, user="nobody")
    start = [Proxyrun, "--site", site, "--control", workspace.path / "control.sock", "true"]
    assert run(*start) == (0, "", f"proxyrun: warning: {site}: proxyd's workers run as nobody, whom the directory's mode "
                                  f"2700 keeps out: {command}\n")
    type_in(command)
    assert run(*start) == (0, "", "")


def group_of_workers():
    """As long as nobody says otherwise."""
    with contextlib.suppress(KeyError):
        return grp.getgrgid(pwd.getpwnam("proxyd").pw_gid)
    return grp.getgrgid(pwd.getpwnam("nobody").pw_gid)


@needs_root
@pytest.mark.parametrize("is_of_workers", [False, True])
def test_a_server_that_is_not_in_the_group_of_its_site(site, nobody_asks, is_of_workers):
    workers = group_of_workers()
    group = workers.gr_name if is_of_workers else "root"
    shutil.chown(site, "games", group)
    site.chmod(0o755)
    start = ["setpriv", "--reuid=games", "--regid=games", "--clear-groups", *NOBODY[4:], Proxyrun, "--site", site,
             *nobody_asks, "true"]
    command = ("" if is_of_workers else f"chgrp {workers.gr_name} {site} && ") + f"chmod g+s {site}"
    assert run(*start) == (
        0, "", f"proxyrun: warning: {site}: games is not in the directory's group {group}, so the socket gets another one, "
               f"and proxyd may not be able to send to it: as root: {command}; and start the server again\n")
    type_in(command)
    assert run(*start) == (0, "", "")
    assert (site.stat().st_gid, site.stat().st_mode & 0o7777) == (workers.gr_gid, 0o2755)


# Programs that start others.


Go = {
    "sudo": f"sudo takes the environment away that the library needs: put it first, sudo -u USER {Proxyrun} ... -- COMMAND",
    "runuser": ("runuser may take the environment away that the library needs: put it first, runuser -u USER -- "
                f"{Proxyrun} ... -- COMMAND"),
    "su": ("su may take the environment away that the library needs: put it first, su USER -s /bin/sh -c "
           f"'{Proxyrun} ... -- COMMAND'"),
}


@needs_root
@pytest.mark.parametrize("name", Go)
def test_a_program_that_starts_others_as_somebody_else(tmp_path, name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    for words in (["--check"], ["--site", tmp_path, "--"]):
        assert run(Proxyrun, *words, name, "someone") == (1, "", f"proxyrun: {Go[name]}\n")
    command = Go[name].rsplit("put it first, ", 1)[1]
    for placeholder, meaning in (("USER", "root"), ("...", f"--site {tmp_path}"), ("COMMAND", "env")):
        assert command.count(placeholder) == 1
        command = command.replace(placeholder, meaning)
    output = type_in(command)
    assert f"PROXYD_SITE={tmp_path}\n" in output and "libpreload.so" in output


def test_programs_that_are_known_and_not_here(tmp_path):
    texts = {"doas": f"takes the environment away that the library needs: put it first, doas -u USER {Proxyrun} ... -- COMMAND",
             "pkexec": "takes the environment away that the library needs: put it first, pkexec --user USER "
                       f"{Proxyrun} ... -- COMMAND",
             "docker": "has the server started in a container, which needs the site's directory, libpreload.so and its "
                       "variables: see libpreload(7)",
             "systemctl": "starts a service in an environment of its own: put proxyrun before the server's own command"}
    for name, text in texts.items():
        shutil.copy("/bin/true", tmp_path / name)
        assert run(Proxyrun, "--check", tmp_path / name) == (1, "", f"proxyrun: {name} {text}\n")


# A server whose port is open all the same.


TakenAway = ("something between proxyrun and the server has taken the environment away (env -i, sudo...): put proxyrun "
             "behind that, right before the server's own command")


@contextlib.contextmanager
def hinted(workspace, command, *, keep, port):
    """The words that the hint begins with, and what follows them."""
    words = [Proxyrun, "--site", workspace.site("blog"), "--port", f"443={port}", *(["--keep"] if keep else []), "--",
             *command]
    if not keep:  # on a terminal alone
        words = [sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))", *words]
    child = Child(words, start_new_session=True)
    workspace.children.append(child)
    try:
        yield child.wait_for_line(rf"^proxyrun: the server has opened port {port} itself, without the library: (.*?)\r?$")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "on a terminal"])
def test_an_environment_that_was_taken_away(workspace, keep):
    port = free_port("127.0.0.1")
    with hinted(workspace, ["env", "-i", sys.executable, "-u", Server, port], keep=keep, port=port) as hint:
        assert hint.group(1) == TakenAway


def test_a_script_that_starts_a_program_without_libc(workspace):
    source = workspace.path / "server.c"
    source.write_text("""
        #include <arpa/inet.h>
        #include <stdlib.h>
        #include <unistd.h>
        int main(int count, char** arguments) {
            struct sockaddr_in address = {AF_INET, htons(atoi(arguments[count - 1])), {htonl(INADDR_LOOPBACK)}};
            int listener = socket(AF_INET, SOCK_STREAM, 0);
            if (bind(listener, (void*)&address, sizeof(address)) || listen(listener, 5)) return 1;
            return pause();
        }
    """)
    server = workspace.path / "server"
    subprocess.run(["gcc", "-static", "-o", server, source], check=True)
    port = free_port("127.0.0.1")
    with hinted(workspace, ["sh", "-c", f"{server} {port}; true"], keep=True, port=port) as hint:
        assert hint.group(1) == f"{server} is statically linked, so nothing can be preloaded: use a dynamically linked build"


# Another server that is there.


def start_server(workspace, port, *options, edge=443):
    child = Child([Proxyrun, "--site", workspace.site("blog"), "--port", f"{edge}={port}", "--control",
                   workspace.path / "none", *options, "--", sys.executable, "-u", Server, port], start_new_session=True)
    workspace.children.append(child)
    return child


def test_a_second_server_is_told_of_the_first(workspace):
    first = start_server(workspace, 8443)
    first.wait_for_line("^serving ")
    socket_file = workspace.path / "blog" / "443.4-7f000001-8443-0.sock"
    note = (f"proxyrun: note: another server has port 8443 of this site ({socket_file}); if this one ends because the "
            "address is in use: with --takeover it takes that one's place, and on another port (--port 443=OTHER) it shares "
            "the clients")
    second = start_server(workspace, 8443)
    assert second.wait_for_exit() == 1
    assert second.lines[0] == note and any("Address already in use" in line for line in second.lines)
    beside = start_server(workspace, 8444)
    beside.wait_for_line("^serving ")
    other_edge = start_server(workspace, 8443, edge=80)
    other_edge.wait_for_line("^serving ")
    heir = start_server(workspace, 8443, "--takeover")
    heir.wait_for_line("^serving ")
    heir.end()
    first.end()
    again = start_server(workspace, 8443)
    again.wait_for_line("^serving ")
    assert [line for child in (beside, other_edge, heir, again) for line in child.lines if "proxyrun" in line] == []
