# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A volume is filled with what an image has, and nothing but the volume."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from plugind.host import copying


def fill(source: Path, target: Path) -> None:
    place = os.open(target, os.O_PATH | os.O_DIRECTORY)
    try:
        copying.fill(source, place)
    finally:
        os.close(place)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er").chmod(0o711)
    (source / "file").write_bytes(b"x" * 3_000_000)
    (source / "file").chmod(0o4755)
    os.setxattr(source / "file", "user.note", b"kept")
    os.utime(source / "file", ns=(1_000_000_001, 2_000_000_002))
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo", 0o640)
    source.chmod(0o750)
    return source


def test_everything_comes_along(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    fill(source, target)
    assert sorted(os.listdir(target)) == ["deep", "fifo", "file", "link"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    assert stat.S_IMODE((target / "deep/er").stat().st_mode) == 0o711
    copied = target / "file"
    assert copied.read_bytes() == (source / "file").read_bytes()
    assert stat.S_IMODE(copied.stat().st_mode) == 0o4755
    assert os.getxattr(copied, "user.note") == b"kept"
    assert copied.stat().st_mtime_ns == 2_000_000_002
    assert os.readlink(target / "link") == "/etc/passwd"
    assert stat.S_ISFIFO((target / "fifo").stat().st_mode)


def test_what_holds_something_is_left_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "own").mkdir(parents=True)
    fill(source, target)
    assert os.listdir(target) == ["own"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owners_come_along(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name in ("deep", "file", "link", "fifo"):
        os.chown(source / name, 5, 6, follow_symlinks=False)
    (source / "file").chmod(0o4755)  # a change of the owner takes it away
    fill(source, target)
    for name in ("deep", "file", "link", "fifo"):
        found = (target / name).lstat()
        assert (found.st_uid, found.st_gid) == (5, 6), name
    assert stat.S_IMODE((target / "file").stat().st_mode) == 0o4755
