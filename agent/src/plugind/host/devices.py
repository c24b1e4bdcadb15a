# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Devices: what stands at a path, as the runtime spec wants to know it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from plugind import errors
from plugind.model import facts

#: Directories below /dev that hold no devices, or a container's own (moby `DevicesFromPath`).
_SKIPPED = frozenset(("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"))


def device_nodes(path: str) -> tuple[facts.DeviceNode, ...]:
    """Return the device at `path`, or every device beneath it if it is a directory."""
    try:
        found = os.stat(path)  # follows links, as the original does: /dev/cdrom is one
    except OSError as exc:
        raise errors.System(f'cannot add device "{path}": {exc.strerror}') from exc
    if stat.S_ISDIR(found.st_mode):
        return tuple(_beneath(path))
    node = _node(path, found)
    if node is None:
        raise errors.System(f'cannot add device "{path}": not a device')
    return (node,)


def _beneath(directory: str) -> Iterator[facts.DeviceNode]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED:
                yield from _beneath(entry.path)
        elif not entry.is_symlink():
            node = _node(entry.path, entry.stat(follow_symlinks=False))
            if node is not None:
                yield node


def _node(path: str, found: os.stat_result) -> facts.DeviceNode | None:
    if stat.S_ISCHR(found.st_mode):
        type_ = "c"
    elif stat.S_ISBLK(found.st_mode):
        type_ = "b"
    else:
        return None
    return facts.DeviceNode(
        path=path,
        type=type_,
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
    )
