# SPDX-License-Identifier: MIT
"""The table of servers in libpreload/README.md: rows that tests write into the build directory when a server has
passed (or has failed as it should), and their rendering. tests/make_server_table.py puts them into the README."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess

Readme = pathlib.Path(__file__).resolve().parents[2] / "libpreload" / "README.md"
Works = "works"
# Name of the test file without "test_receiver_": what stands above its rows.
Groups = {"web": "Web servers", "languages": "Languages and their servers", "beyond": "Others"}
Heading = "| server | version | what is special about it | restarted, and no client notices, by | result |"


@dataclasses.dataclass(frozen=True)
class Row:
    server: str
    version: str
    habits: str
    restart: str
    result: str

    def text(self, version=None):
        return f"| {self.server} | {version or self.version} | {self.habits} | {self.restart} | {self.result} |"

    def without_version(self):
        return self.text(version="-")

    def as_json(self):
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def of_line(line):
        return Row(*line.removeprefix("| ").removesuffix(" |").split(" | "))


def group_of(test_file):
    """test_receiver_web.py and test_receiver_web_php.py belong to "web"."""
    return next(group for group in Groups if pathlib.Path(test_file).stem.startswith(f"test_receiver_{group}"))


def version_of(package):
    """The upstream part of what Debian calls it (deb-version(7)); what isn't from a package has no version."""
    if not package:
        return "-"
    whole = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True,
                           check=True).stdout
    return re.sub(r"[+~][^+~]*$", "", whole.partition(":")[2] or whole).rpartition("-")[0] or whole


def row_of(server_type, result):
    """`server_type` has title, package, habits and restart_words, and a version if it isn't from a package."""
    version = getattr(server_type, "version", None) or version_of(server_type.package)
    return Row(server_type.title, version, server_type.habits, server_type.restart_words, result)


def rows_directory(build=None):
    return pathlib.Path(build or os.environ["PROXYD_BUILD"]) / "servers"


def record(group, server_type, result):
    directory = rows_directory() / group
    directory.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", server_type.title)
    (directory / f"{name}.json").write_text(row_of(server_type, result).as_json())


def recorded(group, build=None):
    files = sorted((rows_directory(build) / group).glob("*.json"))
    rows = [Row(**json.loads(file.read_text())) for file in files]
    return sorted(rows, key=lambda row: row.server.lower())


def markers(group):
    return f"<!-- servers: {group}, made by tests/make_server_table.py -->", f"<!-- servers: end of {group} -->"


def committed_rows(group, text=None):
    """The lines of the README's table."""
    begin, end = markers(group)
    text = Readme.read_text() if text is None else text
    assert begin in text and end in text, f"{Readme} has no table of {group}"
    lines = text.partition(begin)[2].partition(end)[0].splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| server |")]


def state(test_file, server_type, result):
    """What a test has found out about a server; the README must say the same, but for the version."""
    group = group_of(test_file)
    record(group, server_type, result)
    wanted = row_of(server_type, result).without_version()
    found = [Row.of_line(line).without_version() for line in committed_rows(group)]
    assert wanted in found, (f"libpreload/README.md does not say so: run tests/make_server_table.py BUILD-DIRECTORY "
                             f"when all of integration.receiver_{group} have run")


def table(rows):
    return "\n".join([Heading, "|---|---|---|---|---|", *(row.text() for row in rows)])


def with_tables(text, build):
    """The README's text with all groups' tables made anew; those that have not run stay."""
    for group, title in Groups.items():
        begin, end = markers(group)
        rows = recorded(group, build)
        if rows:
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            text = f"{before}{begin}\n**{title}**\n\n{table(rows)}\n{end}{after}"
    return text
