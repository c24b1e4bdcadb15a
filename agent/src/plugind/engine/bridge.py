# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An async stream of bytes as a blocking file for a thread.

The thread pulls: each read asks the event loop for the next chunk. So there is no queue to bound
and nothing to unblock when the thread stops early. When the caller is cancelled, the thread's next
read fails, and the caller waits until the thread has ended.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from plugind.engine import ending

T = TypeVar("T")


async def read_in_thread(chunks: AsyncIterator[bytes], work: Callable[[ThreadReader], T]) -> T:
    """Let `work` read `chunks` as a file in a thread; a cancellation ends both, in that order."""
    reader = ThreadReader(chunks, asyncio.get_running_loop())
    task = asyncio.ensure_future(asyncio.to_thread(work, reader))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        reader.stop()
        await ending.wait_done(task)
        raise


class ThreadReader(io.RawIOBase):
    """A readable, unseekable raw file over an async iterator. Read it from another thread."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._chunks = chunks
        self._loop = loop
        self._rest = memoryview(b"")
        self._ended = False
        self._stopped = False
        self._asked: concurrent.futures.Future[bytes | None] | None = None

    def stop(self) -> None:
        """Let the read under way and every later one fail."""
        self._stopped = True
        if self._asked is not None:
            self._asked.cancel()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with what is at hand; 0 at the end."""
        while not self._rest and not self._ended:
            self._asked = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            if self._stopped:  # meanwhile, or `stop` sees what was asked
                self._asked.cancel()
            chunk = self._asked.result()
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
