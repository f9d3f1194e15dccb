# SPDX-License-Identifier: MIT
"""What systemd says of unit files."""

import os
import pathlib
import subprocess

from support.processes import DeadlineSeconds


def faults_of_units(*units, **environment):
    """What `systemd-analyze verify` finds wrong with them. It reads the system's units too, which may have faults of
    their own: those are not counted."""
    directories = {str(pathlib.Path(unit).parent) for unit in units}
    result = subprocess.run(["systemd-analyze", "--man=no", "verify", *map(str, units)], capture_output=True, text=True,
                            env={**os.environ, **environment}, timeout=DeadlineSeconds)
    lines = [line for line in (result.stdout + result.stderr).splitlines()
             if not line.startswith(("/lib/systemd/", "/usr/lib/systemd/", "/etc/systemd/"))
             or any(line.startswith(directory) for directory in directories)]
    return lines if lines or result.returncode == 0 else [f"it ended with {result.returncode}"]
