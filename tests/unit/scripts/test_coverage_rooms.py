# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""scripts/coverage_rooms.py: a room is judged by its lines and by its branches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "coverage_rooms.py"


def summary(lines: int, branches: int) -> dict[str, dict[str, int]]:
    """A file of 100 lines and 20 branches, of which so many were run."""
    counts = {
        "num_statements": 100, "covered_lines": lines, "num_branches": 20, "covered_branches": branches,
    }  # fmt: skip
    return {"summary": counts}


def judge(place: Path, files: dict[str, object]) -> tuple[int, list[str]]:
    report = place / "report.json"
    report.write_text(json.dumps({"files": {f"x/plugind/{name}": s for name, s in files.items()}}))
    done = subprocess.run(
        [sys.executable, SCRIPT, report], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines()[1:]


PURE = {"model/a.py": summary(100, 20), "spec/a.py": summary(100, 20)}


def test_files_are_added_up_by_room(tmp_path: Path) -> None:
    files = {
        **PURE,
        "api/a.py": summary(100, 20),
        "api/b.py": summary(80, 16),
        "daemon.py": summary(90, 18),
    }
    code, lines = judge(tmp_path, files)
    assert code == 0
    assert [line.split() for line in lines] == [
        ["api", "90.0%", "90.0%", "90%"],
        ["model", "100.0%", "100.0%", "100%"],
        ["spec", "100.0%", "100.0%", "100%"],
        ["top", "90.0%", "90.0%", "90%"],
    ]


def test_a_room_in_a_room_cannot_hide_behind_it(tmp_path: Path) -> None:
    files = {
        **PURE,
        "model/plans/a.py": summary(99, 20),
        "engine/a.py": summary(100, 20),
        "engine/volume/a.py": summary(89, 20),
        "engine/plugin/a.py": summary(90, 18),
    }
    code, lines = judge(tmp_path, files)
    assert code == 1
    assert {line.split()[0]: "TOO LITTLE" in line for line in lines} == {
        "engine": False, "engine/plugin": False, "engine/volume": True,
        "model": False, "model/plans": True, "spec": False,
    }  # fmt: skip


def test_the_rooms_are_those_of_the_package_wherever_it_is_checked_out(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    files = {f"plugind/agent/src/plugind/{name}": found for name, found in PURE.items()}
    report.write_text(json.dumps({"files": files}))
    done = subprocess.run([sys.executable, SCRIPT, report], capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("model/b.py", summary(100, 19)),
        ("model/b.py", summary(99, 20)),
        ("model/plans/a.py", summary(100, 19)),
        ("api/a.py", summary(100, 17)),
        ("api/a.py", summary(89, 20)),
    ],
)
def test_too_little_of_either_fails(tmp_path: Path, name: str, found: object) -> None:
    code, lines = judge(tmp_path, {**PURE, name: found})
    assert code == 1
    assert sum("TOO LITTLE" in line for line in lines) == 1


def test_a_report_of_something_else_fails(tmp_path: Path) -> None:
    code, lines = judge(tmp_path, {"api/a.py": summary(100, 20)})
    assert code == 1
    assert "nothing was measured" in lines[-1]
