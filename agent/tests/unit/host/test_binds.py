# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Binds on the real kernel; what is seen where, on tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import binds, libc, mounts
from plugind.model.host_mount import Source
from plugind.model.mountpoint import Mountpoint

root = pytest.mark.root
TABLE = mounts.parse_mountinfo(
    "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
    "2 1 8:1 /lib/p /lib/p rw shared:1 - ext4 /dev/sda rw\n"
    "3 2 0:50 / /lib/p/v rw - fuse.sshfs me@there: rw\n"
    "4 3 0:51 / /lib/p/v rw - fuse.sshfs me@there: rw\n"
    "5 1 0:52 /sub /srv rw - btrfs /dev/sdb rw\n"
)


@pytest.mark.parametrize(
    ("path", "device", "inside"),
    [
        ("/", "8:1", "/"),
        ("/etc", "8:1", "/etc"),
        ("/lib/p2", "8:1", "/lib/p2"),
        ("/lib/p/w", "8:1", "/lib/p/w"),
        ("/lib/p/v", "0:51", "/"),
        ("/lib/p/v/deep", "0:51", "/deep"),
        ("/srv/x", "0:52", "/sub/x"),
    ],
)
def test_what_is_seen_is_a_directory_of_a_device(path: str, device: str, inside: str) -> None:
    assert binds.source_of(Path(path), TABLE) == Source(device=device, root=inside)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with a file, another one below it, and a place to show it at."""
    source, target = tmp_path / "source", tmp_path / "target"
    for path in (source, target):
        path.mkdir()
    libc.mount("none", str(source), "tmpfs", 0)
    (source / "file").write_text("here")
    (source / "below").mkdir()
    libc.mount("none", str(source / "below"), "tmpfs", 0)
    yield tmp_path
    mounts.unmount_tree(target)
    mounts.unmount_tree(source)


def show(source: Path, target: Path, *, read_only: bool, propagation: str) -> None:
    binds.bind(
        Mountpoint(root=str(source)), target, located=source, read_only=read_only,
        propagation=propagation,
    )  # fmt: skip


def bind(base: Path, *, read_only: bool = False, propagation: str = "rprivate") -> mounts.Mount:
    target = base / "target"
    show(base / "source", target, read_only=read_only, propagation=propagation)
    return mounts.stack_at(target, mounts.read_mounts())[-1]


@root
def test_it_is_shown_with_what_is_below_and_taken_away_again(tmpfs: Path) -> None:
    top = bind(tmpfs)
    assert (tmpfs / "target" / "file").read_text() == "here"
    assert mounts.is_mountpoint(tmpfs / "target" / "below")
    assert binds.source_of(tmpfs / "source", mounts.read_mounts()) == Source(
        device=top.device, root=top.root
    )
    binds.unbind(tmpfs / "target", detach=False)
    assert mounts.mounts_under(tmpfs / "target") == []
    assert mounts.is_mountpoint(tmpfs / "source" / "below")
    binds.unbind(tmpfs / "target", detach=False)  # nothing there, nothing to do


@root
def test_read_only_is_what_is_shown_and_all_below(tmpfs: Path) -> None:
    assert "ro" in bind(tmpfs, read_only=True).options
    for name in ("new", "below/new"):
        with pytest.raises(OSError, match="Read-only"):
            (tmpfs / "target" / name).write_text("x")
        (tmpfs / "source" / name).write_text("x")


@root
@pytest.mark.parametrize(("propagation", "follows"), [("rprivate", False), ("rslave", True)])
def test_what_is_mounted_later_follows_as_told(
    tmpfs: Path, propagation: str, follows: bool
) -> None:
    mounts.make_rshared(tmpfs / "source")
    bind(tmpfs, propagation=propagation)
    (tmpfs / "source" / "late").mkdir()
    libc.mount("none", str(tmpfs / "source" / "late"), "tmpfs", 0)
    assert mounts.is_mountpoint(tmpfs / "target" / "late") is follows


@root
def test_who_uses_it_is_named_and_detaching_takes_it_away(tmpfs: Path) -> None:
    bind(tmpfs)
    target = tmpfs / "target"
    with (target / "file").open() as file:
        with pytest.raises(errors.Conflict) as caught:
            binds.unbind(target, detach=False)
        assert f"process {os.getpid()} (" in str(caught.value)
        assert str(caught.value).startswith(f'cannot unmount "{target}": it is used by ')
        binds.unbind(target, detach=True)
        assert mounts.mounts_under(target) == []
        assert file.read() == "here"


@root
def test_a_mount_of_somebody_elses_below_is_named(tmpfs: Path) -> None:
    bind(tmpfs)
    (tmpfs / "target" / "own").mkdir()
    libc.mount("none", str(tmpfs / "target" / "own"), "tmpfs", 0)
    with pytest.raises(errors.Conflict, match=f"the mount at {tmpfs}/target/own"):
        binds.unbind(tmpfs / "target", detach=False)
    assert mounts.is_mountpoint(tmpfs / "target" / "own")


@root
def test_no_link_leads_to_where_something_is_mounted(tmpfs: Path) -> None:
    (tmpfs / "link").symlink_to(tmpfs / "target")
    with pytest.raises(errors.Conflict, match="a symbolic link leads there"):
        show(tmpfs / "source", tmpfs / "link", read_only=False, propagation="private")
    with pytest.raises(errors.System, match="No such file"):
        show(tmpfs / "source", tmpfs / "gone", read_only=False, propagation="private")
    with pytest.raises(errors.System, match=r'cannot open ".*/gone": No such'):
        show(tmpfs / "gone", tmpfs / "target", read_only=False, propagation="private")
    assert mounts.mounts_under(tmpfs / "target") == []


def test_processes_are_found_by_what_they_have_open(tmp_path: Path) -> None:
    assert binds.processes_in(tmp_path) == []
    with (tmp_path / "file").open("w"):
        [(pid, name)] = binds.processes_in(tmp_path)
        assert pid == os.getpid()
        assert name
