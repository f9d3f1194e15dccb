# SPDX-License-Identifier: MIT
"""proxyrun: real servers under it, its command line, and the programs that it refuses."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys

import preload_support as support
import pytest
from preload_support import (CLIENT_ADDRESS, LIBRARY, NOBODY, PROXYRUN, make_certificate, new_edge,
                             new_site, request, running)
from support.workspace import free_port


@pytest.fixture
def site():
    with new_site() as site:
        yield site


def proxyrun(*words, env=None):
    finished = subprocess.run([str(word) for word in (PROXYRUN, *words)], capture_output=True,
                              text=True, env={**os.environ, **(env or {})},
                              timeout=support.DEADLINE_SECONDS)
    return finished.returncode, finished.stdout, finished.stderr


def needs(program):
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    return path or pytest.skip(f"{program} is not installed")


# Real servers.


@contextlib.contextmanager
def served(site, command, server_port, sockets=1):
    """The command under proxyrun, and an edge whose clients it gets."""
    words = [PROXYRUN, "--site", site.path, "--port", f"443={server_port}", "--", *command]
    with running(words) as child, new_edge(site, 443) as edge:
        site.wait_for_files(443, sockets)
        yield child, edge


NGINX_CONFIGURATION = """
daemon off; worker_processes 2; pid {directory}/nginx.pid; error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl {options};
        ssl_certificate {certificate}; ssl_certificate_key {key};
        location / {{ return 200 "$remote_addr $remote_port $pid"; }}
    }}
}}
"""

NODE_PROGRAM = """
const options = {key: require('fs').readFileSync('%s'), cert: require('fs').readFileSync('%s')};
require('https').createServer(options, (request, response) => {
    response.end(request.socket.remoteAddress + ' ' + request.socket.remotePort);
}).listen(%s);
"""

PYTHON_PROGRAM = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.client_address[0]} {self.client_address[1]}".encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def nginx_command(directory, port, options=""):
    certificate, key = make_certificate(directory)
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION.format(
        directory=directory, port=port, certificate=certificate, key=key, options=options))
    return [needs("nginx"), "-p", directory, "-c", configuration, "-e", "stderr"]


def node_command(directory, port, listen="{port}, '127.0.0.1'"):
    certificate, key = make_certificate(directory)
    program = directory / "server.js"
    program.write_text(NODE_PROGRAM % (key, certificate, listen.format(port=port)))
    return [needs("node"), program]


def python_command(directory, port):
    return [sys.executable, "-c", PYTHON_PROGRAM, port]


def seen_by_server(client, tls, address=CLIENT_ADDRESS):
    """What the server said of this client, behind its address and port, which must be right."""
    client_port = client.getsockname()[1]
    answer = request(client, tls=tls).split("\r\n\r\n")[1].split()
    assert answer[:2] == [address, str(client_port)]
    return answer[2:]


@pytest.mark.parametrize("options, sockets", [
    ("", 1),
    ("deferred fastopen=5 so_keepalive=on backlog=64 rcvbuf=64k", 1),
    ("reuseport", 2),
])
def test_nginx_with_tls_and_two_workers(site, tmp_path, options, sockets):
    port = support.free_port()
    with served(site, nginx_command(tmp_path, port, options), port, sockets) as (child, edge):
        workers = {tuple(seen_by_server(edge.connect(), tls=True)) for _ in range(30)}
        assert len(workers) >= sockets
        child.terminate()
        assert child.wait(support.DEADLINE_SECONDS) == 0
        complaints = [line for line in child.stdout.read().splitlines()
                      if re.search(r"\[(warn|error|alert|crit|emerg)\]", line)]
        assert not complaints


@pytest.mark.parametrize("listen, prefix", [("{port}, '127.0.0.1'", ""), ("{port}", "::ffff:")])
def test_node_https(site, tmp_path, listen, prefix):
    port = support.free_port()
    with served(site, node_command(tmp_path, port, listen), port) as (child, edge):
        for _ in range(10):
            seen_by_server(edge.connect(), True, prefix + CLIENT_ADDRESS)


@pytest.mark.parametrize("command, tls", [(nginx_command, True), (node_command, True),
                                          (python_command, False)],
                         ids=["nginx", "node", "python"])
def test_500_clients_50_at_once(site, tmp_path, command, tls):
    port = support.free_port()
    with served(site, command(tmp_path, port), port) as (child, edge):

        def be_a_client(_):
            client = socket.create_connection(edge.address, support.DEADLINE_SECONDS,
                                              (CLIENT_ADDRESS, 0))
            seen_by_server(client, tls)

        edge.hand_over_many(500)
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            assert len(list(pool.map(be_a_client, range(500)))) == 500


def test_node_cluster_shares_the_listener(site, tmp_path):
    """With SCHED_NONE each worker accepts from the listener that the primary has sent to it."""
    port = support.free_port()
    program = tmp_path / "cluster.js"
    program.write_text("""
        const cluster = require('cluster');
        cluster.schedulingPolicy = cluster.SCHED_NONE;
        if (cluster.isPrimary) { cluster.fork(); cluster.fork(); }
        else require('http').createServer((request, response) =>
            response.end(request.socket.remoteAddress)).listen(%d, '127.0.0.1');
    """ % port)
    with served(site, [needs("node"), program], port) as (child, edge):
        for _ in range(10):
            assert request(edge.connect()).endswith(CLIENT_ADDRESS)


def test_python_http_server(site, tmp_path):
    (tmp_path / "file").write_text("content\n")
    port = support.free_port()
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory",
               tmp_path, port]
    with served(site, command, port) as (child, edge):
        for _ in range(10):
            answer = request(edge.connect(), "/file")
            assert answer.startswith("HTTP/1.0 200") and answer.endswith("content\n")
        child.terminate()
        log = [line for line in child.stdout.read().splitlines() if "GET /file" in line]
        assert len(log) == 10
        assert all(line.startswith(f"{CLIENT_ADDRESS} ") for line in log)


# The command line.


def test_help_and_version():
    code, output, errors = proxyrun("--help")
    assert (code, errors) == (0, "") and output.startswith("Usage: proxyrun --site DIR|NAME")
    assert proxyrun("-h") == (code, output, errors)
    code, output, errors = proxyrun("--version")
    assert (code, errors) == (0, "") and re.fullmatch(r"proxyrun \d+\.\d+\.\d+\n", output)


@pytest.mark.parametrize("words, complaint", [
    ([], "--site is missing"),
    (["--site", "/tmp"], "the command to start is missing"),
    (["--site"], "option '--site' needs an argument"),
    (["--sight", "/tmp", "true"], "unknown option '--sight'"),
    (["--site", "/tmp", "--port", "0", "true"],
     "--port 0: want EDGE or EDGE=SERVER, ports from 1 to 65535"),
    (["--site", "/tmp", "--port", "443=65536", "true"],
     "--port 443=65536: want EDGE or EDGE=SERVER, ports from 1 to 65535"),
    (["--site", "/tmp", "--port", "443=", "true"],
     "--port 443=: want EDGE or EDGE=SERVER, ports from 1 to 65535"),
    (["--site", "/tmp", "--port", "443=80", "--port", "80", "true"],
     "--port 80: the server's port 80 is given twice"),
    (["--site", "/tmp", "--site", "/run", "true"], "--site is given twice"),
    (["--check"], "the program to check is missing"),
    (["--check=true"], "option '--check=true' takes no argument"),
    (["--sit", "/tmp", "true"], "unknown option '--sit'"),
])
def test_usage_errors_are_one_line(words, complaint):
    assert proxyrun(*words) == (2, "", f"proxyrun: {complaint}, see proxyrun --help\n")


def test_the_environment_and_the_exit_code_are_the_commands(site):
    code, output, _ = proxyrun("--site", site.path, "--port", "443=8443", "--port", "80", "--trace",
                               "--", "sh", "-c", "env; exit 7",
                               env={"LD_PRELOAD": "libother.so", "PROXYD_TAKEOVER": "1"})
    variables = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    assert code == 7
    assert variables["LD_PRELOAD"] == f"{LIBRARY.resolve()}:libother.so"
    assert variables["PROXYD_SITE"] == str(site.path)
    assert variables["PROXYD_PORTS"] == "443=8443,80"
    assert variables["PROXYD_TRACE"] == "1"
    assert "PROXYD_TAKEOVER" not in variables


def ports_of_server(*options):
    output = proxyrun(*options, "env")[1]
    return re.search(r"(?m)^PROXYD_PORTS=(.*)$", output).group(1)


def test_without_ports_and_proxyd_it_is_443_and_80(site, tmp_path):
    assert ports_of_server("--site", site.path, "--control", tmp_path / "none") == "80,443"


def test_without_ports_a_running_proxyd_is_asked_for_its_listeners(workspace):
    ports = [free_port("127.0.0.1") for _ in range(4)]
    own, others = workspace.site("own"), workspace.site("others")
    listen = [f"{workspace.address}:{ports[0]}", {"address": f"{workspace.address}:{ports[1]}", "site": str(own)},
              {"address": f"{workspace.address}:{ports[2]}", "site": str(others)}]
    workspace.start_proxyd(listen=listen, routes={"*": str(own)})
    control = ["--control", workspace.path / "control.sock"]
    wanted = ",".join(map(str, sorted({80, 443, ports[0], ports[1]})))
    assert ports_of_server("--site", own, *control) == wanted
    assert ports_of_server("--site", own, *control, "--port", ports[3]) == str(ports[3])
    first, second = sorted(ports[:2])
    assert proxyrun("--site", own, *control, "--port", f"{ports[3]}=8080", "true")[2] == (
        f"proxyrun: warning: --port {ports[3]}=8080: proxyd doesn't listen on port {ports[3]} for this site, but on {first} "
        f"and {second}: for a server that binds 8080 it is --port {first}=8080\n")


def test_a_control_socket_that_does_not_answer_is_none(site, workspace):
    silent = workspace.close_at_end(socket.socket(socket.AF_UNIX))
    silent.bind(str(workspace.path / "silent"))
    silent.listen()
    assert ports_of_server("--site", site.path, "--control", workspace.path / "silent") == "80,443"


def test_the_library_is_found_by_its_variable(site, tmp_path):
    library = shutil.copy(LIBRARY, tmp_path / "other.so")
    output = proxyrun("--site", site.path, "env", env={"PROXYD_PRELOAD": str(library)})[1]
    assert f"LD_PRELOAD={library}\n" in output
    missing = tmp_path / "missing.so"
    assert proxyrun("--site", site.path, "env", env={"PROXYD_PRELOAD": str(missing)}) == (
        1, "", f"proxyrun: PROXYD_PRELOAD={missing}: No such file or directory\n")


# Sockets of a service manager.


def with_service_socket(site, held, *words):
    """As systemd starts a service that has a socket unit."""
    os.set_inheritable(held.fileno(), True)
    # Not sh: to dash a descriptor has one digit.
    command = ["bash", "-c", f'exec 3<&{held.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=site exec "$@"', "bash",
               PROXYRUN, "--site", site.path, *words]
    finished = subprocess.run([str(word) for word in command], capture_output=True, text=True, pass_fds=[held.fileno()])
    return finished.returncode, finished.stdout, finished.stderr


@pytest.fixture
def datagram_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
        yield held


def test_the_server_is_told_of_site_sockets_of_the_service_manager(site, datagram_socket, tmp_path):
    datagram_socket.bind(str(site.path / "8443.sock"))
    code, output, errors = with_service_socket(site, datagram_socket, "--control", tmp_path / "none", "env")
    assert (code, errors) == (0, "")
    variables = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    assert variables["PROXYD_SOCKETS"] == "8443=3"
    assert variables["PROXYD_PORTS"] == "80,443,8443"
    assert not [name for name in variables if name.startswith("LISTEN_")]


def test_other_sockets_of_the_service_manager_are_refused(site, datagram_socket, tmp_path):
    complaint = f"proxyrun: LISTEN_FDS: descriptor 3 is no site socket: want ListenDatagram={site.path}/PORT.sock\n"
    datagram_socket.bind(str(tmp_path / "443.sock"))
    assert with_service_socket(site, datagram_socket, "true") == (1, "", complaint)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(site.path / "443.sock"))
        assert with_service_socket(site, stream, "true") == (1, "", complaint)


# Programs.


@pytest.fixture
def program(tmp_path):
    """Compiles an empty program with these options."""

    def build(*options):
        path = tmp_path / "program"
        source = tmp_path / "program.c"
        source.write_text("int main(void) { return 0; }\n")
        subprocess.run(["gcc", "-o", path, source, *options], check=True)
        tmp_path.chmod(0o755)
        return path

    return build


def refuses(path, complaint, *, code=1):
    """Both ways of asking give the same answer."""
    expected = (code, "", f"proxyrun: {complaint}\n")
    assert proxyrun("--check", path) == expected
    assert proxyrun("--site", "/tmp", "--", path) == expected


def test_a_dynamically_linked_program_will_work(program):
    path = program()
    assert proxyrun("--check", path) == (0, f"{path} will work: dynamically linked\n", "")


def test_a_whole_command_line_is_checked_with_its_site(program, site, tmp_path):
    path = program()
    fine = f"{path} will work: dynamically linked\n"
    control = ["--control", tmp_path / "none"]
    assert proxyrun("--check", *control, "--site", site.path, "--port", "443=8443", "--", path, "-c", "4") == (0, fine, "")
    assert proxyrun("--site", site.path, *control, "--check", path) == (0, fine, "")
    file = tmp_path / "file"
    file.touch()
    assert proxyrun("--check", "--site", file, "--", path) == (1, fine, f"proxyrun: {file} is no directory\n")


def test_a_program_is_found_in_path_and_judged_by_its_interpreter(program, tmp_path):
    path = program("-static")
    script = tmp_path / "script"
    script.write_text(f"#!/usr/bin/env -S VARIABLE=1 {path}\n")
    script.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    code, _, complaint = proxyrun("--check", "script", env=environment)
    assert code == 1 and complaint.startswith(
        f"proxyrun: {script} is a script, and its interpreter {path} is statically linked")


@pytest.mark.parametrize("option", ["-static", "-static-pie"])
def test_a_static_program_is_refused(program, option):
    path = program(option)
    refuses(path, f"{path} is statically linked, so nothing can be preloaded: use a dynamically "
                  "linked build")


def test_a_go_program_is_refused(program, tmp_path):
    path = program()
    (tmp_path / "section").write_text("go1.20")
    subprocess.run(["objcopy", "--add-section", f".go.buildinfo={tmp_path / 'section'}", path],
                   check=True)
    refuses(path, f"{path} is a Go program, which calls the kernel without libc, so nothing can be "
                  "preloaded")


def test_a_program_of_another_architecture_is_refused(program):
    path = program()
    with open(path, "r+b") as file:
        file.seek(18)  # e_machine
        file.write(b"\x08\x00")  # EM_MIPS
    refuses(path, f"{path} is built for another architecture than libpreload.so: build proxyd for "
                  "it")


def test_a_go_program_without_sections_is_known_by_its_note(program, tmp_path):
    source = tmp_path / "note.s"
    source.write_text('.section .note.go.buildid, "a", @note\n.long 4, 4, 4\n.asciz "Go\\0"\n.long 0\n'
                      '.section .note.GNU-stack, "", @progbits\n')
    path = program(source, "-Wl,-z,separate-code", "-Wl,--build-id=none", "-nostdlib", "-Wl,-e,main", "-pie")
    subprocess.run(["objcopy", "--remove-section=.note.gnu.property", path], check=True)
    code, _, complaint = proxyrun("--check", path)
    assert (code, complaint) == (1, f"proxyrun: {path} is a Go program, which calls the kernel without libc, so nothing "
                                    "can be preloaded\n")


def test_a_program_of_another_word_size_is_refused(program):
    path = program()
    with open(path, "r+b") as file:
        file.seek(4)  # EI_CLASS
        file.write(b"\x01")  # ELFCLASS32
    refuses(path, f"{path} is a 32-bit program, and libpreload.so a 64-bit library: use a 64-bit build")


def test_a_program_of_another_libc_is_refused(program):
    path = program("-Wl,--dynamic-linker=/lib/ld-uClibc.so.0")
    refuses(path, f"{path} is linked with another libc than glibc or musl (its loader is /lib/ld-uClibc.so.0), and "
                  "libpreload.so knows these two")


def test_what_php_cannot_do(program, tmp_path):
    note = ("PHP before 8.5 hides its sockets extension from preloaded libraries: \"php -S\" and stream_socket_server() "
            "take clients from proxyd, socket_create() does not")
    path = program().rename(tmp_path / "php8.4")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert proxyrun("--check", link) == (0, f"{link} will work: dynamically linked\nnote: {note}\n", "")


@pytest.mark.parametrize("name", ["php8.5", "php", "php10.1", "php-config"])
def test_programs_of_which_nothing_is_to_be_said(program, tmp_path, name):
    path = program().rename(tmp_path / name)
    assert proxyrun("--check", path) == (0, f"{path} will work: dynamically linked\n", "")


def test_a_musl_program_will_work(program):
    needs("musl-gcc")
    path = program("-specs", "/usr/lib/x86_64-linux-musl/musl-gcc.specs")
    answer = f"{path} will work: dynamically linked with musl\n"
    assert proxyrun("--check", path) == (0, answer, "")


def test_a_set_user_id_program_is_refused(program):
    if os.getuid() != 0:
        pytest.skip("needs root, to give a file to somebody else")
    path = program()
    os.chown(path, 65534, -1)
    path.chmod(0o4755)
    refuses(path, f"{path} is set-user-ID, so the loader ignores LD_PRELOAD: start it under setpriv "
                  "--no-new-privs, or use a copy without that mode bit")


def test_a_program_with_file_capabilities_is_refused(program):
    if os.getuid() != 0:
        pytest.skip("needs root, to give capabilities to a file")
    path = program()
    subprocess.run([needs("setcap"), "cap_net_bind_service+ep", path], check=True)
    asked = [PROXYRUN, "--check", path]
    refused = subprocess.run([*NOBODY, *asked], capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (
        1, f"proxyrun: {path} has file capabilities, so the loader ignores LD_PRELOAD: remove them "
           f"(setcap -r {path}), since proxyd has the low ports now, or start it under setpriv "
           "--no-new-privs\n")
    without_privileges = [*NOBODY, "--no-new-privs", *asked]
    assert subprocess.run(without_privileges, capture_output=True).returncode == 0


def test_exit_codes_are_those_of_a_shell(site, tmp_path):
    assert proxyrun("--site", site.path, "no-such-program") == (
        127, "", "proxyrun: no-such-program: not found\n")
    text = tmp_path / "text"
    text.write_text("hello\n")
    refuses(text, f"{text} is no executable file", code=126)
    text.chmod(0o755)
    refuses(text, f"{text} is neither a program nor a script with a #! line", code=126)
    text.write_text("#!/no/such/interpreter\n")
    refuses(text, f"{text} needs /no/such/interpreter, which is not there", code=127)
