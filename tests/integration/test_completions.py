# SPDX-License-Identifier: MIT
"""The completions of proxyctl: every command and option of its help is in them, and in its manual page."""

import pathlib
import re
import shutil
import subprocess

import pytest

from support.processes import program

Source = pathlib.Path(__file__).resolve().parents[2]
Bash = Source / "packaging" / "completions" / "proxyctl.bash"
Zsh = Source / "packaging" / "completions" / "_proxyctl"
Page = Source / "man" / "proxyctl.1"


def help_of(*command):
    return subprocess.run([program("proxyctl"), *command, "--help"], capture_output=True, text=True).stdout


def commands():
    listed = help_of().split("own --help:\n", 1)[1]
    return [re.match(r"  ((?:site )?\S+)  ", line).group(1) for line in listed.splitlines()]


def options_of(*command):
    return re.findall(r"(?m)^  (--[a-z-]+)", help_of(*command))


def complete(*words):
    """What bash offers for the last of the words."""
    script = (f'source {Bash}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _proxyctl; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "-c", script, "bash", "proxyctl", *words], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def test_bash_offers_all_commands():
    offered = complete("") + [f"site {word}" for word in complete("site", "")]
    offered.remove("site")
    assert offered == commands()
    assert complete("st") == ["status"]
    assert complete("--json", "--control", "/x", "ro") == ["routes"]


@pytest.mark.parametrize("command", [(), *(tuple(command.split()) for command in commands())], ids=" ".join)
def test_bash_offers_the_options_of_help(command):
    assert complete(*command, "--") == options_of(*command)
    assert complete(*command, "--hel") == ["--help"]


def test_bash_offers_arguments(tmp_path):
    (tmp_path / "some.sock").touch()
    assert complete("--control", f"{tmp_path}/so") == [f"{tmp_path}/some.sock"]
    assert complete("log-level", "no") == ["notice"]
    assert complete("site", "add", "--owner", "roo") == ["root"]
    assert complete("explain", "--protocol", "t") == ["tls"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_can_read_its_own():
    assert subprocess.run(["zsh", "-n", Zsh], capture_output=True).stderr == b""


@pytest.mark.parametrize("command", [tuple(command.split()) for command in commands()], ids=" ".join)
def test_zsh_and_manual_page_know_every_option(command):
    zsh, page = Zsh.read_text(), Page.read_text()
    assert f"'{command[-1]}:" in zsh
    assert re.search(r"(?m)^\.It " + " ".join(f"Cm {word}" for word in command) + r"\b", page)
    for option in options_of(*command):
        assert f"'{option}[" in zsh
        assert f"-{option[2:]}" in page
