#!/usr/bin/env python3
"""Say how much of each room of the agent tests have run, and fail where it is too little.

coverage_rooms.py REPORT.json     what `coverage json` wrote, with branches

A room is a directory of agent/src/plugind, a room in a room is one of its own, and "top" is what lies beside them.
Pure rooms are run whole, by line and by branch, with all that is in them; of the others nine tenths of either.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PURE = {"model", "spec"}
ELSEWHERE = 90.0


@dataclass(frozen=True)
class Room:
    """How many lines and branches there are, and how many of them were run."""

    name: str
    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    branches_run: int = 0

    @property
    def wanted(self) -> float:
        """Percent."""
        return 100.0 if outermost(self.name) in PURE else ELSEWHERE

    @property
    def is_enough(self) -> bool:
        """Whether both figures are."""
        return (
            min(percent(self.lines_run, self.lines), percent(self.branches_run, self.branches))
            >= self.wanted
        )

    def with_file(self, summary: Mapping[str, int]) -> Room:
        """The room with one more file."""
        return Room(
            self.name,
            self.lines + summary["num_statements"],
            self.lines_run + summary["covered_lines"],
            self.branches + summary["num_branches"],
            self.branches_run + summary["covered_branches"],
        )


def percent(part: int, whole: int) -> float:
    """How much of it; of nothing, all."""
    return 100.0 * part / whole if whole else 100.0


def room_of(path: str) -> str:
    """.../plugind/model/plans/plan.py -> model/plans; .../plugind/daemon.py -> top."""
    parts = PurePosixPath(path).parts
    above = len(parts) - parts[::-1].index("plugind")
    return "/".join(parts[above:-1]) or "top"


def outermost(room: str) -> str:
    """model/plans -> model."""
    return room.partition("/")[0]


def rooms(files: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[Room]:
    """The rooms of a report, by name."""
    found: dict[str, Room] = {}
    for path, report in files.items():
        name = room_of(path)
        found[name] = found.get(name, Room(name)).with_file(report["summary"])
    return [found[name] for name in sorted(found)]


def table(found: list[Room]) -> Iterator[str]:
    """A line for each room."""
    yield f"{'room':20} {'lines':>8} {'branches':>9} {'wanted':>7}"
    for room in found:
        lines, branches = (
            percent(room.lines_run, room.lines),
            percent(room.branches_run, room.branches),
        )
        verdict = "" if room.is_enough else "   TOO LITTLE"
        yield f"{room.name:20} {lines:7.1f}% {branches:8.1f}% {room.wanted:6.0f}%{verdict}"


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        sys.exit(__doc__)
    found = rooms(json.loads(Path(argv[0]).read_text())["files"])
    print(*table(found), sep="\n")
    if not {outermost(room.name) for room in found} >= PURE:
        print(f"coverage: no {' and '.join(sorted(PURE))} in the report: nothing was measured")
        return 1
    return 0 if all(room.is_enough for room in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
