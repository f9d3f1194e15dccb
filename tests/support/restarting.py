# SPDX-License-Identifier: MIT
"""For receivers (support/receiver_suite.py) whose workers are replaced when a signal says so. Used by the tests of servers
in languages."""

import signal

from support.processes import DeadlineSeconds, children_of
from support.receiver_suite import ProgressStep, RestartAtOnce, assert_all_served, wait_for_more
from support.workspace import wait_until


class ReplacesWorkers:
    """Its main process stays, and all its children are other ones after the signal."""

    restart_signal = signal.SIGHUP
    workers_count = 2

    def workers(self):
        return set(children_of(self.pid))

    def wait_until_ready(self, without=()):
        super().wait_until_ready(without)
        wait_until(lambda: len(self.workers()) == self.workers_count, f"{self.workers_count} workers of {self.kind}")
        return self

    def restart(self):
        self.workers_before = self.workers()
        self.signal(self.restart_signal)
        wait_until(lambda: self.workers() - self.workers_before, f"a new worker of {self.kind}")
        return self

    def wait_until_settled(self):
        wait_until(lambda: len(self.workers()) == self.workers_count and not self.workers() & self.workers_before,
                   f"{self.workers_count} workers of {self.kind}, all of them new")


def assert_nobody_notices(server, restart):
    """Clients come before, while and after `restart` is called."""
    load = server.load(at_once=RestartAtOnce, seconds=10 * DeadlineSeconds, progress=ProgressStep)
    wait_for_more(load)
    restart()
    wait_for_more(load)
    load.signal(signal.SIGTERM)
    assert_all_served(load)
