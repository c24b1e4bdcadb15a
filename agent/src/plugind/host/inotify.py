# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""inotify(7) for one directory, on the event loop.

Events queue in the kernel from the moment the watch is made, so nothing that happens between
looking at a file and waiting for its change is missed.

Closing one waits for a grace period of the kernel's, ten milliseconds or twenty. Nobody has to wait
for that, least of all the loop, so a thread does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

MODIFY, CREATE, MOVED_TO, CLOSE_WRITE = 0x02, 0x100, 0x80, 0x08
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Changes of the files in one directory."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def wait_for(self, name: str) -> None:
        """Return once `name` was created, moved here or written since the last call."""
        loop = asyncio.get_running_loop()
        while True:
            ready = loop.create_future()
            loop.add_reader(self._fd, _resolve, ready)
            try:
                await ready
            finally:
                loop.remove_reader(self._fd)
            if name in self._names():
                return

    def _names(self) -> set[str]:
        names = set()
        buffer = os.read(self._fd, 65536)
        while buffer:
            _, _, _, length = _HEADER.unpack_from(buffer)
            end = _HEADER.size + length
            names.add(os.fsdecode(buffer[_HEADER.size : end].rstrip(b"\0")))
            buffer = buffer[end:]
        return names


@contextlib.contextmanager
def watch(directory: Path) -> Iterator[Watch]:
    """Watch `directory` for writes, creations and renames into it."""
    fd = _libc.inotify_init1(_NONBLOCK | _CLOEXEC)
    if fd < 0:
        raise _error(f"cannot watch {directory}")
    mask = MODIFY | CREATE | MOVED_TO | CLOSE_WRITE
    if _libc.inotify_add_watch(fd, os.fsencode(directory), mask) < 0:
        cause = _error(f"cannot watch {directory}")
        os.close(fd)
        raise cause
    try:
        yield Watch(fd)
    finally:
        asyncio.get_running_loop().run_in_executor(None, os.close, fd)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
