#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The relay against its peers: tcpshim behind proxyd, HAProxy in TCP mode (as it comes, and with
splicing), nginx stream; and no relay at all. Same backend, same clients, one thread each, in turn.

    bench/relay/run.py [--build DIR] [--rounds N] [--quick] [--only NAME,...] [--json FILE]

Figures of one round stand beside those of the others of the same round; the tables give the median
over the rounds, its spread, and the median of the ratios to HAProxy's of the same round. On a machine with
other work to do, the processor seconds of all three (clients, relay, backend) say what a quiet one's
throughput would be: the less they use, the more gets through.
"""

import argparse
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

Here = pathlib.Path(__file__).resolve().parent
Tree = Here.parent.parent
Address = "127.77.0.1"
BackendPort = 9000
GiB = 1 << 30


def wait_for(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"run.py: {what} did not happen")
        time.sleep(0.01)


def can_connect(port):
    import socket
    try:
        socket.create_connection((Address, port), 1).close()
        return True
    except OSError:
        return False


def processor_seconds(pid):
    """Of all its threads, from the scheduler: /proc/PID/stat counts in hundredths of a second."""
    total = 0
    for thread in os.scandir(f"/proc/{pid}/task"):
        total += int(pathlib.Path(thread.path, "schedstat").read_text().split()[0])
    return total / 1e9


def unshared_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1)) for key in ("Private_Clean", "Private_Dirty"))


def children_of(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Peer:
    def __init__(self, directory, options):
        self.directory = directory
        self.options = options
        self.processes = []
        self.directory.mkdir(parents=True)

    def run(self, *command, stdout=None):
        log = open(self.directory / "log", "ab")
        self.processes.append(subprocess.Popen([str(word) for word in command], stdout=stdout or log, stderr=log,
                                               stdin=subprocess.DEVNULL))
        return self.processes[-1]

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def pids(self):
        """Of those through which clients go."""
        pids = [process.pid for process in self.processes]
        return pids + [child for pid in pids for child in children_of(pid)]

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Direct(Peer):
    port = BackendPort

    def start(self):
        pass


class Haproxy(Peer):
    port = 9101
    extra = log = ""

    def start(self):
        configuration = self.write("haproxy.cfg", f"""
global
    {self.log}
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    {self.extra}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen relay
    bind {Address}:{self.port}
    server backend {Address}:{BackendPort}
