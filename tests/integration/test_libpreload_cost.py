# SPDX-License-Identifier: MIT
"""What accept through libpreload costs: system calls, allocations and locks."""

import re
import shutil

import preload_support as support
import pytest
from preload_support import PROGRAMS, new_edge, new_site, read_until, running

# Between the two marks that the program writes, without them.
BetweenMarks = re.compile(r'write\(1, "begin\\n".*?\n(.*?)write\(1, "end\\n"', re.DOTALL)


def run(tmp_path, host, arguments, edge_host=None):
    """The lines of accept_cost, and the system calls of each of its accepts."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace to count system calls")
    trace = tmp_path / "trace"
    lines = []
    port = support.free_port()
    with new_site() as site, new_edge(site, 443, edge_host or support.loopback_for(host)) as edge:
        environment = support.environment_for(site, f"443={port}")
        library = environment.pop("LD_PRELOAD")
        command = ["strace", "-f", "-o", trace, "-E", f"LD_PRELOAD={library}",
                   PROGRAMS / "accept_cost", host, port, *arguments]
        with running(command, env=environment, stdin=support.subprocess.PIPE) as child:
            clients = []
            while read_until(child, "ready", lines):
                clients.append(edge.connect())
                child.stdin.write("x")
                child.stdin.flush()
            assert child.wait(support.DEADLINE_SECONDS) == 0
            child.stdin.close()
            for client in clients:
                client.close()
    accepts = BetweenMarks.findall(trace.read_text())
    assert len(accepts) == 3
    calls = [re.findall(r"^\d+ +(\w+)\(", accept, re.MULTILINE) for accept in accepts]
    return lines, calls


PLAIN = ["accept", "recvmsg", "getsockopt"]
NON_BLOCKING = ["accept4", "recvmsg", "getsockopt", "fcntl"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
@pytest.mark.parametrize("name, calls", [("accept", PLAIN), ("accept4", NON_BLOCKING)])
def test_accept_costs_two_system_calls_more_and_one_for_a_flag_and_neither_allocates_nor_locks(tmp_path, host, name,
                                                                                               calls):
    lines, traced = run(tmp_path, host, [name])
    assert traced == [calls] * 3
    assert lines.count("allocations: 0, locks: 0") == 3 and "it does count: yes" in lines


@pytest.mark.parametrize("name, calls", [("accept", PLAIN), ("accept4", NON_BLOCKING)])
def test_an_ipv4_client_of_an_ipv6_listener_costs_the_mark_too(tmp_path, name, calls):
    lines, traced = run(tmp_path, "::", [name], "127.0.0.1")
    assert traced == [[*calls, "setsockopt"]] * 3
    assert lines.count("allocations: 0, locks: 0") == 3
