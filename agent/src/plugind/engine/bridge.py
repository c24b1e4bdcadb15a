# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An async stream of bytes as a blocking file for a thread.

The thread pulls: each read asks the event loop for the next chunk. So there is no queue to bound
and nothing to unblock when the thread stops early.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator


class ThreadReader(io.RawIOBase):
    """A readable, unseekable raw file over an async iterator. Read it from another thread."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._chunks = chunks
        self._loop = loop
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with what is at hand; 0 at the end."""
        while not self._rest and not self._ended:
            future = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            chunk = future.result()
            if chunk is None:
                self._ended = True
            else:
                self._rest = memoryview(chunk)
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)
