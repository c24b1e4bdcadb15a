# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import plugind
from plugind import checkpoint
from plugind.store import plugins

CALL = re.compile(r'checkpoint\.checkpoint\(\s*f?"([^"]+)"')


def names_in_source() -> set[str]:
    found: set[str] = set()
    for path in Path(plugind.__file__).parent.rglob("*.py"):
        for name in CALL.findall(path.read_text(encoding="utf-8")):
            if "{self.operation}" in name:
                operations = typing.get_args(plugins.Operation)
                found.update(name.replace("{self.operation}", value) for value in operations)
            elif "{operation}" in name:
                found.update(
                    name.replace("{operation}", value)
                    for value in ("remove", "volume-remove", "image-remove")
                )
            elif "{change}" in name:
                found.update(name.replace("{change}", v) for v in ("undo-begin", "undo-done"))
            else:
                found.add(name)
    return found


def test_names_are_those_in_the_source() -> None:
    assert names_in_source() == set(checkpoint.NAMES)
    assert len(set(checkpoint.NAMES)) == len(checkpoint.NAMES)


def test_does_nothing_by_default() -> None:
    checkpoint.checkpoint("save:before-commit")


def test_calls_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(checkpoint, "hook", seen.append)
    checkpoint.checkpoint("save:before-commit")
    assert seen == ["save:before-commit"]


@pytest.mark.parametrize(
    ("wanted", "printed"),
    [("a:b", ""), ("a:b:2", "1"), ("a:b:3", "12"), ("a:c", "123"), ("a:b:9", "123")],
)
def test_kills_the_process_at_the_hit_that_is_named(wanted: str, printed: str) -> None:
    code = (
        "from plugind import checkpoint\n"
        "for n in (1, 2, 3):\n"
        "    checkpoint.checkpoint('a:b')\n"
        "    print(n, end='', flush=True)\n"
    )
    env = {
        **os.environ,
        "PLUGIND_CRASH_AT": wanted,
        "PYTHONPATH": str(Path(plugind.__file__).parent.parent),
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout == printed
    assert done.returncode == (0 if printed == "123" else -signal.SIGKILL)
