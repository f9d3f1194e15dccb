# SPDX-License-Identifier: MIT
"""Servers built with a sanitizer, under libpreload: it finds nothing, and disturbs nothing."""

import os
import shutil
import subprocess

import preload_support as support
import pytest
from preload_support import LIBRARY, observe

Root = support.Path(__file__).parents[2]
HABITS = [
    ("inherited_options", "after-listen"),
    ("many_threads",),
    ("poll_loop", "epoll"),
    ("prefork",),
    ("shutdown_accept",),
]


def runtime_of(sanitizer):
    """gcc's shared library of that sanitizer."""
    name = {"address": "libasan.so", "thread": "libtsan.so"}[sanitizer]
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True,
                           check=True).stdout.strip()
    assert os.path.isabs(found), f"gcc has no {name}"
    return os.path.realpath(found)


@pytest.fixture(scope="module", params=["address", "thread"])
def sanitized(request, tmp_path_factory):
    """The directory of the built programs, and the variables that they need."""
    directory = tmp_path_factory.mktemp(request.param)
    compiler = ["ccache", "gcc"] if shutil.which("ccache") else ["gcc"]
    programs = sorted({habit[0] for habit in HABITS})
    for name in "observe", *programs:
        subprocess.run([*compiler, "-D_GNU_SOURCE", "-O1", "-g", f"-fsanitize={request.param}",
                        f"-I{Root}", "-c", "-o", directory / f"{name}.o",
                        Root / "tests" / "programs" / f"{name}.c"], check=True)
    for name in programs:
        subprocess.run(["gcc", f"-fsanitize={request.param}", "-pthread", "-o", directory / name,
                        directory / f"{name}.o", directory / "observe.o"], check=True)
    # The sanitizer's library insists on being the first (ld.so(8)). Whoever starts the program
    # leaves it to the variable, as we leave it to ours.
    variables = {"LD_PRELOAD": f"{runtime_of(request.param)} {LIBRARY}"}
    return directory, variables


@pytest.mark.parametrize("habit", HABITS, ids=" ".join)
def test_a_sanitizer_finds_nothing(sanitized, habit):
    directory, variables = sanitized
    program, *arguments = habit
    plain = observe(program, "::", arguments, preloaded=False, directory=directory)
    preloaded = observe(program, "::", arguments, directory=directory, **variables)
    assert preloaded == plain
    assert preloaded[-1] == "exit code 0"
