# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What processes keep in memory: PSS, which counts a page that is shared once."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def find(word: str) -> set[int]:
    """Ids of the processes whose command line has `word` in it."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if word in path.read_text(errors="replace"):
                found.add(int(path.parent.name))
    return found


def resident(word: str) -> dict[str, float]:
    """Program -> MiB, over all those processes."""
    found: dict[str, float] = {}
    for pid in find(word):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            program = Path(f"/proc/{pid}/comm").read_text().strip()
            if match := _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text()):
                found[program] = found.get(program, 0.0) + int(match[1]) / 1024
    return found
