# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import libc, mounts, roundtrip
from plugind.model.mountpoint import Mountpoint


def at(root: Path, path: str) -> Mountpoint:
    return Mountpoint(root=str(root), path=path)


async def test_a_directory_that_keeps_what_is_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "volumes/v").mkdir(parents=True)
    await roundtrip.try_out(at(tmp_path, "volumes/v"), timeout=20)
    assert not os.listdir(tmp_path / "volumes/v")


async def test_links_mean_something_below_the_root_only(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "srv", outside):
        directory.mkdir(parents=True)
    (root / "absolute").symlink_to("/srv")
    (root / "climbing").symlink_to("../outside")
    await roundtrip.try_out(at(root, "absolute"), timeout=20)
    outside.chmod(0)
    with pytest.raises(
        errors.System,
        match=r'cannot open ".*/climbing": .*a link to "\.\./outside", inside the plugin',
    ):
        await roundtrip.try_out(at(root, "climbing"), timeout=20)


@pytest.mark.parametrize("path", ["absent", "file"])
async def test_what_is_no_directory_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.System, match=f'cannot open ".*/{path}": '):
        await roundtrip.try_out(at(tmp_path, path), timeout=20)


async def test_a_file_system_that_takes_nothing_says_which_step(tmp_path: Path) -> None:
    with pytest.raises(errors.System, match="cannot write a file to the volume"):
        await roundtrip.try_out(at(Path("/proc"), "sys"), timeout=20)


async def test_what_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    """A limit that is over before the thread can say anything: nobody minds what it says later."""
    (tmp_path / "v").mkdir()
    with pytest.raises(errors.Unavailable, match="did not end within 0 s"):
        await roundtrip.try_out(at(tmp_path, "v"), timeout=0)
    waiting = asyncio.ensure_future(roundtrip.try_out(at(tmp_path, "v"), timeout=20))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="needs root and /dev/fuse"
)
async def test_a_file_system_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:  # nobody reads what the kernel asks there
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
        libc.mount("hangs", str(tmp_path / "v"), "fuse", 0, options)
        with pytest.raises(errors.Unavailable, match=r"did not end within 0\.2 s"):
            await roundtrip.try_out(at(tmp_path, "v"), timeout=0.2)
    finally:
        os.close(fd)  # ends the thread's wait
        mounts.unmount_tree(tmp_path / "v")
