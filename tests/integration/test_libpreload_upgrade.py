# SPDX-License-Identifier: MIT
"""nginx executes its new binary with an environment of its own, and the listeners: the library goes along."""

import contextlib
import os
import shutil
import signal
import subprocess

import preload_support as support
from preload_support import environment_for, new_edge, new_site, request

Configuration = """
pid {path}/nginx.pid;
error_log {path}/error.log;
events {{}}
http {{
    access_log off;
    {temporary}
    server {{ listen {port}; listen [::]:{port}; location / {{ return 200 "$remote_addr $pid"; }} }}
}}
"""


def pid_in(file):
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(file.read_text())
    return None


def is_gone(pid):
    try:
        os.kill(pid, 0)
        return False
    except ProcessLookupError:
        return True


def test_nginx_upgrades_its_binary_without_being_told_of_the_variables(tmp_path):
    port = support.free_port()
    temporary = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(Configuration.format(path=tmp_path, temporary=temporary, port=port))
    tmp_path.chmod(0o755)
    pid_file, masters = tmp_path / "nginx.pid", []
    with new_site() as site, new_edge(site, 443) as edge:
        try:
            subprocess.run([shutil.which("nginx"), "-c", configuration, "-e", tmp_path / "error.log"], check=True,
                           env=environment_for(site, f"443={port}"), stdin=subprocess.DEVNULL)
            masters.append(support.wait_until(lambda: pid_in(pid_file), "the first master"))
            address, first_worker = request(edge.connect()).split("\r\n\r\n")[1].split()
            assert address == support.CLIENT_ADDRESS

            os.kill(masters[0], signal.SIGUSR2)
            masters.append(support.wait_until(
                lambda: pid_in(pid_file) != masters[0] and pid_in(pid_file), "the second master"))
            os.kill(masters[0], signal.SIGQUIT)
            support.wait_until(lambda: is_gone(masters[0]), "the end of the first master")
            address, worker = request(edge.connect()).split("\r\n\r\n")[1].split()
            assert address == support.CLIENT_ADDRESS and worker != first_worker
            assert "[alert]" not in (tmp_path / "error.log").read_text()
        finally:
            for master in masters:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(master, signal.SIGTERM)
            for master in masters:
                support.wait_until(lambda: is_gone(master), "the end of nginx")
