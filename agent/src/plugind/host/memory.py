# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Keep freed memory at hand while pieces of megabytes go from one thread to another.

    with memory.kept():    what is freed stays with the process, for the next piece
        ...
    afterwards             what is freed goes back to the kernel, and what was kept with it

Otherwise malloc gives each piece back, and the kernel has to clear every page of the next one: a
twelfth of the processor time of a pull. This is about glibc's malloc; others are left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# Larger ones are mapped each for itself, and go back to the kernel in any case.
_LARGEST_PIECE = 4 << 20
# Of each arena: there is one for every few threads.
_KEPT = 16 << 20
_OTHERWISE = 1 << 20


class _Malloc:
    """The process's malloc, and how many keep what is freed."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._lock = threading.Lock()
        self._users = 0

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what any thread frees until the block ends. Blocks may overlap.

        End it before the last pieces are freed: it is the next `free` that gives memory back.
        """
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._users += change
            if hasattr(self._libc, "mallopt"):
                self._libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_PIECE)
                self._libc.mallopt(_M_TRIM_THRESHOLD, _KEPT if self._users else _OTHERWISE)


kept = _Malloc().kept
