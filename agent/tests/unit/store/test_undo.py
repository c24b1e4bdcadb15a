# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugind import checkpoint, errors
from plugind.store import undo
from plugind.store.layout import Layout
from plugind.store.undo import UndoFile

BEFORE = {"plugins": [{"name": "toy", "settings": {"env": {"TOKEN": "hidden"}}}]}
TIME = "2026-01-02T03:04:05Z"


@pytest.fixture
def file(layout: Layout) -> UndoFile:
    return undo.of_layout(layout)


def test_a_change_can_be_undone_until_it_was(file: UndoFile, layout: Layout) -> None:
    assert file.load() is None
    begun = file.begin(BEFORE, rollback=True, time=TIME)
    assert stat.S_IMODE(layout.undo.stat().st_mode) == 0o600
    assert json.loads(layout.undo.read_bytes()) == {
        "format": 1,
        "id": begun.id,
        "state": "running",
        "rollback": True,
        "time": TIME,
        "declaration": BEFORE,
    }
    assert file.load() == begun
    file.done(begun.id)
    done = file.load()
    assert done is not None
    assert (done.id, done.state, done.declaration) == (begun.id, "done", BEFORE)
    file.drop(begun.id)
    file.drop(begun.id)
    assert file.load() is None
    assert not list(layout.staging.iterdir())


def test_only_the_last_change_is_there(file: UndoFile) -> None:
    first = file.begin(BEFORE, rollback=True, time=TIME)
    second = file.begin({}, rollback=False, time=TIME)
    for late in (file.done, file.drop):
        late(first.id)
        assert file.load() == second


def test_what_was_before_is_not_in_the_words_of_errors(file: UndoFile) -> None:
    assert "hidden" not in repr(file.begin(BEFORE, rollback=True, time=TIME))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"id": "../../etc"},
        {"id": 7},
        {"state": "over"},
        {"rollback": "yes"},
        {"declaration": []},
    ],
)
def test_a_broken_file_is_set_aside(file: UndoFile, layout: Layout, change: dict[str, Any]) -> None:
    file.begin(BEFORE, rollback=True, time=TIME)
    document = {**json.loads(layout.undo.read_bytes()), **change}
    layout.undo.write_text(json.dumps(document))
    assert file.load() is None
    assert json.loads((layout.quarantine / "undo.json-1").read_bytes()) == document
    assert file.load() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_what_is_no_document_is_set_aside(file: UndoFile, layout: Layout, content: str) -> None:
    layout.undo.write_text(content)
    assert file.load() is None
    assert (layout.quarantine / "undo.json-1").read_text() == content


def test_what_cannot_be_read_stays(file: UndoFile, layout: Layout) -> None:
    layout.undo.mkdir()
    with pytest.raises(errors.System, match="cannot read"):
        file.load()
    assert layout.undo.is_dir()


def test_what_cannot_be_written_changes_nothing(file: UndoFile, layout: Layout) -> None:
    first = file.begin(BEFORE, rollback=True, time=TIME)
    layout.staging.rmdir()
    with pytest.raises(errors.System, match="cannot record how to undo a change"):
        file.begin({}, rollback=True, time=TIME)
    assert file.load() == first


class Killed(Exception):
    pass


@pytest.mark.parametrize("point", [name for name in checkpoint.NAMES if name.startswith("undo-")])
def test_a_crash_leaves_the_change_before_or_the_one_after(
    file: UndoFile, layout: Layout, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def die(passed: str) -> None:
        if passed == point:
            raise Killed

    verb, _, moment = point.partition(":")
    first = file.begin(BEFORE, rollback=True, time=TIME)
    doing: dict[str, Callable[[], object]] = {
        "undo-begin": lambda: file.begin({}, rollback=False, time=TIME),
        "undo-done": lambda: file.done(first.id),
        "undo-drop": lambda: file.drop(first.id),
    }
    monkeypatch.setattr(checkpoint, "hook", die)
    with pytest.raises(Killed):
        doing[verb]()
    found = undo.of_layout(layout).load()
    if moment == "before-commit":
        assert found == first
    else:
        state = None if found is None else (found.id == first.id, found.state)
        after = {"undo-begin": (False, "running"), "undo-done": (True, "done"), "undo-drop": None}
        assert state == after[verb]


def test_a_process_without_a_store_has_a_file_of_its_own(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "plugind"
    file = undo.in_directory(directory, "undo-0123.json")
    begun = file.begin(BEFORE, rollback=True, time=TIME)
    assert undo.in_directory(directory, "undo-0123.json").load() == begun
    assert sorted(os.listdir(directory)) == ["quarantine", "undo-0123.json"]
    file.path.write_text("{")
    assert file.load() is None
    assert (directory / "quarantine" / "undo-0123.json-1").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.System, match="file"):
        undo.in_directory(tmp_path / "file" / "plugind", "undo.json")
