# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One agent per data root: an exclusive flock on `run/lock`, which holds the owner's pid.

The kernel drops the lock with the process, so a stale file never locks anybody out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from plugind import errors
from plugind.store.layout import Layout


@contextlib.contextmanager
def hold(layout: Layout) -> Iterator[None]:
    """Hold the lock for the length of the context; Conflict names the pid of who has it."""
    path = layout.run / "lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as exc:
        raise errors.System(f'cannot open "{path}": {exc.strerror}') from exc
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise errors.Conflict(f"another plugind runs (pid {pid})") from exc
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
