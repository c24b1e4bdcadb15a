"""The Pythons that are promised, and those that this machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# Pythons that a target may have: what `plugins/modules` promises.
TARGETS = ["3.9", "3.10", "3.11", "3.12", "3.13"]
# The oldest ansible-core that we support, and the newest one for each Python of controllers.
CONTROLLERS = [("2.19", "3.11"), ("2.21", "3.12"), ("2.21", "3.13")]


def find_python(version: str) -> str | None:
    """A Python of this version that really runs: a version manager's shims may be there and fail."""
    homes = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for candidate in [f"/usr/bin/python{version}", *map(str, homes), f"python{version}"]:
        path = shutil.which(candidate)
        probe = [path, "-c", "import ensurepip, venv"]
        if path and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return path
    return None
