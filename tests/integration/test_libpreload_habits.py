# SPDX-License-Identifier: MIT
"""libpreload: what a server observes with it is what it observes of a plain TCP listener."""

import difflib
import os
import shutil
import subprocess

import preload_support as support
import pytest
from preload_support import PROGRAMS, observe

HABITS = [
    ("accept4_flags",),
    ("accept_arguments",),
    ("accept_timeout",),
    ("bad_addresses",),
    ("bind_twice",),
    ("blocking_accept",),
    ("close_all",),
    ("close_all", "one-by-one"),
    ("descriptor_limit",),
    ("dup_before_bind",),
    ("dup_listener",),
    ("exec_listener",),
    ("full_table",),
    ("growing_pool", "early"),
    ("growing_pool", "late"),
    ("inherited_options", "before-bind"),
    ("inherited_options", "after-bind"),
    ("inherited_options", "after-listen"),
    ("inherited_options", "never"),
    ("interrupted_accept",),
    ("listener_answers",),
    ("many_threads",),
    ("more_options", "before-bind"),
    ("more_options", "after-bind"),
    ("multiplex",),
    ("odd_calls",),
    ("pass_listener",),
    ("pending_cancel",),
    ("poll_loop",),
    ("poll_loop", "epoll"),
    ("prefork",),
    ("reuse_port",),
    ("share_connection",),
    ("shutdown_accept",),
    ("signal_driven",),
]

# Habits for which it doesn't matter what the listener's address is.
HABITS_OF_ANY_ADDRESS = [
    *[("epoll_kinds", kind, when)
      for kind in ("level", "edge", "oneshot", "exclusive")
      for when in ("before-bind", "after-listen")],
    *[("scrub_environment", call, listener)
      for call in ("execve", "execv", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve",
                   "posix_spawn", "posix_spawnp", "vfork")
      for listener in ("kept", "closed")],
]


# What a listener of libpreload can't but say otherwise; libpreload/README.md says why. Everything
# else is the same.
ALLOWED_DIFFERENCES = {
    "odd_calls": {
        "send: -1 Broken pipe": "send: -1 Transport endpoint is not connected",
        "connect: -1 Transport endpoint is already connected": "connect: -1 Invalid argument",
        "FIONREAD: -1 Invalid argument": "FIONREAD: 0",
        "TIOCOUTQ: -1 Invalid argument": "TIOCOUTQ: 0",
        "poll for POLLOUT: 0": "poll for POLLOUT: 1",
    },
    "more_options": {"detach: 0": "detach: -1 No such file or directory"},
}


def check_same(plain, preloaded, program=None):
    allowed = ALLOWED_DIFFERENCES.get(program, {})
    plain = [allowed.get(line, line) for line in plain]
    lines = difflib.unified_diff(plain, preloaded, "plain", "preloaded", lineterm="")
    difference = "\n".join(lines)
    assert plain[-1] == "exit code 0" and not difference, difference or plain


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("habit", HABITS, ids=" ".join)
def test_a_server_observes_the_same_as_on_a_tcp_listener(habit, host):
    program, *arguments = habit
    check_same(observe(program, host, arguments, preloaded=False),
               observe(program, host, arguments, preloaded=True), program)


@pytest.mark.parametrize("habit", HABITS_OF_ANY_ADDRESS, ids=" ".join)
def test_a_server_with_any_address_observes_the_same_as_on_a_tcp_listener(habit):
    program, *arguments = habit
    check_same(observe(program, "127.0.0.1", arguments, preloaded=False),
               observe(program, "127.0.0.1", arguments, preloaded=True))


@pytest.mark.parametrize("habit", [
    ("blocking_accept",),
    ("inherited_options", "after-listen"),
    ("listener_answers",),
    ("poll_loop", "epoll"),
    ("prefork",),
    ("scrub_environment", "execle", "kept"),
    ("scrub_environment", "posix_spawnp", "kept"),
], ids=" ".join)
def test_the_same_library_works_in_a_musl_program(habit, tmp_path):
    if shutil.which("musl-gcc") is None:
        pytest.skip("needs musl-gcc (Debian's musl-tools) to build the server")
    program, *arguments = habit
    root = support.Path(__file__).parents[2]
    sources = [root / "tests" / "programs" / name for name in (f"{program}.c", "observe.c")]
    subprocess.run(["musl-gcc", "-D_GNU_SOURCE", f"-I{root}", "-o", tmp_path / program, *sources],
                   check=True)
    check_same(observe(program, "127.0.0.1", arguments, preloaded=False, directory=tmp_path),
               observe(program, "127.0.0.1", arguments, directory=tmp_path))


@pytest.mark.parametrize("program, arguments", [("blocking_accept", ()), ("exec_listener", ("77",))])
@pytest.mark.parametrize("order", ["ours first", "ours last"])
def test_another_preloaded_library_has_its_calls_and_may_bind_before_our_constructor(
        program, arguments, order):
    beside, ours = str(PROGRAMS / "beside.so"), str(support.LIBRARY)
    both = f"{ours} {beside}" if order == "ours first" else f"{beside}:{ours}"
    check_same(observe(program, "127.0.0.1", arguments, preloaded=False, LD_PRELOAD=beside),
               observe(program, "127.0.0.1", arguments, LD_PRELOAD=both))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may change its root directory")
def test_a_server_may_leave_the_file_system_and_its_privileges_after_bind(tmp_path):
    arguments = [str(tmp_path)]
    check_same(observe("confined", "127.0.0.1", arguments, preloaded=False),
               observe("confined", "127.0.0.1", arguments))
