# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What this process has open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def below(place: Path) -> list[str]:
    """Where the descriptors lead that lead to a directory or below it.

    Others may be closed at any time, by the garbage collector for one: to count them all says nothing.
    """
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listed them
            found.append(os.readlink(f"/proc/self/fd/{entry}"))
    return [path for path in found if Path(path).is_relative_to(place)]
