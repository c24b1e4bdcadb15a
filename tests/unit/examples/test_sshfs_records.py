# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The state file."""

from __future__ import annotations

from pathlib import Path

import pytest
from sshfs_driver.records import BrokenState, Record, Records

RECORD = Record({"sshcmd": "u@h:/", "password": "s3cret"}, "2026-01-01T00:00:00Z")


def test_nothing_saved_is_no_volumes(tmp_path: Path) -> None:
    records = Records(tmp_path / ".state")
    assert records.load() == {}
    assert records.directory.stat().st_mode & 0o7777 == 0o700


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    Records(tmp_path / ".state").load()
    Records(tmp_path / ".state").save({"v": RECORD})
    assert Records(tmp_path / ".state").load() == {"v": RECORD}
    assert Records(tmp_path / ".state").file.stat().st_mode & 0o7777 == 0o600


def test_what_a_crash_left_half_written_does_not_matter(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save({"v": RECORD})
    (tmp_path / "volumes.json.new").write_text("{")
    assert records.load() == {"v": RECORD}
    records.save({})
    assert records.load() == {}
    assert not (tmp_path / "volumes.json.new").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": 2, "volumes": {}}', '{"format": 1, "volumes": []}',
     '{"format": 1, "volumes": {"v": {}}}', '{"format": 1, "volumes": {"v": 1}}'],
)  # fmt: skip
def test_a_broken_file_is_not_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "volumes.json").write_text(text)
    with pytest.raises(BrokenState, match=r"cannot read .*volumes.json: "):
        Records(tmp_path).load()
    assert (tmp_path / "volumes.json").read_text() == text


def test_the_password_is_not_in_a_traceback() -> None:
    assert "s3cret" not in repr(RECORD)
