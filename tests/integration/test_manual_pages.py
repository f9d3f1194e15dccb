# SPDX-License-Identifier: MIT
"""The manual pages: well-formed, and in agreement with the programs and documents."""

import json
import pathlib
import re
import subprocess

import pytest

from support.processes import program, run_proxyd

Source = pathlib.Path(__file__).resolve().parents[2]
Pages = sorted((Source / "man").glob("*.[1578]"))
Document = Source / "docs" / "CONFIGURATION.md"


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})


@pytest.mark.parametrize("page", Pages, ids=lambda page: page.name)
def test_is_well_formed(page):
    result = run("mandoc", "-T", "lint", "-W", "warning", page)
    # mandoc looks for the pages that are referred to among those that are installed.
    findings = [line for line in result.stdout.splitlines() if "referenced manual not found" not in line]
    assert (findings, result.stderr) == ([], "")
    result = run("man", "--warnings", "-l", page)
    assert (result.returncode, result.stderr) == (0, "")


def test_pages_refer_to_pages_that_are_there():
    ours = {page.name for page in Pages}
    theirs = {"ld.so.8", "sd_notify.3", "sd_listen_fds.3", "sudo.8", "su.1", "runuser.1", "systemd.1",
              "secure_getenv.3", "flock.2", "systemd.socket.5"}
    for page in Pages:
        references = re.findall(r"(?m)^\.?.*\bXr (\S+) (\d)", page.read_text())
        assert {f"{name}.{section}" for name, section in references} <= ours | theirs, page.name


def options_of_help(name):
    """Each option with its argument, and its text."""
    text = run(program(name), "--help").stdout
    found = re.findall(r"(?m)^  --(\S+(?: [A-Z][^ ]*)?)  +(.*)$", text)
    return {option: description for option, description in found}


def options_of_page(page):
    text = run("mandoc", "-T", "ascii", "-O", "width=1000", page).stdout
    text = re.sub(r".\x08", "", text)
    body = text.split("The options are:", 1)[1]
    found = re.findall(r"(?m)^ +--(.+?)(?:\n +|  +)(.*)$", re.split(r"(?m)^\S", body)[0])
    return {option.replace(" | ", "|"): description for option, description in found}


@pytest.mark.parametrize("page", ["proxyd.8", "proxyrun.1", "tcpshim.8"])  # that of proxyctl has a test of its own
def test_has_the_options_of_help(page):
    assert options_of_page(Source / "man" / page) == options_of_help(page.rsplit(".", 1)[0])


def allowed_keys(configuration, file):
    """What proxyd says when it meets a key that it doesn't know."""
    file.write_text(json.dumps(configuration))
    errors = run_proxyd("--config", file, "--check-config").stderr
    found = re.findall(r"is not a key of (.*), allowed are (.*)$", errors, re.MULTILINE)
    return {what: set(keys.split(", ")) for what, keys in found}


def documented_keys():
    """The keys of each table that has some with types and defaults."""
    tables = []
    for table in re.findall(r"(?m)(?:^\|.*\n)+", Document.read_text()):
        header, _, *rows = table.splitlines()
        if header == "| key | type | default | meaning |":
            tables.append({re.match(r"\| `([^`]+)` ", row).group(1) for row in rows})
    return tables


def test_every_key_that_proxyd_knows_is_documented_and_no_other(tmp_path):
    unknown = {"?": None}
    known = allowed_keys({"listen": [unknown], "routes": {"a.example.org": unknown},
                          "tcpshim": unknown, **unknown}, tmp_path / "proxyd.json")
    assert sorted(map(sorted, known.values())) == sorted(map(sorted, documented_keys()))


def test_the_page_of_the_configuration_is_made_from_the_document():
    made = run("python3", Source / "man" / "make_configuration_page.py")
    assert made.stderr == ""
    assert (Source / "man" / "proxyd.json.5").read_text() == made.stdout, (
        "docs/CONFIGURATION.md has changed: man/make_configuration_page.py >man/proxyd.json.5")


def test_every_documented_key_is_on_the_page():
    page = (Source / "man" / "proxyd.json.5").read_text()
    for table in documented_keys():
        for key in table:
            assert f'.It "\\fB{key}\\fR"' in page
