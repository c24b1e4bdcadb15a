# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A directory that paths cannot leave: names are looked up one component at a time, by descriptor.

    "usr/lib/x"   root -> usr -> lib         each opened with O_NOFOLLOW below the one before
                          `-- a symbolic link is read here, and its target looked up from the root
                              (absolute) or from where it stands (relative); `..` stops at the root

The kernel never follows a link for us, so there is no moment at which a path means something
outside. A resolved path is *canonical*: directories only, which is why `..` may be taken textually.
Descriptors of recent directories are kept, since neighbours in an archive share their parents.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from plugind import errors

Parts = tuple[bytes, ...]
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel
_KEPT = 128
_MADE = 0o755


class RootDir:
    """Opens parents of entries below `root`."""

    def __init__(self, root: Path, depth: int) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.fd = os.open(root, flags)
        except OSError as exc:
            raise errors.System(f'cannot open "{root}": {exc.strerror}') from exc
        self._depth = depth
        # Least recently used first: the two directories of a hard link are both safe to use.
        self._open: dict[Parts, int] = {}
        self._canonical: dict[Parts, Parts] = {}

    def __enter__(self) -> RootDir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.forget()
        os.close(self.fd)

    def forget(self) -> None:
        """Drop what is remembered; needed whenever a directory or a link was taken away."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self._canonical.clear()

    def directory(self, parts: Parts, *, create: bool) -> tuple[int, Parts]:
        """Return a descriptor of the directory `parts` and its canonical path.

        The descriptor is lent: it is good until the call after the next. With `create`, missing
        directories are made (0755, root's), as Docker makes them for parents that an archive omits.
        """
        canonical = self._canonical.get(parts)
        if canonical is None:
            canonical = self._resolve(parts, create)
            self._canonical[parts] = canonical
        return self.open(canonical), canonical

    def open(self, canonical: Parts) -> int:
        """Return a descriptor of a canonical directory."""
        if not canonical:
            return self.fd
        fd = self._open.pop(canonical, None)
        if fd is None:
            fd = os.open(canonical[-1], _DIRECTORY, dir_fd=self.open(canonical[:-1]))
        self._open[canonical] = fd
        if len(self._open) > _KEPT:
            os.close(self._open.pop(next(iter(self._open))))
        return fd

    def _resolve(self, parts: Parts, create: bool) -> Parts:
        at: Parts = ()
        todo = [(name, False) for name in reversed(parts)]
        links = 0
        while todo:
            name, linked = todo.pop()
            if name == b"..":  # from a link's target only; entries with it are refused earlier
                at = at[:-1]
                continue
            if len(at) >= self._depth:  # links can add up to more than any one name has
                raise OSError(errno.ENAMETOOLONG, f"it is nested deeper than {self._depth}")
            try:
                self.open((*at, name))
            except FileNotFoundError:
                # What a dangling link names is not made: in Docker's chroot it is an error, too.
                if not create or linked:
                    raise
                self._make(at, name)
            except NotADirectoryError:
                target = self._read_link(at, name)
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
                if target.startswith(b"/"):
                    at = ()
                todo.extend((part, True) for part in reversed(components(target)))
                continue
            at = (*at, name)
        return at

    def _make(self, at: Parts, name: bytes) -> None:
        parent = self.open(at)
        os.mkdir(name, _MADE, dir_fd=parent)
        os.chmod(name, _MADE, dir_fd=parent)  # whatever the umask

    def _read_link(self, at: Parts, name: bytes) -> bytes:
        parent = self.open(at)
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, f"{os.fsdecode(name)} is not a directory")
        return os.readlink(name, dir_fd=parent)


def components(path: bytes) -> Sequence[bytes]:
    """Split a path; empty and `.` components name nothing."""
    return [part for part in path.split(b"/") if part not in (b"", b".")]
