# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A bounded pipe of byte chunks between two threads.

    writer: put, put, ..., close          waits while the pipe is full
    reader: for chunk in pipe             waits while it is empty; ends when it is closed
    either: fail(cause)                   the other side raises `cause` at once, waiting or not

Bounded in bytes, so that a slow disk slows the download down and memory stays what it is.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator

CAPACITY = 8 * 1024 * 1024


class Pipe:
    """Chunks on their way from one thread to another."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._chunks: collections.deque[bytes] = collections.deque()
        self._held = 0
        self._closed = False
        self._cause: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, chunk: bytes) -> None:
        """Append `chunk`, waiting for room; raises the cause if the pipe has failed."""
        if not chunk:
            return  # an empty chunk would read as the end
        with self._changed:
            # One chunk always fits, or one larger than the capacity would wait for ever.
            self._changed.wait_for(
                lambda: self._cause or not self._held or self._held + len(chunk) <= self._capacity
            )
            if self._cause is not None:
                raise self._cause
            self._chunks.append(chunk)
            self._held += len(chunk)
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, cause: BaseException) -> None:
        """Break the pipe; the first cause stays."""
        with self._changed:
            self._cause = self._cause or cause
            self._changed.notify_all()

    def require_whole(self) -> None:
        """Raise the cause if the pipe has failed."""
        with self._changed:
            if self._cause is not None:
                raise self._cause

    def read(self, size: int = -1) -> bytes:
        """Return the next chunk, b"" at the end. `size` is a wish: a file's `read`, but coarser."""
        del size
        with self._changed:
            self._changed.wait_for(lambda: self._cause or self._chunks or self._closed)
            if self._cause is not None:
                raise self._cause
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            self._held -= len(chunk)
            self._changed.notify_all()
            return chunk

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk
