# SPDX-License-Identifier: MIT
"""What systemd says of unit files."""

import os
import subprocess

from support.processes import DeadlineSeconds


def faults_of_units(*units, **environment):
    """What `systemd-analyze verify` finds wrong with them, and not with the system's units, which it reads, too."""
    result = subprocess.run(["systemd-analyze", "--man=no", "--recursive-errors=no", "verify", *map(str, units)],
                            capture_output=True, text=True, env={**os.environ, **environment}, timeout=DeadlineSeconds)
    lines = (result.stdout + result.stderr).splitlines()
    return lines if lines or result.returncode == 0 else [f"it ended with {result.returncode}"]
