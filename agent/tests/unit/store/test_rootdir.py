# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind.store.rootdir import RootDir, components
from support import descriptors


def test_components() -> None:
    assert components(b"//a/./b//c/") == [b"a", b"b", b"c"]
    assert components(b"a/../b") == [b"a", b"..", b"b"]


def test_resolves_links_to_canonical_paths(tmp_path: Path) -> None:
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/../usr/lib")
    (tmp_path / "abs").symlink_to("/lib")
    with RootDir(tmp_path, 10) as root:
        fd, canonical = root.directory((b"abs",), create=False)
        assert canonical == (b"usr", b"lib")
        assert os.path.samestat(os.fstat(fd), (tmp_path / "usr" / "lib").stat())
        assert root.directory((), create=False) == (root.fd, ())


def test_dotdot_stops_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "up").symlink_to("../../../..")
    with RootDir(tmp_path / "root", 10) as root:
        assert root.directory((b"up", b"etc"), create=False)[1] == (b"etc",)


def test_more_directories_than_descriptors_are_kept(tmp_path: Path) -> None:
    with RootDir(tmp_path, 10) as root:
        for number in range(300):
            root.directory((b"a", b"%d" % number), create=True)
        assert len(descriptors.below(tmp_path)) < 140
        for number in range(300):
            fd, _ = root.directory((b"a", b"%d" % number), create=False)
            expected = (tmp_path / "a" / str(number)).stat()
            assert os.path.samestat(os.fstat(fd), expected)
    assert not descriptors.below(tmp_path)


def test_forget_notices_what_was_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with RootDir(tmp_path, 10) as root:
        assert root.directory((b"a",), create=False)[1] == (b"a",)
        (tmp_path / "a").rmdir()
        (tmp_path / "a").symlink_to("b")
        root.forget()
        assert root.directory((b"a",), create=False)[1] == (b"b",)


def test_missing_directories_are_made_only_when_asked(tmp_path: Path) -> None:
    with RootDir(tmp_path, 10) as root:
        with pytest.raises(FileNotFoundError):
            root.directory((b"a",), create=False)
        root.directory((b"a", b"b"), create=True)
    assert (tmp_path / "a" / "b").is_dir()
