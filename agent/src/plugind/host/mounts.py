# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Mounts: reading the mount table, and the few changes to it that plugins need.

The table is /proc/self/mountinfo: id, parent, major:minor, root, mount point, options, optional
fields up to a `-`, type, source, options of the file system. Later lines lie on earlier ones.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plugind import errors, log
from plugind.host import libc

_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SHARED = 1 << 20
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the mount table. `shared` is the number of its peer group, 0 for none."""

    id: int
    parent: int
    device: str
    root: str
    path: str
    options: tuple[str, ...]
    shared: int
    fstype: str
    source: str

    @property
    def is_fuse(self) -> bool:
        """True for every file system that a user process serves."""
        return self.fstype == "fuse" or self.fstype.startswith(("fuse.", "fuseblk"))


def parse_mountinfo(text: str) -> list[Mount]:
    """Parse the mount table; its order is kept."""
    # Not splitlines: a path may hold what else ends a line to Python, and the kernel leaves it.
    return [_parse_line(line) for line in text.split("\n") if line]


def read_mounts() -> list[Mount]:
    """Return the mounts of this mount namespace, in the order in which they were made."""
    with open(
        "/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n"
    ) as table:
        return parse_mountinfo(table.read())


def mounts_under(path: Path, mounts: Iterable[Mount] | None = None) -> list[Mount]:
    """Return the mounts at `path` and below it, in the order in which they were made."""
    top = os.path.realpath(path)
    below = top.rstrip("/") + "/"
    every = read_mounts() if mounts is None else mounts
    return [mount for mount in every if mount.path == top or mount.path.startswith(below)]


def stack_at(path: Path, mounts: Iterable[Mount]) -> list[Mount]:
    """Return the mounts exactly at `path`, the topmost last; no link is followed."""
    return [mount for mount in mounts if mount.path == str(path)]


def is_mountpoint(path: Path) -> bool:
    """True if something is mounted exactly there."""
    top = os.path.realpath(path)
    return any(mount.path == top for mount in read_mounts())


def bind(source: Path, target: Path, *, recursive: bool = True) -> None:
    """Make the tree at `source` visible at `target` as well."""
    flags = _MS_BIND | (_MS_REC if recursive else 0)
    try:
        libc.mount(str(source), str(target), "", flags)
    except OSError as exc:
        raise errors.System(f'cannot bind "{source}" on "{target}": {exc.strerror}') from exc


def make_rshared(path: Path) -> None:
    """Let mounts below `path` propagate to its copies, and theirs to it."""
    try:
        libc.mount("none", str(path), "", _MS_SHARED | _MS_REC)
    except OSError as exc:
        raise errors.System(f'cannot share the mounts at "{path}": {exc.strerror}') from exc


def make_shared_mountpoint(path: Path) -> None:
    """Make `path` a mount point of its own, shared. Safe to call twice.

    Without this, what a plugin mounts inside never shows on the host: propagation needs a mount at
    the source of the bind, and the root file system may well be private.
    """
    if not is_mountpoint(path):
        bind(path, path)
    make_rshared(path)


def umount(path: Path, *, detach: bool = False) -> None:
    """Unmount the topmost mount at `path`; `detach` takes it away even from those who use it."""
    try:
        libc.umount2(str(path), _UMOUNT_NOFOLLOW | (_MNT_DETACH if detach else 0))
    except OSError as exc:
        raise errors.System(f'cannot unmount "{path}": {exc.strerror}') from exc


def unmount_tree(path: Path) -> list[Mount]:
    """Unmount everything at `path` and below it, the latest first; return what was unmounted.

    What is busy is detached: it disappears here, and for its users when they let go of it.
    """
    gone = []
    for mount in reversed(mounts_under(path)):
        try:
            _unmount_or_detach(mount.path)
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOENT):
                continue  # went together with a mount that it had been propagated from
            raise errors.System(f'cannot unmount "{mount.path}": {exc.strerror}') from exc
        gone.append(mount)
    return gone


def is_dead(path: Path) -> bool:
    """True if a FUSE mount has lost the process that served it.

    May block for as long as a living server takes to answer: call it in a thread.
    """
    try:
        os.stat(path)
    except OSError as exc:
        # ESTALE and others are the file system's own answers: somebody is there.
        return exc.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def dead_fuse_mounts(path: Path) -> list[Mount]:
    """Return the FUSE mounts at `path` and below that nobody serves any more. May block."""
    return [mount for mount in mounts_under(path) if mount.is_fuse and is_dead(Path(mount.path))]


def _unmount_or_detach(path: str) -> None:
    try:
        libc.umount2(path, _UMOUNT_NOFOLLOW)
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        log.debug("mount is busy, detaching it", path=path)
        libc.umount2(path, _UMOUNT_NOFOLLOW | _MNT_DETACH)


def _parse_line(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    id_, parent, device, root, path, options, *optional = before.split(" ")
    fstype, source, *_ = after.split(" ")
    shared = [field for field in optional if field.startswith("shared:")]
    return Mount(
        id=int(id_),
        parent=int(parent),
        device=device,
        root=_unescape(root),
        path=_unescape(path),
        options=tuple(options.split(",")),
        shared=int(shared[0].partition(":")[2]) if shared else 0,
        fstype=fstype,
        source=_unescape(source),
    )


def _unescape(text: str) -> str:
    r"""Undo the kernel's octal escapes: `\040` is a space, `\134` a backslash."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
