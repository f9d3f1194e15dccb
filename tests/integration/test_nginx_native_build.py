# SPDX-License-Identifier: MIT
"""patches/nginx/build.sh: what it says when it can't do what it's asked for. The other tests use what it builds."""

import os
import subprocess

import pytest

from nginx_native_support import IsLong
from support.native_nginx import Script


def build_says(workspace, *arguments, **environment):
    result = subprocess.run([Script, "--into", workspace.path / "into", *arguments], capture_output=True, text=True,
                            env={**os.environ, **environment}, timeout=120)
    return result.returncode, result.stderr


@pytest.mark.parametrize("arguments, expected", [
    ([], "build.sh: want one of: 1.22.1 1.26.3 module module@trixie module@sid\n"),
    (["1.30.6"], "build.sh: want one of: 1.22.1 1.26.3 module module@trixie module@sid\n"),
    (["1.22.1", "module"], "build.sh: one version at a time\n"),
    (["--fast", "module"], "build.sh: unknown option '--fast', see --help\n"),
])
def test_what_it_does_not_know(workspace, arguments, expected):
    assert build_says(workspace, *arguments) == (2, expected)


@pytest.mark.parametrize("what, more", [("1.22.1", "libgd-dev libgeoip-dev libperl-dev libxslt1-dev"), ("module", "nginx-dev"),
                                        ("module@sid", "patchelf")])
def test_it_names_the_packages_that_are_missing(workspace, what, more):
    query = workspace.site("bin") / "dpkg-query"
    query.write_text(f"""#!/bin/sh
case " gcc make patch dpkg-dev libpcre2-dev libssl-dev zlib1g-dev " in *" $4 "*) echo installed ;; *) exit 1 ;; esac\n""")
    query.chmod(0o755)
    expected = f"build.sh: packages are missing: sudo apt install {more}\n"
    assert build_says(workspace, what, PATH=f"{query.parent}:{os.environ['PATH']}") == (1, expected)


@pytest.mark.skipif(not IsLong, reason="apt tries for ten seconds")
def test_an_archive_that_cannot_be_reached(workspace):
    log = workspace.path / "into" / "work" / "log"
    assert build_says(workspace, "1.22.1", http_proxy="http://127.0.0.1:9") == (
        3, f"build.sh: found no source of nginx 1.22.1 in Debian's archive, or could not reach it, see {log}\n")
