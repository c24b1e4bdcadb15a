# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Preparing a rootfs: what is missing is created, inside; what exists stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import rootfs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "rootfs").mkdir()
    return tmp_path / "rootfs"


def outside(tree: Path) -> list[str]:
    return sorted(name for name in os.listdir(tree.parent) if name != "rootfs")


def test_an_empty_rootfs_gets_everything_and_once_is_enough(tree: Path) -> None:
    rootfs.prepare_rootfs(tree)
    rootfs.prepare_rootfs(tree)
    for path in rootfs.DIRECTORIES:
        assert (tree / path.lstrip("/")).is_dir(), path
    for path in rootfs.FILES:
        assert (tree / path.lstrip("/")).read_bytes() == b"", path
    assert os.readlink(tree / "etc/mtab") == "/proc/mounts"


def test_the_plugins_own_files_stay(tree: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/hosts").write_text("10.0.0.1 backend\n")
    (tree / "etc/mtab").write_text("own")
    rootfs.prepare_rootfs(tree)
    assert (tree / "etc/hosts").read_text() == "10.0.0.1 backend\n"
    assert (tree / "etc/mtab").read_text() == "own"


@pytest.mark.parametrize("target", ["/", "/../..", "../../..", "/usr/etc", "../usr/etc"])
def test_links_lead_nowhere_but_inside(tree: Path, target: str) -> None:
    (tree / "usr/etc").mkdir(parents=True)
    (tree / "etc").symlink_to(target)
    rootfs.prepare_rootfs(tree)
    inside = tree / target.replace("..", "").strip("/")
    assert (inside / "hosts").is_file()
    assert outside(tree) == []


def test_a_link_to_the_hosts_etc_changes_nothing_there(tree: Path) -> None:
    elsewhere = tree.parent / "host"
    elsewhere.mkdir()
    (tree / "etc").symlink_to(elsewhere)
    rootfs.prepare_rootfs(tree)
    assert os.listdir(elsewhere) == []
    assert (tree / str(elsewhere).lstrip("/") / "hosts").is_file(), "made inside instead"


def test_dangling_links_to_files_stay(tree: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/resolv.conf").symlink_to("/run/systemd/resolve/resolv.conf")
    rootfs.prepare_rootfs(tree)
    assert os.readlink(tree / "etc/resolv.conf") == "/run/systemd/resolve/resolv.conf"
    assert outside(tree) == []


def test_what_stands_in_the_way_is_named(tree: Path) -> None:
    (tree / "dev").touch()
    with pytest.raises(errors.System, match=r'"/dev/pts": Not a directory'):
        rootfs.prepare_rootfs(tree)
    with pytest.raises(errors.System, match=r"missing.*No such file"):
        rootfs.prepare_rootfs(tree / "missing")


def test_a_circle_of_links_ends(tree: Path) -> None:
    (tree / "run").symlink_to("var")
    (tree / "var").symlink_to("run")
    with pytest.raises(errors.System, match="cannot prepare rootfs"):
        rootfs.prepare_rootfs(tree)
