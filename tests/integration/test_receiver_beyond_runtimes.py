# SPDX-License-Identifier: MIT
"""What servers are made with: Erlang, Boost.Asio, Rust, another libc, and Go, which can't work. See
support/receiver_suite.py."""

import os
import pathlib
import re
import shutil
import subprocess

from support import server_table
from support.processes import DeadlineSeconds, program
from support.receiver_suite import HttpPort, Receiver, StandardExercises, with_servers
from support.workspace import free_port

Programs = pathlib.Path(server_table.__file__).parent


def build_once(workspace, source, *compiler):
    """The program, named like its source."""
    output = workspace.path / source.stem
    if not output.exists():
        subprocess.run([*compiler, "-o", output, source], check=True, timeout=4 * DeadlineSeconds)
    return output


class Erlang(Receiver):
    kind, title, package = "erlang", "Erlang's gen_tcp", "erlang-base"
    habits = "copies options of the listener, as it reads them, to each connection"
    exit_codes = (0,)
    backend = "inet"

    def command(self):
        beam = self.own / "erlang_server.beam"
        subprocess.run(["erlc", "-o", self.own, Programs / "erlang_server.erl"], check=True,
                       timeout=4 * DeadlineSeconds)
        assert beam.exists()
        return ["erl", "-noinput", "-pa", self.own, "-eval", f"erlang_server:start({HttpPort}, {self.backend})."]


class ErlangSocket(Erlang):
    kind, title = "erlang-socket", "Erlang's gen_tcp with `{inet_backend, socket}`"
    habits = "a backend of its own, with calls of its own"
    backend = "socket"


class Asio(Receiver):
    kind, title, package = "asio", "Boost.Asio", "libboost-dev"
    habits = "registers its socket with epoll before it binds it"

    def command(self):
        return [build_once(self.workspace, Programs / "asio_server.cc", "g++", "-std=c++17", "-pthread"), HttpPort]


class Musl(Receiver):
    kind, title, package = "musl", "a C program built with musl", "musl"
    habits = "another libc: the same `libpreload.so` takes its calls from whichever is there"

    def command(self):
        return [build_once(self.workspace, Programs / "musl_server.c", "musl-gcc", "-O2"), HttpPort]

    def wait_until_ready(self, without=()):
        super().wait_until_ready(without)
        maps = pathlib.Path(f"/proc/{self.pid}/maps").read_text()
        assert "linux-musl" in maps and "libpreload.so" in maps and "libc.so.6" not in maps
        return self


@with_servers(Erlang, ErlangSocket, Asio, Musl)
class TestRuntimes(StandardExercises):
    pass


class Rust:
    title, package, restart_words = "Rust programs with tokio, such as sccache", "sccache", "not tried"
    habits = "call libc, but for static builds"


def test_a_rust_program_serves_its_clients(workspace, request):
    """sccache's client knows its server's port, but no other address than 127.0.0.1."""
    port = free_port("127.0.0.1")
    proxyd = workspace.start_proxyd(listen=[{"address": f"127.0.0.1:{port}", "site": str(workspace.site("rust"))}])
    common = {**os.environ, "SCCACHE_DIR": str(workspace.path / "cache"), "HOME": str(workspace.path)}
    server = workspace.start(program("proxyrun"), "--site", workspace.site("rust"), "--port", f"{port}=4226", "--trace",
                             "--", "sccache", env={**common, "SCCACHE_START_SERVER": "1", "SCCACHE_NO_DAEMON": "1"})
    server.wait_for_line("bind to 127.0.0.1:4226 became ")

    def ask(*command):
        return subprocess.run(["sccache", *command], env={**common, "SCCACHE_SERVER_PORT": str(port)},
                              capture_output=True, text=True, timeout=DeadlineSeconds)

    for _ in range(10):
        result = ask("--show-stats")
        assert result.returncode == 0 and re.search(r"^Compile requests +0$", result.stdout, re.MULTILINE), result
    assert ask("--stop-server").returncode == 0
    assert server.wait_for_exit() == 0
    assert {proxyd.access_line(index)["verdict"] for index in range(11)} == {"handed_over"}
    server_table.state(request.path, Rust, server_table.Works)


class Go:
    title, package, restart_words = "Go programs, such as gocryptfs", "gocryptfs", "-"
    habits = "call the kernel without libc"


def test_a_go_program_is_refused(workspace, request):
    command = ["gocryptfs", "-version"]
    assert shutil.which(command[0]), "install gocryptfs"
    path = shutil.which(command[0])
    result = subprocess.run([program("proxyrun"), "--site", workspace.site("go"), "--", *command], capture_output=True,
                            text=True, timeout=DeadlineSeconds)
    why = f"{path} is a Go program, which calls the kernel without libc, so nothing can be preloaded"
    assert result.returncode != 0 and why in result.stderr, result.stderr
    result = subprocess.run([program("proxyrun"), "--check", path], capture_output=True, text=True,
                            timeout=DeadlineSeconds)
    assert (result.returncode, result.stderr) == (1, f"proxyrun: {why}\n")
    server_table.state(request.path, Go, "no: nothing can be preloaded; proxyrun says so")
