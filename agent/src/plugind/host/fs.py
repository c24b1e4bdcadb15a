# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Durable writes, and removal that cannot leave its tree.

    write_atomic   stage beside the target, fsync, rename (the commit point), fsync the directory
    remove_tree    1. a mount at or beneath the path, by /proc/self/mountinfo: refused, nothing deleted
                   2. directories opened one by one, never through a link, never onto another device
    sync_tree      syncfs: everything written to the file system that holds the path

What is removed was written by strangers: a plugin can nest directories by the thousand. So removal
neither recurses nor holds a descriptor per level; a directory found too deep is moved up first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from plugind import errors

MOUNTINFO = Path("/proc/self/mountinfo")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 32
_OCTAL = re.compile(rb"\\([0-7]{3})")


def fsync_dir(path: Path) -> None:
    """Make the names in directory `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the content of `path`, completely or not at all, and make it durable."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_new(staged, data, mode)
        os.rename(staged, path)  # the commit point
    except OSError as exc:
        staged.unlink(missing_ok=True)
        raise errors.System(f'cannot write "{path}": {exc.strerror}') from exc
    fsync_dir(path.parent)


def write_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create `path` with `data` and fsync it; the name itself is the caller's to make durable."""
    with new_file(path) as fd:
        write_all(fd, data)
        os.fchmod(fd, mode)
        os.fsync(fd)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[int]:
    """Create `path`, readable by its owner, and give a descriptor to write to."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`, however many calls it takes."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def sync_tree(root: Path) -> None:
    """Make everything written below `root` durable, with one syncfs of its file system."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_file_system(fd)
    except OSError as exc:
        raise errors.System(f'cannot sync the file system of "{root}": {exc.strerror}') from exc
    finally:
        os.close(fd)


def sync_file_system(fd: int) -> None:
    """Make everything durable that was written to the file system of an open directory."""
    # One syncfs instead of one fsync per file: ten thousand small files cost seconds otherwise.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mounts_beneath(path: Path) -> list[str]:
    """Return the mount points at or below `path`, deepest last."""
    # The parent is resolved and the last name is not: a link is never followed to what it names.
    real = os.path.join(os.path.realpath(path.parent), path.name)
    found = []
    # Not splitlines: a carriage return is left as it is, and is part of a path.
    for line in filter(None, MOUNTINFO.read_bytes().split(b"\n")):
        escaped = line.split(b" ", 5)[4]
        point = os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), escaped))
        if point == real or point.startswith(real + "/"):
            found.append(point)
    return sorted(found)


def require_unmounted(path: Path, what: str) -> None:
    """Raise System `cannot <what>: Y is still mounted` if a mount is at or below `path`."""
    found = mounts_beneath(path)
    if found:
        raise errors.System(f"cannot {what}: {found[0]} is still mounted")


def remove_tree(path: Path) -> None:
    """Remove `path` and everything below; absent is fine, a live mount is refused up front."""
    require_unmounted(path, f"remove {path}")
    try:
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        remove_at(parent, os.fsencode(path.name))
    except OSError as exc:
        raise errors.System(f"cannot remove {path}: {exc.strerror}") from exc
    finally:
        os.close(parent)


def remove_at(parent: int, name: bytes) -> None:
    """Remove `name` in the directory open as `parent`; a link is removed, never followed."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    top = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        while _empty(top, top, found.st_dev, 0):
            pass
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty(fd: int, top: int, device: int, depth: int) -> bool:
    """Delete what the directory `fd` holds; True if something was moved up into `top` meanwhile."""
    moved = False
    with os.scandir(fd) as entries:
        names = [
            (os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries
        ]
    for name, is_directory in names:
        if not is_directory:
            os.unlink(name, dir_fd=fd)
        elif depth >= _DEEPEST:
            os.rename(name, secrets.token_hex(16), src_dir_fd=fd, dst_dir_fd=top)
            moved = True
        else:
            child = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                if os.fstat(child).st_dev != device:
                    shown = name.decode("utf-8", "backslashreplace")
                    raise errors.System(f"cannot remove {shown}: it is on another file system")
                moved |= _empty(child, top, device, depth + 1)
            finally:
                os.close(child)
            os.rmdir(name, dir_fd=fd)
    return moved