""")
        self.run("haproxy", "-db", "-f", configuration, stdout=subprocess.DEVNULL)


class HaproxyLogging(Haproxy):
    """Its usual line for each connection, to where tcpshim's and proxyd's lines go: /dev/null."""
    port = 9107
    log = "log stdout format raw local0"
    extra = "log global\n    option tcplog"


class HaproxySplice(Haproxy):
    port = 9102
    extra = "option splice-auto"


class HaproxySpliceAlways(Haproxy):
    port = 9103
    extra = "option splice-request\n    option splice-response"


class Nginx(Peer):
    port = 9104

    def start(self):
        modules = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
        load = f"load_module {modules};" if modules.exists() else ""
        configuration = self.write("nginx.conf", f"""
{load}
daemon off; worker_processes 1; pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{ worker_connections 9000; }}
stream {{ server {{ listen {Address}:{self.port}; proxy_pass {Address}:{BackendPort}; proxy_timeout 1h; }} }}
""")
        self.run("nginx", "-p", self.directory, "-c", configuration)


class Tcpshim(Peer):
    port = 9105

    def program(self):
        return self.options.build / "bin" / "tcpshim"

    def start(self):
        site = self.directory / "site"
        site.mkdir()
        self.run(self.program(), "--site", site, "--port", self.port, "--to", f"{Address}:{BackendPort}",
                 "--access-log", "/dev/null",
                 *self.options.tcpshim_options)
        wait_for(lambda: (site / f"{self.port}.sock").exists(), "tcpshim's site socket")
        configuration = self.write("proxyd.json", json.dumps({
            "listen": [{"address": f"{Address}:{self.port}", "site": str(site)}], "workers": 1, "control": "none",
            "user": "root", "access_log": "/dev/null",
            # All come from one address and hundreds at once; the others have no such limits.
            "source_connections_per_second_max": 0, "source_sessions_max": 0, "pending_max": 4000}))
        self.run(self.options.build / "bin" / "proxyd", "--config", configuration)


class OtherTcpshim(Tcpshim):
    """Another program, to compare two of them."""
    port = 9106

    def program(self):
        return self.options.other


Peers = {"direct": Direct, "haproxy": Haproxy, "haproxy logging": HaproxyLogging, "haproxy splice-auto": HaproxySplice,
         "haproxy splice": HaproxySpliceAlways, "nginx": Nginx, "tcpshim": Tcpshim, "other": OtherTcpshim}


class Bench:
    def __init__(self, options, directory):
        self.options = options
        self.load = directory / "relay_load"
        subprocess.run(["g++", "-O2", "-std=c++20", "-o", self.load, Here / "relay_load.cc"], check=True)
        self.backend = subprocess.Popen([self.load, "serve", Address, str(BackendPort)], stdout=subprocess.PIPE)
        self.backend.stdout.readline()
        self.peers = {}
        self.figures = {}

    def start(self, directory):
        options = self.options
        for name in options.only:
            self.peers[name] = Peers[name](directory / name.replace(" ", "-"), options)
            self.peers[name].start()
        for name, peer in self.peers.items():
            wait_for(lambda: can_connect(peer.port), f"{name}'s start")

    def in_any_order(self):
        """Another one each time, so that what else happens on the machine hits all alike."""
        return random.sample(list(self.peers.items()), len(self.peers))

    def processors(self, peer):
        """Seconds used by the relay, and by all: with its backend and its clients."""
        relay = sum(map(processor_seconds, peer.pids()))
        clients = resource.getrusage(resource.RUSAGE_CHILDREN)
        return relay, relay + processor_seconds(self.backend.pid) + clients.ru_utime + clients.ru_stime

    def clients(self, *words):
        done = subprocess.run([self.load, *map(str, words)], capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            sys.exit(f"run.py: {words}: {done.stderr}")
        return [float(word) for word in done.stdout.split()]

    def note(self, measure, name, value):
        self.figures.setdefault(measure, {}).setdefault(name, []).append(value)

    def transfer(self, measure, kind, connections, total_bytes):
        for name, peer in self.in_any_order():
            before = self.processors(peer)
            seconds = self.clients(kind, Address, peer.port, connections, total_bytes // connections)[0]
            relay, everybody = (b - a for a, b in zip(before, self.processors(peer)))
            self.note(f"{measure}, GiB/s", name, total_bytes / GiB / seconds)
            self.note(f"{measure}, CPU s/GiB of the relay", name, relay / (total_bytes / GiB))
            self.note(f"{measure}, CPU s/GiB of all three", name, everybody / (total_bytes / GiB))

    def connect(self, connections, seconds):
        for name, peer in self.in_any_order():
            before = self.processors(peer)
            count, taken = self.clients("connect", Address, peer.port, connections, seconds, 1000)
            relay, everybody = ((b - a) / count * 1e6 for a, b in zip(before, self.processors(peer)))
            self.note(f"new connections/s, {connections} at once", name, count / taken)
            self.note("CPU us per connection of the relay", name, relay)
            self.note("CPU us per connection of all three", name, everybody)

    def keep(self, connections):
        """The second batch counts: what the first one needed for the first time isn't paid again."""
        for name, peer in self.in_any_order():
            if name == "direct":
                continue
            kept = []
            for _ in range(2):
                before = sum(map(unshared_kib, peer.pids()))
                kept.append(subprocess.Popen([self.load, "keep", Address, str(peer.port), str(connections)],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                while "kept" not in (line := kept[-1].stdout.readline()):
                    if not line:
                        sys.exit(f"run.py: keep at {name} failed")
                after = sum(map(unshared_kib, peer.pids()))
            self.note(f"memory per idle connection, bytes ({connections})", name, (after - before) * 1024 / connections)
            for process in kept:
                process.stdin.close()
                process.wait()

    def close(self):
        for peer in self.peers.values():
            peer.stop()
        self.backend.kill()
        self.backend.wait()

    def table(self):
        lines = []
        for measure, by_name in self.figures.items():
            lines += ["", f"**{measure}**", "", "| | median | spread | to HAProxy |", "|---|---|---|---|"]
            base = by_name.get("haproxy")
            for name in filter(by_name.get, self.options.only):
                values = by_name[name]
                ratio = statistics.median(a / b for a, b in zip(values, base)) if base and all(base) else float("nan")
                lines.append(f"| {name} | {statistics.median(values):.4g} | {min(values):.4g} to {max(values):.4g} "
                             f"| {ratio:.2f} |")
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=Tree / "build" / "release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[n for n in Peers if n != "other"])
    parser.add_argument("--measures", type=lambda text: text.split(","), default=["get", "put", "many", "connect", "keep"])
    parser.add_argument("--other", help="another tcpshim, for --only other")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("tcpshim_options", nargs="*")
    options = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="relay-bench-"))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("run.py: terminated"))
    size = GiB // 2 if options.quick else 4 * GiB
    bench = Bench(options, directory)
    try:
        bench.start(directory)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            if "get" in options.measures:
                bench.transfer("download, 1 connection", "get", 1, size)
            if "put" in options.measures:
                bench.transfer("upload, 1 connection", "put", 1, size)
            if "many" in options.measures:
                bench.transfer("download, 50 connections", "get", 50, size)
            if "connect" in options.measures:
                bench.connect(10, 0.5 if options.quick else 3)
        if "keep" in options.measures:
            bench.keep(500 if options.quick else 1500)
    finally:
        bench.close()
        shutil.rmtree(directory, ignore_errors=True)
        print(bench.table())
    if options.json:
        options.json.write_text(json.dumps(bench.figures, indent=1))


main()
