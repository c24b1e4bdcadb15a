# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""openat2 and mount(2): whatever a tree says, nothing outside of it is reached."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.host import libc


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    tree = tmp_path / "root"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "name").write_text("inside")
    (tmp_path / "name").write_text("outside")
    fd = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    yield fd, tree
    os.close(fd)


def read(root_fd: int, path: str) -> str:
    with os.fdopen(libc.open_in_root(root_fd, path, os.O_RDONLY)) as file:
        return file.read()


@pytest.mark.parametrize(
    "path", ["/etc/name", "etc/name", "../etc/name", "/../../etc/name", "/absolute", "/up"]
)
def test_everything_resolves_inside(root: tuple[int, Path], path: str) -> None:
    fd, tree = root
    (tree / "absolute").symlink_to("/etc/name")
    (tree / "up").symlink_to("../../../../etc/name")
    assert read(fd, path) == "inside"


def test_what_is_outside_does_not_exist(root: tuple[int, Path]) -> None:
    fd, tree = root
    (tree / "up").symlink_to("../name")
    with pytest.raises(FileNotFoundError, match="up"):
        read(fd, "/up")
    with pytest.raises(FileNotFoundError):
        read(fd, "../name")


def test_errors_of_mounts_carry_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        libc.mount("none", str(tmp_path / "missing"), "tmpfs", 0)
    with pytest.raises(OSError, match="missing"):
        libc.umount2(str(tmp_path / "missing"), 0)


def test_a_process_can_forbid_its_dumps() -> None:
    # In a process of its own: pytest wants to be debugged.
    code = (
        "import ctypes; from plugind.host import libc; libc.forbid_dumps(); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
