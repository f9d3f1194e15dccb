# SPDX-License-Identifier: MIT
"""The fixtures that tests of the built programs share, and the logs of a failing test's children."""

import pytest

from support.workspace import Workspace

WorkspaceKey = pytest.StashKey()


@pytest.fixture
def workspace(request):
    workspace = Workspace()
    request.node.stash[WorkspaceKey] = workspace
    yield workspace
    complaints = workspace.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def start(workspace):
    """Starts proxyd with the site blog.example.org, whose directory is left to the test, and with
    other.example.org, which `wait_until_accepted` uses."""
    def start(**configuration):
        routes = {"blog.example.org": str(workspace.path / "blog"), "other.example.org": str(workspace.site("other"))}
        return workspace.start_proxyd(routes=routes, **configuration)

    return start


@pytest.fixture
def wait_until_accepted(workspace):
    """Clients are accepted in the order in which they came: when a later one is through, all were."""
    inbox = workspace.inbox("other")

    def wait():
        client = workspace.connect(b"GET / HTTP/1.1\r\nHost: other.example.org\r\n\r\n")
        inbox.receive().close()
        client.close()

    return wait


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed and (workspace := item.stash.get(WorkspaceKey, None)):
        for child in workspace.children:
            report.sections.append((f"child {child.pid}", child.log()))
