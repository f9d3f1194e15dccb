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
from support.processes import Child, DeadlineSeconds

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
    """Built here, or the one that PROXYD_DEB names."""
    destination = tmp_path_factory.mktemp("package")
    if built := os.environ.get("PROXYD_DEB"):
        return pathlib.Path(shutil.copy(built, destination))
    if not os.environ.get("PROXYD_SOAK"):
        pytest.skip("building the package takes minutes: ./test.sh --soak, or PROXYD_DEB=proxyd.deb")
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


Proxyd = ("/usr/sbin/proxyd",)


def as_the_unit_does(machine, *command):
    """User=, Group=, AmbientCapabilities=, CapabilityBoundingSet= and NoNewPrivileges= of the unit."""
    settings = dict(re.findall(r"(?m)^(\w+)=(.*)$", Unit.read_text()))
    assert settings["AmbientCapabilities"] == settings["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    return machine.inside("setpriv", "--reuid", settings["User"], "--regid", settings["Group"], "--init-groups",
                          "--inh-caps", "-all,+net_bind_service", "--ambient-caps", "-all,+net_bind_service",
                          "--bounding-set", "-all,+net_bind_service", "--no-new-privs",
                          "env", "NOTIFY_SOCKET=/shared/notify", *command)


class Service(Child):
    """proxyd, started as the unit does; `shared` is where its notifications go."""

    def __init__(self, machine, shared):
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = shared / "notify"
        self._path.unlink(missing_ok=True)
        self._notifications.bind(str(self._path))
        self._notifications.settimeout(DeadlineSeconds)
        os.chmod(self._path, 0o666)
        self.machine = machine
        super().__init__(as_the_unit_does(machine, *Proxyd))
        self.wait_until("READY")

    def wait_until(self, variable):
        while f"{variable}=1" not in self._notifications.recv(4096).decode().splitlines():
            pass

    def main(self):
        """The process id, as it is in there."""
        return self.wait_for_line(r" notice ready: .* process (\d+),").group(1)

    def send(self, number):
        self.machine.run("kill", f"-{number}", self.main())

    def end(self):
        self.machine.run("sh", "-c", f"kill -KILL {self.main()} || true")
        self.wait_for_exit()  # or nobody would hear of the end of what nsenter has started
        self._notifications.close()
        return super().end()


@pytest.fixture
def service(installed, package):
    os.chmod(package.parent, 0o711)  # for the user proxyd
    service = Service(installed, package.parent)
    yield service
    print(service.log())
    service.end()


def get(machine, host="127.0.0.1"):
    return machine.run("curl", "--silent", "--show-error", "--max-time", "20", f"http://{host}/")


@pytest.fixture
def nginx(installed):
    """Debian's nginx with the drop-in that the package brings: the steps of docs/OPERATIONS.md."""
    if not pathlib.Path("/usr/sbin/nginx").exists():
        pytest.skip("nginx is not installed")
    installed.run("sh", "-c", "echo 'd /run/proxyd/sites/nginx 2750 root proxyd -' >/etc/tmpfiles.d/proxyd-nginx.conf")
    installed.run("systemd-tmpfiles", "--create", "proxyd-nginx.conf")
    drop_in = installed.run("cat", "/usr/share/doc/proxyd/examples/systemd/nginx-behind-proxyd.conf")
    [_, command] = re.findall(r"(?m)^ExecStart=(.*)$", drop_in)
    # Its site: as Debian has it, but for other machines, on whose IPv6 nothing is known.
    installed.run("sh", "-c", "printf 'server { listen 80; listen [::]:80; location / { return 200 works; } }' "
                              ">/etc/nginx/sites-enabled/default")
    installed.run("sh", "-c", command)
    yield installed
    installed.run("sh", "-c", "pkill -x nginx; rm /etc/tmpfiles.d/proxyd-nginx.conf; rm -r /run/proxyd/sites/nginx")


def test_a_service_behind_it_by_the_drop_in(nginx, service):
    nginx.run("sed", "-i", 's|"routes": {|&"*": "/run/proxyd/sites/nginx"|', "/etc/proxyd/proxyd.json")
    nginx.run("proxyd", "--check-config")
    service.send("HUP")
    service.wait_until("READY")
    assert get(nginx, "localhost") == "works"
    assert " route=* " in nginx.run("cat", "/var/log/proxyd/access.log")
    # Nobody but proxyd has a port open.
    assert "nginx" not in nginx.run("ss", "-Hlntp")


def test_low_ports_without_root_and_workers_without_capabilities(installed, service):
    main = service.main()
    workers = installed.run("pgrep", "--parent", main).split()
    assert workers
    for pid, capabilities in [(main, "0000000000000400"), *[(worker, "0000000000000000") for worker in workers]]:
        status = dict(line.split(":\t", 1) for line in installed.run("cat", f"/proc/{pid}/status").splitlines())
        assert [status[name] for name in ("CapEff", "CapPrm", "CapAmb")] == [capabilities] * 3
        assert status["NoNewPrivs"] == "1"
        assert status["Uid"].split() == [installed.run("id", "-u", "proxyd").strip()] * 4
    listening = {line.split()[3] for line in installed.run("ss", "-Hlnt").splitlines()}
    assert listening == {"0.0.0.0:443", "[::]:443", "0.0.0.0:80", "[::]:80"}


def test_logrotate_rotates_the_access_log(installed, service):
    if not pathlib.Path("/usr/sbin/logrotate").exists():
        pytest.skip("logrotate is not installed")
    # Stands for systemctl kill, which has no systemd to talk to.
    installed.run("sh", "-c", "printf '#!/bin/sh\\nexec pkill -USR1 --oldest -x proxyd\\n' >/usr/local/sbin/systemctl; "
                              "chmod +x /usr/local/sbin/systemctl")
    installed.run("curl", "--silent", "--max-time", "20", "http://localhost/")
    installed.run("env", "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "logrotate", "--force", "/etc/logrotate.d/proxyd")
    service.wait_for_line(" notice reopened the access log")
    installed.run("curl", "--silent", "--max-time", "20", "http://127.0.0.1/")
    assert "access" in installed.run("cat", "/var/log/proxyd/access.log.1")
    service.send("TERM")
    service.wait_for_exit()
    lines = installed.run("cat", "/var/log/proxyd/access.log").splitlines()
    assert len(lines) == 1
    mode = installed.run("stat", "--format", "%U %G %a", "/var/log/proxyd/access.log")
    assert mode == "proxyd proxyd 640\n"


def test_an_upgrade_of_the_package_upgrades_the_running_proxyd(installed, service, package):
    installed.run("dpkg", "--install", f"/shared/{package.name}")
    service.wait_until("READY")
    service.wait_for_line(f" notice upgraded: .* process {service.main()},")


def test_an_example_runs_as_it_is_installed(installed):
    output = installed.run("env", "--unset=PROXYD_BUILD", "/usr/share/doc/proxyd/examples/node/run.sh")
    assert "Connections open in Node.js: 1, in proxyd: 0." in output


def test_purging_leaves_no_file(installed):
    # Last, since it ends what the others use.
    installed.run("cp", "-r", "/usr/share/doc/proxyd/examples", "/shared/")
    installed.run("dpkg", "--purge", "proxyd")
    result = subprocess.run(installed.inside("env", "--unset=PROXYD_BUILD", "/shared/examples/node/run.sh"),
                            capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (
        1, "run.sh: proxyd isn't installed; or say where it is built, see --help\n")
    left = [file for file in installed.files() if "proxyd" in file and "proxyd-machine" not in file]
    assert left == []
    assert installed.run("getent", "passwd", "proxyd") != ""
