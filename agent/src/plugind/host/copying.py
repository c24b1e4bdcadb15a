# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Filling an empty directory that somebody else can change meanwhile: a volume, whose driver owns it.

Everything is made by name in a directory that is open, and is new: a link that appears on the way is
an error, and never followed. Owners, modes, times and extended attributes come along, as far as the
file system knows them; a file with several names becomes several files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from plugind.host import fs

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: What a file system says that does not know owners or attributes (FUSE, CIFS).
_UNKNOWN = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def fill(source: Path, place: int) -> None:
    """Copy what the directory `source` holds, and its own attributes, into one that is open.

    Nothing is done if something is there. `place` may be open as O_PATH only. OSError says what
    could not be done.
    """
    target = os.open(".", _DIRECTORY, dir_fd=place)
    try:
        if os.listdir(target):
            return
        from_ = os.open(source, _DIRECTORY)
        try:
            _copy_directory(from_, target)
        finally:
            os.close(from_)
        fs.sync_file_system(target)
    finally:
        os.close(target)


def _copy_directory(source: int, target: int) -> None:
    for name in os.listdir(source):
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            _copy_open(name, source, target, _DIRECTORY)
        elif stat.S_ISREG(found.st_mode):
            _copy_open(name, source, target, _NEW)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            with _as_far_as_known():
                os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
        elif not stat.S_ISSOCK(found.st_mode):
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
            with _as_far_as_known():
                os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    _copy_attributes(source, target)


def _copy_open(name: str, source: int, target: int, flags: int) -> None:
    """Copy a directory or a file, which is opened with `flags` in the target."""
    is_directory = flags == _DIRECTORY
    from_ = os.open(name, _DIRECTORY if is_directory else _READ, dir_fd=source)
    try:
        to = os.open(name, flags, 0o600, dir_fd=target)
        try:
            if is_directory:
                _copy_directory(from_, to)
            else:
                with open(from_, "rb", closefd=False) as old, open(to, "wb", closefd=False) as new:
                    shutil.copyfileobj(old, new, 1 << 20)
                _copy_attributes(from_, to)
        finally:
            os.close(to)
    finally:
        os.close(from_)


def _copy_attributes(source: int, target: int) -> None:
    found = os.fstat(source)
    with _as_far_as_known():
        os.fchown(target, found.st_uid, found.st_gid)
    with _as_far_as_known():
        os.fchmod(target, stat.S_IMODE(found.st_mode))
    with _as_far_as_known():
        for name in os.listxattr(source):
            os.setxattr(target, name, os.getxattr(source, name))
    with _as_far_as_known():
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


@contextlib.contextmanager
def _as_far_as_known() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in _UNKNOWN:
            raise
