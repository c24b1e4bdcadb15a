# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import ctypes
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import fs


def test_write_atomic_replaces_with_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "record"
    target.write_text("old")
    fs.write_atomic(target, b"new", mode=0o640)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["record"]


def test_write_atomic_leaves_the_old_content_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "record"
    target.mkdir()
    with pytest.raises(errors.System, match=r'cannot write ".*record": '):
        fs.write_atomic(target, b"new")
    assert os.listdir(tmp_path) == ["record"]


def test_write_atomic_into_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(errors.System, match="No such file or directory"):
        fs.write_atomic(tmp_path / "no" / "record", b"new")


def test_write_new_refuses_to_overwrite_or_follow(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        fs.write_new(tmp_path / "link", b"x")
    assert not (tmp_path / "outside").exists()


def test_write_all_continues_after_a_short_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def short(fd: int, data: bytes) -> int:
        written.append(bytes(data[:2]))
        return len(written[-1])

    monkeypatch.setattr(os, "write", short)
    fs.write_all(0, b"abcde")
    assert written == [b"ab", b"cd", b"e"]


def test_remove_tree_removes_files_links_and_directories(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").write_text("x")
    (tree / "a" / "out").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "fifo")
    fs.remove_tree(tree)
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "kept").read_text() == "kept"


def test_remove_tree_of_a_link_removes_the_link_only(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    fs.remove_tree(tmp_path / "link")
    assert (tmp_path / "outside" / "kept").exists()
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ["absent", "absent/below"])
def test_remove_tree_of_nothing_is_fine(tmp_path: Path, name: str) -> None:
    fs.remove_tree(tmp_path / name)


def test_remove_tree_survives_thousands_of_nested_directories(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    fd = os.open(tmp_path / "tree", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    fs.remove_tree(tmp_path / "tree")
    assert os.listdir(tmp_path) == []


def test_mounts_beneath_decodes_and_compares_whole_components(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 8:2 / /data/plug\\040in rw shared:1 - ext4 /dev/b rw\n"
        "3 2 8:3 / /data/plug\\040in/deep rw - ext4 /dev/c rw\n"
        "4 1 8:4 / /data/plug\\040insane rw - ext4 /dev/d rw\n"
    )
    monkeypatch.setattr(fs, "MOUNTINFO", table)
    assert fs.mounts_beneath(Path("/data/plug in")) == ["/data/plug in", "/data/plug in/deep"]
    assert fs.mounts_beneath(Path("/data/plug")) == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """tree/keep, and a bind mount of data/ on tree/mnt: one device, so only mountinfo tells."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("precious")
    (tmp_path / "tree" / "mnt").mkdir(parents=True)
    (tmp_path / "tree" / "keep").touch()
    subprocess.run(["mount", "--bind", tmp_path / "data", tmp_path / "tree" / "mnt"], check=True)
    yield tmp_path / "tree"
    subprocess.run(["umount", tmp_path / "tree" / "mnt"], check=True)


@pytest.mark.root
def test_remove_tree_refuses_a_live_mount_before_deleting_anything(mounted: Path) -> None:
    with pytest.raises(errors.System, match=rf"cannot remove {mounted}: .*/mnt is still mounted"):
        fs.remove_tree(mounted)
    assert (mounted / "keep").exists()
    assert (mounted / "mnt" / "precious").read_text() == "precious"


@pytest.mark.root
def test_remove_tree_does_not_cross_devices_even_if_the_table_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree" / "mnt").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "tree" / "mnt"], check=True)
    try:
        (tmp_path / "tree" / "mnt" / "precious").touch()
        (tmp_path / "empty").touch()
        monkeypatch.setattr(fs, "MOUNTINFO", tmp_path / "empty")
        with pytest.raises(errors.System, match="mnt: it is on another file system"):
            fs.remove_tree(tmp_path / "tree")
        assert (tmp_path / "tree" / "mnt" / "precious").exists()
    finally:
        subprocess.run(["umount", tmp_path / "tree" / "mnt"], check=True)


def test_sync_tree(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    fs.sync_tree(tmp_path)


def test_sync_tree_reports_what_the_kernel_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        def syncfs(self, fd: int) -> int:
            ctypes.set_errno(28)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **kwargs: Libc())
    with pytest.raises(errors.System, match=r"cannot sync .*No space left"):
        fs.sync_tree(tmp_path)


def test_fsync_dir(tmp_path: Path) -> None:
    fs.fsync_dir(tmp_path)
