# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Bodies on their way: what an answer carries, a blob's download, an upload's content.

A download ends in one of three ways: exactly `size` bytes, System (the registry has more or fewer
bytes than the descriptor says; asking again will not help), or Unavailable (the connection broke,
and could not be resumed). A resume asks for the rest with Range, from where the last byte came in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import BinaryIO, Protocol

from plugind import errors, log

CHUNK = 1 << 20
MAX_RESUMES = 3


class Answer(Protocol):
    """The answer to one request, its body unread. `read` raises our errors only."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def url(self) -> str: ...
    async def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end; Unavailable if the connection breaks."""
        ...

    def release(self) -> None:
        """Give the connection back; safe to call twice."""
        ...


async def read_all(answer: Answer, limit: int, what: str) -> bytes:
    """Return the answer's body; System if it is larger than `limit`."""
    content = bytearray()
    while chunk := await answer.read(CHUNK):
        content += chunk
        if len(content) > limit:
            raise errors.System(f"cannot {what}: the answer is larger than {limit} bytes")
    return bytes(content)


class BlobReader:
    """A blob's bytes from `answer`, resumed through `open_at(offset)`; `release` it in the end."""

    def __init__(
        self,
        answer: Answer,
        open_at: Callable[[int], Awaitable[Answer]],
        size: int,
        what: str,
    ) -> None:
        self._answer = answer
        self._open_at = open_at
        self._size = size
        self._what = what
        self._offset = 0
        self._resumes = 0

    def release(self) -> None:
        """Give the connection back."""
        self._answer.release()

    async def read_chunks(self) -> AsyncIterator[bytes]:
        """Yield the blob's bytes in chunks of at most CHUNK."""
        self._require_length()
        while chunk := await self._read():
            self._offset += len(chunk)
            if self._offset > self._size:
                raise self._wrong_size("more")
            yield chunk
        if self._offset < self._size:
            raise self._wrong_size(f"only {self._offset}")

    async def _read(self) -> bytes:
        while True:
            try:
                return await self._answer.read(CHUNK)
            except errors.Unavailable as exc:
                self._answer.release()
                if self._offset == self._size:  # everything is there; only the end mark is not
                    return b""
                await self._resume(exc)

    async def _resume(self, cause: errors.Unavailable) -> None:
        broken = f"cannot {self._what}: broken after {self._offset} of {self._size} bytes"
        if self._resumes == MAX_RESUMES:
            raise errors.Unavailable(f"{broken}, {MAX_RESUMES} resumes later: {cause}") from cause
        self._resumes += 1
        log.debug("resume blob", what=self._what, offset=self._offset, cause=cause.message)
        self._answer = await self._open_at(self._offset)
        begins = self._answer.headers.get("Content-Range", "").startswith(f"bytes {self._offset}-")
        if self._offset and not (self._answer.status == 206 and begins):
            raise errors.Unavailable(f"{broken}, and cannot be resumed: {cause}") from cause

    def _require_length(self) -> None:
        """Refuse a wrong length before its first byte."""
        length = self._answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) != self._size:
            raise self._wrong_size(length)

    def _wrong_size(self, actual: str) -> errors.System:
        return errors.System(
            f"cannot {self._what}: wrong size: expected {self._size} bytes, the registry has {actual}"
        )


async def read_content(
    content: BinaryIO, size: int, what: str, on_bytes: Callable[[int], None]
) -> AsyncIterator[bytes]:
    """Yield `content` for an upload of exactly `size` bytes; `on_bytes(total so far)`."""
    sent = 0
    while chunk := await asyncio.to_thread(content.read, CHUNK):
        sent += len(chunk)
        if sent > size:
            break
        yield chunk
        on_bytes(sent)
    if sent != size:
        # The request announced `size`; ending it here leaves it unfinished, so nothing is stored.
        raise errors.System(f"cannot {what}: wrong size: expected {size} bytes, have {sent}")
