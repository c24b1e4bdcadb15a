# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Have the disk write while there is still something to extract, and not only at the end.

    wrote(bytes)   every 32 MiB   -->   thread "writeback": syncfs, one at a time
    finish         wait for the last one; raise what one of them could not do

The kernel would keep hundreds of megabytes in memory and the disk idle meanwhile. Nothing is durable by this:
the commit syncs what is left. But an error of the disk is told to one syncfs only, so none is dropped here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from plugind import errors
from plugind.host import fs

EVERY = 32 << 20


class Writeback:
    """For the file system of the directory that is open as `fd`, which stays the caller's."""

    def __init__(
        self,
        fd: int,
        *,
        every: int = EVERY,
        sync: Callable[[int], None] = fs.sync_file_system,
    ) -> None:
        self._fd = fd
        self._every = every
        self._sync = sync
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._cause: OSError | None = None

    def wrote(self, count: int) -> None:
        """Take note of `count` bytes more."""
        self._waiting += count
        if self._waiting < self._every or (self._thread is not None and self._thread.is_alive()):
            return
        self._waiting = 0
        self._thread = threading.Thread(target=self._run, name="writeback", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until nothing is under way. Safe to call twice."""
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Wait; System if something could not be written."""
        self.join()
        if self._cause is not None:
            raise errors.System(
                f"cannot write to the disk: {self._cause.strerror}"
            ) from self._cause

    def _run(self) -> None:
        try:
            self._sync(self._fd)
        except OSError as exc:
            self._cause = self._cause or exc
