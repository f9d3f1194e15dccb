# SPDX-License-Identifier: MIT
"""The Debian package: built, installed on a machine to throw away, used there as a service, removed.

systemd doesn't run there; what it would do for a unit is done by hand.
"""

import os
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

from support.machine import Machine
from support.processes import Child

Source = pathlib.Path(__file__).resolve().parents[2]
Unit = Source / "packaging" / "systemd" / "proxyd.service.in"

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
    pytest.mark.skipif("asan" in os.environ["PROXYD_BUILD"] or "tsan" in os.environ["PROXYD_BUILD"],
                       reason="the package has a build of its own, which the dev preset's run has tested"),
    pytest.mark.skipif(not shutil.which("dpkg-buildpackage") or not shutil.which("dh"), reason="debhelper is not installed"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    destination = tmp_path_factory.mktemp("package")
    environment = dict(os.environ)
    if os.path.isdir("/usr/lib/ccache"):
        environment |= {"PATH": f"/usr/lib/ccache:{os.environ['PATH']}", "CCACHE_NOHASHDIR": "1",
                        "CCACHE_DIR": os.environ.get("CCACHE_DIR", os.path.expanduser("~/.cache/ccache"))}
    result = subprocess.run([Source / "packaging" / "build-deb.sh", destination], env=environment,
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    [file] = destination.glob("proxyd_*.deb")
    return file


@pytest.fixture(scope="module")
def machine(package):
    machine = Machine(package.parent)
    yield machine
    machine.close()


@pytest.fixture(scope="module")
def installed(machine, package):
    machine.run("dpkg", "--install", f"/shared/{package.name}")
    return machine


def test_lintian_finds_no_error(package):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    result = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", package], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_programs_and_pages_are_there(installed):
    version = re.search(r"(?m)^project\(proxyd VERSION (\S+)", (Source / "CMakeLists.txt").read_text()).group(1)
    assert installed.run("proxyd", "--version") == f"proxyd {version}\n"
    assert installed.run("proxyrun", "--version") == f"proxyrun {version}\n"
    assert installed.run("dpkg-query", "--show", "proxyd") == f"proxyd\t{version}\n"
    files = installed.run("dpkg", "--listfiles", "proxyd").split()
    for page in (Source / "man").glob("*.[158]"):
        assert f"/usr/share/man/man{page.suffix[1:]}/{page.name}.gz" in files


def test_user_and_directories_are_there(installed):
    user = installed.run("getent", "passwd", "proxyd").strip().split(":")
    assert user[5:] == ["/run/proxyd", "/usr/sbin/nologin"]
    places = installed.run("stat", "--format", "%n %U %G %a", "/run/proxyd", "/run/proxyd/sites", "/var/log/proxyd", "/etc/proxyd/proxyd.json")
    assert places.splitlines() == ["/run/proxyd root proxyd 1775", "/run/proxyd/sites root root 755",
                                   "/var/log/proxyd proxyd proxyd 750", "/etc/proxyd/proxyd.json root root 644"]


def test_the_shipped_configuration_is_right(installed):
    assert installed.run("proxyd", "--check-config") == "/etc/proxyd/proxyd.json: fine, listeners: 2, routes: 0\n"


def test_nothing_was_started(installed):
    assert installed.run("ss", "-Hlnt") == ""


def test_tmpfiles_accept_sites_of_other_users(installed):
    """systemd-tmpfiles refuses to go through directories that belong to somebody else than root."""
    entry = "d /run/proxyd/sites/blog.example.org 2750 www-data proxyd -\n"
    pathlib.Path(installed.shared, "blog.conf").write_text(entry)
    for _ in range(2):
        installed.run("systemd-tmpfiles", "--create", "/shared/blog.conf", "proxyd.conf")
    assert installed.run("stat", "--format", "%U %G %a", "/run/proxyd/sites/blog.example.org") == "www-data proxyd 2750\n"
    installed.run("rmdir", "/run/proxyd/sites/blog.example.org")


def as_the_unit_does(machine, *command):
    """User=, Group=, AmbientCapabilities=, CapabilityBoundingSet= and NoNewPrivileges= of the unit."""
    settings = dict(re.findall(r"(?m)^(\w+)=(.*)$", Unit.read_text()))
    assert settings["AmbientCapabilities"] == settings["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    return machine.inside("setpriv", "--reuid", settings["User"], "--regid", settings["Group"], "--init-groups",
                          "--inh-caps", "-all,+net_bind_service", "--ambient-caps", "+net_bind_service",
                          "--bounding-set", "-all,+net_bind_service", "--no-new-privs",
                          "env", "NOTIFY_SOCKET=/shared/notify", *command)


class Notifications:
    def __init__(self, directory):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(directory / "notify"))
        os.chmod(directory / "notify", 0o666)
        os.chmod(directory, 0o755)
        self._socket.settimeout(30)

    def next(self):
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def wait_for(self, variable):
        while variable not in (found := self.next()):
            pass
        return found


@pytest.fixture
def service(installed, package):
    notifications = Notifications(package.parent)
    child = Child(as_the_unit_does(installed, "/usr/sbin/proxyd"))
    notifications.wait_for("READY")
    yield child
    child.end()
    (package.parent / "notify").unlink()


def test_purging_leaves_no_file(installed):
    # Last, since it ends what the others use.
    (pathlib.Path(installed.shared) / "log").write_text("")
    installed.run("dpkg", "--purge", "proxyd")
    left = [file for file in installed.files() if "proxyd" in file and "proxyd-machine" not in file]
    assert left == []
    assert installed.run("getent", "passwd", "proxyd") != ""
