# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Mounts: the table's grammar everywhere, the changes where there is root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import fs, mounts

TABLE = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
40 27 0:30 / /a\040b\134c rw,nosuid shared:7 master:2 - fuse.sshfs u@h:/x\040y rw,user_id=0
41 40 0:31 /sub /a\040b\134c/deep rw - tmpfs none rw
42 27 0:32 / /a\040b\134cd rw - ext4 /dev/vda rw
43 27 0:33 / /f rw - fuse x rw
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("odd", ["\r", "\u2028"])
def test_no_character_of_a_path_ends_a_line(tmp_path: Path, odd: str) -> None:
    # Only blanks, tabs, newlines and backslashes are escaped; a plugin chooses its mount points.
    place = tmp_path / f"a{odd}b"
    place.mkdir()
    mounts.bind(place, place)
    try:
        [found] = mounts.mounts_under(tmp_path)
        assert found.path == str(place)
        assert fs.mounts_beneath(tmp_path) == [str(place)]
    finally:
        mounts.unmount_tree(tmp_path)
    assert mounts.mounts_under(tmp_path) == []


def test_parse() -> None:
    table = mounts.parse_mountinfo(TABLE)
    assert [mount.id for mount in table] == [22, 40, 41, 42, 43]
    assert table[1] == mounts.Mount(
        id=40,
        parent=27,
        device="0:30",
        root="/",
        path="/a b\\c",
        options=("rw", "nosuid"),
        shared=7,
        fstype="fuse.sshfs",
        source="u@h:/x y",
    )
    assert table[0].shared == 0
    assert table[2].root == "/sub"
    assert [mount.is_fuse for mount in table] == [False, True, False, False, True]


def test_under_goes_by_whole_names() -> None:
    table = mounts.parse_mountinfo(TABLE)
    assert [m.id for m in mounts.mounts_under(Path("/a b\\c"), table)] == [40, 41]
    assert [m.id for m in mounts.mounts_under(Path("/"), table)] == [22, 40, 41, 42, 43]
    assert mounts.mounts_under(Path("/nothing"), table) == []


def test_the_hosts_own_table() -> None:
    assert any(mount.path == "/proc" for mount in mounts.read_mounts())
    assert mounts.is_mountpoint(Path("/proc"))
    assert not mounts.is_mountpoint(Path("/proc/self"))


def test_only_a_lost_server_is_dead(tmp_path: Path) -> None:
    assert not mounts.is_dead(tmp_path)
    assert not mounts.is_dead(tmp_path / "missing")


def test_errors_name_the_path(tmp_path: Path) -> None:
    for act in (
        lambda: mounts.umount(tmp_path / "x"),
        lambda: mounts.bind(tmp_path / "x", tmp_path / "y"),
        lambda: mounts.make_rshared(tmp_path / "x"),
    ):
        with pytest.raises(errors.System, match=rf"^cannot .*{tmp_path}/x"):
            act()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.root
@needs_root
def test_a_shared_mountpoint_is_made_once(tmp_path: Path) -> None:
    place = tmp_path / "with space"
    place.mkdir()
    try:
        mounts.make_shared_mountpoint(place)
        mounts.make_shared_mountpoint(place)
        (found,) = mounts.mounts_under(place)
        assert found.shared > 0
    finally:
        assert len(mounts.unmount_tree(place)) == 1
    assert mounts.unmount_tree(place) == []


@pytest.mark.root
@needs_root
def test_a_tree_is_unmounted_from_its_leaves_even_if_busy(tmp_path: Path) -> None:
    outer, source = tmp_path / "outer", tmp_path / "source"
    (outer / "inner").mkdir(parents=True)
    (source / "inner").mkdir(parents=True)
    mounts.bind(source, outer)
    mounts.bind(source, outer / "inner")
    mounts.bind(source, outer / "inner")  # stacked
    busy = os.open(outer / "inner", os.O_RDONLY)
    try:
        gone = mounts.unmount_tree(outer)
    finally:
        os.close(busy)
    assert [Path(mount.path).name for mount in gone] == ["inner", "inner", "outer"]
    assert mounts.mounts_under(outer) == []


@pytest.mark.root
@needs_root
def test_one_mount_is_unmounted_or_detached(tmp_path: Path) -> None:
    mounts.bind(tmp_path, tmp_path)
    busy = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(errors.System, match="busy"):
            mounts.umount(tmp_path)
        mounts.umount(tmp_path, detach=True)
    finally:
        os.close(busy)
    assert not mounts.is_mountpoint(tmp_path)


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="needs root and /dev/fuse"
)
def test_a_fuse_mount_whose_server_is_gone_is_dead(tmp_path: Path) -> None:
    from plugind.host import libc

    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc.mount("test", str(tmp_path), "fuse", 0, f"fd={server},rootmode=40000,user_id=0,group_id=0")
    try:
        os.close(server)
        assert mounts.is_dead(tmp_path)
        (dead,) = mounts.dead_fuse_mounts(tmp_path)
        assert dead.path == str(tmp_path)
    finally:
        mounts.unmount_tree(tmp_path)
    assert mounts.dead_fuse_mounts(tmp_path) == []
