# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Directories to mount at."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import places


def test_an_empty_directory_can_be_mounted_at(tmp_path: Path) -> None:
    assert places.require_usable(tmp_path, allow_nonempty=False) == ()


def test_what_is_missing_has_to_be_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    missing = places.require_usable(path, allow_nonempty=False)
    assert missing == (str(tmp_path / "a"), str(path))
    assert not path.parent.exists()


def refused(path: Path) -> str:
    with pytest.raises(errors.Conflict) as caught:
        places.require_usable(path, allow_nonempty=False)
    return str(caught.value).removeprefix(f'cannot mount at "{path}": ')


def test_what_cannot_be_mounted_at_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/etc")
    assert refused(tmp_path).startswith('the directory is not empty, it has "')
    assert refused(tmp_path / "file") == f'"{tmp_path}/file" is not a directory'
    assert refused(tmp_path / "file" / "x") == f'"{tmp_path}/file" is not a directory'
    assert refused(tmp_path / "link") == f'"{tmp_path}/link" is a symbolic link to "/etc"'
    assert "is a symbolic link" in refused(tmp_path / "link" / "x")
    assert places.require_usable(tmp_path, allow_nonempty=True) == ()


def test_directories_are_made_as_told_and_removed_while_empty(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    made = places.require_usable(path, allow_nonempty=False)
    before = os.umask(0o077)
    try:
        places.make(path, mode="0750", owner=str(os.getuid()), group=str(os.getgid()))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o750
    assert path.parent.stat().st_mode & 0o7777 == 0o755
    places.make(path, mode="0700", owner="", group="")
    assert path.stat().st_mode & 0o7777 == 0o750  # not made now, so left alone
    (tmp_path / "a" / "kept").touch()
    places.remove(made)
    assert not path.exists()
    assert path.parent.exists()
    (tmp_path / "a" / "kept").unlink()
    places.remove(made)
    places.remove(made)
    assert not path.parent.exists()


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = f'cannot make "{tmp_path}/file/x": Not a directory'
    with pytest.raises(errors.System, match=f"^{re.escape(words)}$"):
        places.make(tmp_path / "file" / "x", mode="", owner="", group="")


def test_owners_have_to_be_known() -> None:
    places.require_owner("root", "0")
    places.require_owner("", "root")
    for owner, group in (("no-such-user", ""), ("", "no-such-group")):
        with pytest.raises(errors.InvalidParameter, match="no-such-"):
            places.require_owner(owner, group)
