# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os

import pytest

from plugind import errors
from plugind.host import fs
from plugind.store import records
from plugind.store.layout import Layout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "is missing"),
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "holds no object"),
        ("null", "holds no object"),
    ],
)
def test_what_is_no_record_is_broken(layout: Layout, text: str | None, problem: str) -> None:
    path = layout.root / "record"
    if text is not None:
        path.write_text(text)
    with pytest.raises(records.Broken, match=problem):
        records.load(path)


def test_a_disk_that_fails_now_does_not_make_a_record_broken(layout: Layout) -> None:
    with pytest.raises(errors.System, match="cannot read") as caught:
        records.load(layout.root)
    assert not isinstance(caught.value, records.Broken)


def test_quarantine_numbers_what_it_sets_aside(layout: Layout) -> None:
    for _ in range(2):
        broken = layout.plugins / "id"
        broken.mkdir()
        records.quarantine(layout, broken, errors.System("why"))
    assert sorted(os.listdir(layout.quarantine)) == ["id-1", "id-2"]


def test_what_cannot_be_set_aside_stays(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    records.quarantine(layout, layout.plugins / "absent", errors.System("why"))
    assert "broken record left in place" in caplog.text


def test_throwing_away_succeeds_even_if_the_bytes_stay(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: object) -> None:
        raise errors.System("busy")

    (layout.plugins / "id").mkdir()
    monkeypatch.setattr(fs, "remove_tree", refuse)
    records.throw_away(layout, layout.plugins / "id", "id")
    assert os.listdir(layout.plugins) == []
    assert len(os.listdir(layout.trash)) == 1
    assert "could not empty the trash" in caplog.text
