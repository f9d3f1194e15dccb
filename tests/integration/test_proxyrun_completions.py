# SPDX-License-Identifier: MIT
"""The completions of proxyrun: every option of its help is in them, and behind the options stands another command."""

import pathlib
import re
import shutil
import subprocess

import pytest

from support.processes import program

Completions = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "completions"


def options_of_help():
    text = subprocess.run([program("proxyrun"), "--help"], capture_output=True, text=True).stdout
    return re.findall(r"(?m)^  (--[a-z-]+)", text)


def complete(*words):
    """What bash offers for the last of the words."""
    script = (f'source {Completions}/proxyrun.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _proxyrun; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "-c", script, "bash", "proxyrun", *words], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def test_bash_offers_the_options_of_help():
    assert complete("--") == options_of_help()
    assert complete("--keep", "--tr") == ["--trace"]
    assert complete("--port", "443=8443", "--tr") == ["--trace"]


def test_bash_offers_arguments_and_commands(tmp_path):
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog.sock").touch()
    assert complete("--site", f"{tmp_path}/bl") == [f"{tmp_path}/blog"]
    assert complete("--control", f"{tmp_path}/blog.s") == [f"{tmp_path}/blog.sock"]
    assert "python3" in complete("--site", "blog", "--", "python")
    assert complete("--site", "blog", "--", "cat", f"{tmp_path}/blog.s") == [f"{tmp_path}/blog.sock"]
    assert complete("--port", "4") == []
    assert complete("--check", "--si") == ["--site"]
    assert "python3" in complete("--check", "python")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_can_read_its_own():
    assert subprocess.run(["zsh", "-n", Completions / "_proxyrun"], capture_output=True).stderr == b""


def test_zsh_knows_every_option():
    text = (Completions / "_proxyrun").read_text()
    assert re.findall(r"'\*?(--[a-z-]+)\[", text) == options_of_help()
