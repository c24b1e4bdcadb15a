# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Changes in a directory: none is missed, and none of another file counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from plugind.host import inotify


async def test_what_happened_since_the_watch_was_made_counts(tmp_path: Path) -> None:
    with inotify.watch(tmp_path) as changes:
        (tmp_path / "x").touch()
        await changes.wait_for("x")


@pytest.mark.parametrize("how", ["create", "write", "rename"])
async def test_kinds_of_changes(tmp_path: Path, how: str) -> None:
    (tmp_path / "present").touch()
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "f").touch()
    name = "present" if how == "write" else "new"
    with inotify.watch(tmp_path) as changes:
        waiting = asyncio.ensure_future(changes.wait_for(name))
        await asyncio.sleep(0)
        assert not waiting.done()
        if how == "rename":
            (tmp_path / "away" / "f").rename(tmp_path / "new")
        else:
            (tmp_path / name).write_text("x")
        await waiting


async def test_other_files_do_not_count(tmp_path: Path) -> None:
    with inotify.watch(tmp_path) as changes:
        (tmp_path / "other").touch()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await changes.wait_for("x")
        (tmp_path / "x").touch()
        await changes.wait_for("x")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        with inotify.watch(tmp_path / "missing"):
            pass
