# SPDX-License-Identifier: MIT
"""200 clients at once while proxyd reloads, is upgraded, and its workers are killed: who notices, and how many.

The load is kept up for a few seconds, for 20 with PROXYD_SOAK=1 (./test.sh --soak).
"""

import os
import random
import shutil
import time

import pytest

from support.load import Killer, Load, assert_only_those_in_hand_noticed, summary, wait_for_workers
from support.processes import IsSanitized, program, takes_key
from support.servers import PlainNginx

pytestmark = pytest.mark.skipif(not takes_key("workers"), reason="this proxyd has no workers")

LoadSeconds = 20 if os.environ.get("PROXYD_SOAK") else 3 if IsSanitized else 6
Workers = 2
# A client that a worker doesn't serve at once waits for the next one, and for the machine if that has other things
# to do: the longest handshake of TCP, which needs no proxyd, tells how long that may be.
LongestMs = 2000
MachineFactor = 3


# A longer queue for the site, where there is always room: no client waits for it in a worker's hands.
DeepQueue = ("unshare", "--net", "sh", "-c", 'echo 512 > /proc/sys/net/unix/max_dgram_qlen && exec "$@"', "sh")


@pytest.fixture
def server(workspace):
    return PlainNginx(workspace).wait_until_ready()


@pytest.fixture
def proxyd(workspace, server):
    """A copy of the build's program, so that a test can put another one in its place."""
    executable = workspace.path / "proxyd"
    shutil.copy(program("proxyd"), executable)
    proxyd = workspace.start_proxyd(executable=executable, workers=Workers, access_log=str(workspace.path / "log"),
                                    routes={server.host: str(server.site)})
    wait_for_workers(proxyd, Workers)
    return proxyd


def replace_program(proxyd, source):
    """As a package does: the old file stays what it was for those who have it open."""
    executable = proxyd.command[0]
    shutil.copy(source, executable + ".new")
    os.rename(executable + ".new", executable)


def keep_busy(load, events):
    """Calls each of `events` at its time, in seconds from now, until the load ends."""
    begin = time.monotonic()
    for at, event in sorted(events, key=lambda pair: pair[0]):
        if load.ends_within(max(0.0, begin + at - time.monotonic())):
            return
        event()


def every(seconds, event):
    return [(at, event) for at in range(seconds, LoadSeconds, seconds)]


def reload(proxyd):
    line = proxyd.reload()
    assert " notice reloaded: " in line, line


def upgrade(proxyd):
    replace_program(proxyd, program("proxyd"))
    line = proxyd.upgrade()
    assert " notice upgraded: " in line, line


def assert_nobody_waited_long(result):
    assert result["longest_ms"] < LongestMs + MachineFactor * result["longest_connect_ms"]


def assert_nobody_noticed(result):
    assert result["ok"] == result["clients"] > 0, result["failures"][:20]
    assert result["retransmitted"] == 0  # as after a listener's queue that overflowed, or was lost
    assert_nobody_waited_long(result)


def test_nobody_notices_a_reload_every_second(workspace, proxyd, server):
    load = Load(workspace, server.request, seconds=LoadSeconds)
    keep_busy(load, every(1, lambda: reload(proxyd)))
    result = load.result()
    print(summary(result))
    assert_nobody_noticed(result)


def test_nobody_notices_an_upgrade(workspace, proxyd, server):
    pid = proxyd.pid
    load = Load(workspace, server.request, seconds=LoadSeconds)
    keep_busy(load, every(2, lambda: upgrade(proxyd)))
    result = load.result()
    print(summary(result))
    assert_nobody_noticed(result)
    assert proxyd.pid == pid and proxyd.process.poll() is None


def test_nobody_notices_a_number_of_workers_that_changes(workspace, proxyd, server):
    """With fewer of them there are listeners too many, and clients in their queues."""
    def change():
        number = random.choice([1, 2, 3, 5])
        assert " notice reloaded: " in proxyd.reload(workers=number)
        wait_for_workers(proxyd, number)

    load = Load(workspace, server.request, seconds=LoadSeconds)
    keep_busy(load, every(1, change))
    result = load.result()
    print(summary(result))
    assert_nobody_noticed(result)


def test_nobody_notices_a_reload_or_an_upgrade_that_fails(workspace, proxyd, server):
    def fail():
        before = sorted(proxyd.workers())
        good = dict(proxyd.configuration)
        line = proxyd.reload(sessions_max="many")
        assert "reload failed" in line, line
        proxyd.configuration = good
        proxyd.write_configuration()
        replace_program(proxyd, "/bin/false")
        line = proxyd.upgrade()
        assert "upgrade failed" in line, line
        replace_program(proxyd, program("proxyd"))
        wait_for_workers(proxyd, Workers)
        assert sorted(proxyd.workers()) == before

    load = Load(workspace, server.request, seconds=LoadSeconds)
    keep_busy(load, every(2, fail))
    result = load.result()
    print(summary(result))
    assert_nobody_noticed(result)


def test_only_those_whom_a_killed_worker_had_in_hand_notice(workspace, proxyd, server):
    killer = Killer(proxyd)
    load = Load(workspace, server.request, seconds=LoadSeconds)
    keep_busy(load, every(1, killer))
    result = load.result()
    print(summary(result), killer, sep="; ")
    assert_only_those_in_hand_noticed(result, killer)
    assert_nobody_waited_long(result)
    wait_for_workers(proxyd, Workers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")
def test_few_are_in_hand_when_their_site_has_room(workspace):
    """Whom a worker has in hand it has accepted with the hello, and hands over before it accepts the next one."""
    server = PlainNginx(workspace, launcher=DeepQueue).wait_until_ready()
    proxyd = workspace.start_proxyd(routes={server.host: str(server.site)}, workers=Workers,
                                    access_log=str(workspace.path / "log"))
    killer = Killer(proxyd)
    load = Load(workspace, server.request, seconds=LoadSeconds)
    keep_busy(load, every(1, lambda: (wait_for_workers(proxyd, Workers), killer())))
    result = load.result()
    print(summary(result), killer, sep="; ")
    assert_only_those_in_hand_noticed(result, killer)
    # It may have handed over some already of which it has not closed its copy yet.
    assert len(result["failures"]) <= len(killer.in_hand)


@pytest.mark.parametrize("upgrades", [False, True], ids=["reloads", "reloads and an upgrade"])
def test_only_those_whom_a_killed_worker_had_in_hand_notice_among(workspace, proxyd, server, upgrades):
    """Reloads every second, and a worker that is killed every three."""
    killer = Killer(proxyd)
    events = every(1, lambda: reload(proxyd)) + [(at + 0.5, killer) for at in range(1, LoadSeconds, 3)]
    if upgrades:
        events.append((LoadSeconds / 2 + 0.2, lambda: upgrade(proxyd)))
    load = Load(workspace, server.request, seconds=LoadSeconds)
    keep_busy(load, events)
    result = load.result()
    print(summary(result), killer, sep="; ")
    assert_only_those_in_hand_noticed(result, killer)
    assert_nobody_waited_long(result)
    wait_for_workers(proxyd, Workers)
