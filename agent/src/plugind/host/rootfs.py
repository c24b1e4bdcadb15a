# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Make a plugin's rootfs fit for a container (moby `initlayer`), creating only what is missing.

The plugin's files may be hostile: every name is resolved inside the rootfs by the kernel, so a
link `/etc -> /` of the host's leads to the rootfs's own root. Nothing that exists is touched (the
original empties the plugin's /etc/hosts at every start).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from plugind import errors
from plugind.host import libc

DIRECTORIES = ("/dev/pts", "/dev/shm", "/proc", "/sys", "/run/docker/plugins")  # noqa: S108
FILES = ("/.dockerenv", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/dev/console")
LINKS = (("/etc/mtab", "/proc/mounts"),)
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_MAX_LINKS = 8


def prepare_rootfs(rootfs: Path, directories: Sequence[str] = DIRECTORIES) -> None:
    """Create the directories, files and links that a container expects, where missing. Blocking."""
    try:
        root_fd = os.open(rootfs, _DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise errors.System(f'cannot prepare rootfs "{rootfs}": {exc.strerror}') from exc
    try:
        for path in directories:
            os.close(_make_directories(root_fd, path))
        for path in FILES:
            _make(root_fd, path, None)
        for path, target in LINKS:
            _make(root_fd, path, target)
    except OSError as exc:
        name = os.fsdecode(exc.filename or "")
        raise errors.System(f'cannot prepare rootfs "{rootfs}": "{name}": {exc.strerror}') from exc
    finally:
        os.close(root_fd)


def _make_directories(root_fd: int, path: str, links: int = 0) -> int:
    """Open directory `path` in the rootfs, with everything missing on the way created."""
    try:
        return libc.open_in_root(root_fd, path, _DIRECTORY)
    except FileNotFoundError:
        if path == "/":
            raise
    parent, name = os.path.split(path)
    parent_fd = _make_directories(root_fd, parent, links)
    try:
        os.mkdir(name, 0o755, dir_fd=parent_fd)
    except FileExistsError:
        # A link that leads nowhere, such as /var/run -> /run: make what it points to.
        if links >= _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        path = os.path.normpath(os.path.join(parent, os.readlink(name, dir_fd=parent_fd)))
        return _make_directories(root_fd, path, links + 1)
    finally:
        os.close(parent_fd)
    return libc.open_in_root(root_fd, path, _DIRECTORY)


def _make(root_fd: int, path: str, link_to: str | None) -> None:
    """Create an empty file or a link, unless anything has that name; a dangling link stays."""
    parent, name = os.path.split(path)
    parent_fd = _make_directories(root_fd, parent)
    try:
        if link_to is None:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o755, dir_fd=parent_fd))
        else:
            os.symlink(link_to, name, dir_fd=parent_fd)
    except FileExistsError:
        return
    finally:
        os.close(parent_fd)
