# SPDX-License-Identifier: MIT
"""libpreload/README.md has a row for each server of test_receiver_*.py, and for no other. What stands in the rows is
compared by those tests themselves, when they have found it out."""

import importlib
import inspect
import pathlib

import pytest

from support import server_table

Here = pathlib.Path(__file__).resolve().parent


def titles_in_tests(group):
    modules = [importlib.import_module(path.stem) for path in sorted(Here.glob(f"test_receiver_{group}*.py"))]
    return {item.title for module in modules for _, item in inspect.getmembers(module, inspect.isclass)
            if getattr(item, "title", "") and item.__module__ == module.__name__}


@pytest.mark.parametrize("group", server_table.Groups)
def test_servers_of_the_table(group):
    committed = [line.split(" | ")[0].removeprefix("| ") for line in server_table.committed_rows(group)]
    assert sorted(committed, key=str.lower) == sorted(titles_in_tests(group), key=str.lower)


def test_making_the_table_again_changes_nothing(tmp_path):
    text = server_table.Readme.read_text()
    assert server_table.with_tables(text, tmp_path) == text  # no test has run there
    for group in server_table.Groups:
        directory = server_table.rows_directory(tmp_path) / group
        directory.mkdir(parents=True)
        for number, line in enumerate(server_table.committed_rows(group)):
            (directory / f"{number}.json").write_text(server_table.Row.of_line(line).as_json())
    assert server_table.with_tables(text, tmp_path) == text
