# SPDX-License-Identifier: MIT
"""Python's own tests (Debian's libpython3.11-testsuite) in a process with or without libpreload."""

import dataclasses
import xml.etree.ElementTree

Interpreter = "/usr/bin/python3"
# They need a hypervisor that lets a machine call itself, and hang without one.
Left = ["*VSOCK*"]


@dataclasses.dataclass
class Results:
    passed: set
    failed: set
    skipped: set
    log: str


def run_tests(workspace, modules, *, environment, only=(), without=(), launcher=("-m", "test")):
    """The tests of these modules whose names match one of the patterns in `only`, if there are any."""
    number = len(workspace.children)
    report = workspace.path / f"report-{number}.xml"
    words = [word for option, patterns in (("--match", only), ("--ignore", [*Left, *without]))
             for pattern in patterns for word in (option, pattern)]
    child = workspace.start(Interpreter, *launcher, *words, "--junit-xml", report, *modules,
                            cwd=workspace.site(f"tests-{number}"), env=environment)
    child.process.wait()  # ctest knows when it is too long
    child.wait_for_exit()
    assert report.exists(), child.log()
    return results_of(report, child.log())


def results_of(report, log):
    results = Results(set(), set(), set(), log)
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        kinds = {part.tag for part in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        getattr(results, outcome).add(case.get("name"))
    return results


def new_failures(workspace, modules, *, environment, plain_environment, **options):
    """Of tests that fail in this environment, twice (the machine may be busy), and not in the plain one; also returns
    the results."""
    results = run_tests(workspace, modules, environment=environment, **options)
    failed = results.failed
    for other in (environment, plain_environment):
        if failed:
            again = run_tests(workspace, modules, environment=other, only=sorted(failed))
            failed = again.failed if other is environment else failed - again.failed
    return failed, results
