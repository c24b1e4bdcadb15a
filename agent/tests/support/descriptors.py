# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What this process has open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def opened() -> set[tuple[str, str]]:
    """All of it, by number and by what it is. The garbage collector may close some at any time."""
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listed them
            found.add((entry, os.readlink(f"/proc/self/fd/{entry}")))
    return found


def below(place: Path) -> list[str]:
    """Those paths of it that are a directory, or below it."""
    return [path for _, path in opened() if Path(path).is_relative_to(place)]
