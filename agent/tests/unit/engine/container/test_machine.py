# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The real host around a container's run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.engine.container.machine import ContainerMachine
from plugind.host import mounts
from plugind.model.mountpoint import Mountpoint
from plugind.spec.container import UserIds
from plugind.store.containers import ContainerDirs

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def dirs(tmp_path: Path) -> Iterator[ContainerDirs]:
    made = ContainerDirs(tmp_path / "container")
    for path in (made.upper, made.work, made.merged, made.root / "etc"):
        path.mkdir(parents=True)
    yield made
    mounts.unmount_tree(made.root)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "image" / "data" / "deep").mkdir(parents=True)
    (tmp_path / "image" / "data" / "deep" / "file").write_text("x")
    (tmp_path / "image" / "empty").mkdir()
    (tmp_path / "image" / "data").chmod(0o750)
    return tmp_path / "image"


@pytest.mark.root
@needs_root
def test_assemble_and_release(dirs: ContainerDirs, image: Path) -> None:
    machine = ContainerMachine()
    machine.assemble(image, dirs)
    for name in ("proc", "sys", "dev/pts", "etc/hosts", "data/deep/file", ".dockerenv"):
        assert (dirs.merged / name).exists(), name
    assert not (dirs.merged / "run").exists()
    assert not (image / "proc").exists()
    machine.release(dirs)
    machine.release(dirs)
    assert not mounts.mounts_under(dirs.root)


def test_files(dirs: ContainerDirs) -> None:
    machine = ContainerMachine()
    machine.write_files(dirs, "named", own_network=True)
    assert dirs.file("hostname").read_text() == "named\n"
    assert dirs.file("hosts").read_text().startswith("127.0.0.1\tlocalhost\n")
    inode = dirs.file("hosts").stat().st_ino
    machine.write_files(dirs, "named", own_network=False)
    assert dirs.file("hosts").read_bytes() == Path("/etc/hosts").read_bytes()
    assert dirs.file("hosts").stat().st_ino == inode
    dirs.file("hosts").unlink()
    dirs.file("hosts").mkdir()
    with pytest.raises(errors.System, match="cannot write"):
        machine.write_files(dirs, "named", own_network=True)


def test_users(image: Path) -> None:
    machine = ContainerMachine()
    assert machine.resolve_user(image, "5:6") == UserIds(uid=5, gid=6)
    assert all(path.startswith("/sys/") for path in machine.masked_paths())


def test_sources_of_binds(tmp_path: Path) -> None:
    machine = ContainerMachine()
    path = tmp_path / "a" / "b"
    with pytest.raises(errors.InvalidParameter, match="bind source path does not exist"):
        machine.prepare_source(str(path), create=False)
    machine.prepare_source(str(path), create=True)
    assert path.is_dir()
    machine.prepare_source(str(path), create=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.System, match="error while creating mount source path"):
        machine.prepare_source(str(tmp_path / "file" / "x"), create=True)


def test_content_of_an_image(image: Path, tmp_path: Path) -> None:
    machine = ContainerMachine()
    assert machine.content(image, "/data") == image / "data"
    assert machine.content(image, "/empty") is None
    assert machine.content(image, "/data/deep/file") is None
    assert machine.content(image, "/missing") is None
    (image / "link").symlink_to("/data")
    assert machine.content(image, "/link") == image / "data"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    (image / "out").symlink_to("../outside")
    assert machine.content(image, "/out") is None


def test_copying_into_an_empty_volume(image: Path, tmp_path: Path) -> None:
    machine = ContainerMachine()
    volume = tmp_path / "volume"
    volume.mkdir()
    machine.copy_up(image / "data", Mountpoint(root=str(volume)))
    assert (volume / "deep" / "file").read_text() == "x"
    assert stat.S_IMODE(volume.stat().st_mode) == 0o750
    (volume / "deep" / "file").write_text("changed")
    machine.copy_up(image / "data", Mountpoint(root=str(volume)))
    assert (volume / "deep" / "file").read_text() == "changed"


@pytest.mark.root
@needs_root
def test_volumes_are_shown_and_hidden(dirs: ContainerDirs, tmp_path: Path) -> None:
    machine = ContainerMachine()
    for name in ("volume", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "link").symlink_to("/volume")
    shown = machine.show_volume(Mountpoint(root=str(tmp_path), path="link"), dirs, 0)
    (tmp_path / "volume").rename(tmp_path / "aside")
    (tmp_path / "volume").symlink_to(tmp_path / "other")
    assert shown == dirs.volumes / "0"
    assert (shown / "file").read_text() == "volume"
    with pytest.raises(errors.System, match=r'cannot open ".*/nosuch"'):
        machine.show_volume(Mountpoint(root=str(tmp_path / "nosuch")), dirs, 1)
    for _ in range(2):
        machine.hide_volumes(dirs)
        assert not dirs.volumes.exists()
        assert not mounts.mounts_under(dirs.root)
    assert (tmp_path / "aside" / "file").exists()
