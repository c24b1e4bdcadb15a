# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Opening a directory whose path a plugin owns: part by part, each link read and never followed.

What is opened is a place (O_PATH), so a link that is put there later does not matter to who has it.
The volume's own file system is not asked anything: one that hangs or died can be opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plugind import errors
from plugind.host import libc
from plugind.model.mountpoint import Mountpoint, split

_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
#: As in the kernel.
_MOST_LINKS = 40
_DEEPEST = 256
#: Tries to tell a link from a directory while they change places.
_AGAIN = 32


@dataclass(frozen=True, slots=True)
class Place:
    """An open directory: its descriptor, and its path on the host without links."""

    fd: int
    path: Path


@contextlib.contextmanager
def opened(mountpoint: Mountpoint) -> Iterator[Place]:
    """Open the directory; System says why it cannot be. May block with what is on the way."""
    walk = _Walk(mountpoint)
    try:
        try:
            walk.go()
        except OSError as exc:
            raise errors.System(f'cannot open "{mountpoint}": {walk.explain(exc)}') from exc
        yield Place(walk.fd, Path(walk.directory, *walk.names))
    finally:
        walk.close()


def locate(mountpoint: Mountpoint) -> Path:
    """Return the path of the directory with every link resolved, as it is now."""
    with opened(mountpoint) as place:
        return place.path


class _Walk:
    """`names` are open one below the other, the first below `directory`."""

    def __init__(self, mountpoint: Mountpoint) -> None:
        self.mountpoint = mountpoint
        self.directory = mountpoint.root
        self.names: list[str] = []
        self._fds: list[int] = []
        self._link = ""

    @property
    def fd(self) -> int:
        """The directory that was reached."""
        return self._fds[-1]

    def go(self) -> None:
        """Open everything on the way."""
        self._fds.append(os.open(self.directory, _PLACE))
        ahead = split(self.mountpoint.path)[::-1]
        links = 0
        while ahead:
            name = ahead.pop()
            if name == "..":
                self._climb()
                continue
            link = self._step(name)
            if link is None:
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            self._link = f'"{name}" there is a link to "{link}"'
            ahead += self._below(link)[::-1]

    def _step(self, name: str) -> str | None:
        """Open one more directory; return what the link says if it is one."""
        if len(self.names) >= _DEEPEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        for _ in range(_AGAIN):
            try:
                fd = os.open(name, _PLACE | os.O_NOFOLLOW, dir_fd=self.fd)
            except NotADirectoryError:
                pass  # a link, or a file
            else:
                self._fds.append(fd)
                self.names.append(name)
                return None
            try:
                return os.readlink(name, dir_fd=self.fd)
            except OSError as exc:
                if exc.errno != errno.EINVAL:
                    raise
                # No link: a file, or a directory that has just taken the place of one.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def _below(self, link: str) -> list[str]:
        """Return the parts of a link; an absolute one begins at a root anew."""
        if not link.startswith("/"):
            return split(link)
        root, parts = self.mountpoint.follow(link)
        opener = libc.open_directory if root.granted else _open
        fd = opener(root.directory)
        self.close()
        self.directory, self.names, self._fds = root.directory, [], [fd]
        return parts

    def _climb(self) -> None:
        if self.names:
            self.names.pop()
            os.close(self._fds.pop())

    def explain(self, exc: OSError) -> str:
        """Say what is wrong, and what led there."""
        return f"{exc.strerror}" + (f" ({self._link}, inside the plugin)" if self._link else "")

    def close(self) -> None:
        """Let go of everything."""
        while self._fds:
            os.close(self._fds.pop())


def _open(path: str) -> int:
    return os.open(path, _PLACE)
