# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The plugin that is measured: a volume driver that listens within milliseconds of its start.

It runs this machine's own Python through a bind of /usr, so its root file system holds next to nothing, unless it
is filled up to a size with files of this machine.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support import rootfs

HERE = Path(__file__).resolve().parents[1] / "plugin"
_SOURCES = ("/usr/lib", "/usr/bin", "/usr/share")


@contextlib.contextmanager
def made(megabytes: int = 0) -> Iterator[Path]:
    """Give the directory that `plugin create` takes, with a root file system of that size."""
    with tempfile.TemporaryDirectory(prefix="bench-plugin-") as parent:
        yield _make(Path(parent, "plugin"), megabytes)


def _make(target: Path, megabytes: int) -> Path:
    target.mkdir(parents=True)
    tree = rootfs.make_rootfs(target / "rootfs")
    shutil.copy(HERE / "driver.py", tree / "driver.py")
    shutil.copy(HERE / "config.json", target / "config.json")
    _fill(tree / "content", megabytes * 1_000_000)
    return target


def change(plugin: Path, mark: str) -> None:
    """Make its content new; dockerd refuses what it has seen before."""
    (plugin / "rootfs" / "mark").write_text(mark)


def privileges() -> list[dict[str, object]]:
    """What it asks for, in the words of the API."""
    config = json.loads((HERE / "config.json").read_text())
    sources = [mount["source"] for mount in config["mounts"]]
    return [{"Name": "mount", "Description": "host path to mount", "Value": sources}]


def _fill(target: Path, size: int) -> None:
    """Copy files at random, always the same ones, until there are `size` bytes."""
    target.mkdir()
    if not size:
        return
    left = size
    for number, (path, length) in enumerate(_files()):
        if left < size // 200:
            return
        if length <= left // 2 or length < 100_000 <= left:
            folder = target / str(number % 50)
            folder.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / f"{number}-{Path(path).name}")
            left -= length
    if left:
        raise SystemExit(f"cannot make a plugin of {size} bytes: no more files in {_SOURCES}")


@functools.cache
def _files() -> list[tuple[str, int]]:
    """Ordinary files of this machine, as they are in every Debian, in an order of no meaning."""
    found = []
    for source in _SOURCES:
        for directory, _, names in os.walk(source):
            paths = [os.path.join(directory, name) for name in names]
            found += [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
    found.sort()
    random.Random(1).shuffle(found)
    return [(path, os.path.getsize(path)) for path in found]
