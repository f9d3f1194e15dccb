#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make_server_table.py [BUILD-DIRECTORY]: puts what integration.receiver_* have found into libpreload/README.md.

Run those tests first: each server that has passed all its exercises leaves its row in BUILD-DIRECTORY/servers
(default: build/dev). Remove that directory before, if servers have been taken out of the tests.
"""

import os
import pathlib
import sys

Tests = pathlib.Path(__file__).parent
os.environ.setdefault("PROXYD_BUILD", str(Tests.parent / "build" / "dev"))
sys.path.insert(0, str(Tests))

from support import server_table  # noqa: E402


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else os.environ["PROXYD_BUILD"]
    text = server_table.Readme.read_text()
    server_table.Readme.write_text(server_table.with_tables(text, build))


main()
