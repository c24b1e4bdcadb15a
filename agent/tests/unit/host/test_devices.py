# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Devices: what stands at a path."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import devices


def test_one_device() -> None:
    (node,) = devices.device_nodes("/dev/null")
    assert (node.path, node.type, node.major, node.minor) == ("/dev/null", "c", 1, 3)
    assert node.mode == stat.S_IMODE(os.stat("/dev/null").st_mode)


def test_a_link_to_a_device_keeps_its_name(tmp_path: Path) -> None:
    link = tmp_path / "cdrom"
    link.symlink_to("/dev/null")
    (node,) = devices.device_nodes(str(link))
    assert (node.path, node.major, node.minor) == (str(link), 1, 3)


@pytest.mark.parametrize("what", ["missing", "file", "dangling"])
def test_what_is_no_device_is_named(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    path = tmp_path / what
    with pytest.raises(errors.System, match=rf'^cannot add device "{path}": '):
        devices.device_nodes(str(path))


def test_a_directory_without_devices(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert devices.device_nodes(str(tmp_path)) == ()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_directory_yields_all_beneath_but_for_a_containers_own(tmp_path: Path) -> None:
    for name in ("b", "sub/a", "pts/0", "shm/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        os.mknod(tmp_path / name, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(tmp_path / "disk", 0o640 | stat.S_IFBLK, os.makedev(7, 200))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "loop").symlink_to(".")
    nodes = devices.device_nodes(str(tmp_path))
    found = [(os.path.relpath(node.path, tmp_path), node.type, node.mode) for node in nodes]
    assert found == [("b", "c", 0o600), ("disk", "b", 0o640), ("sub/a", "c", 0o600)]
