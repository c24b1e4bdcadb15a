# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Read a tar archive as it comes: one pass, no seeking, no copy of file content.

    chunks (bytes of any size) -> ByteSource -> TarReader -> Entry, Entry, ...
                                                  `-- pieces(): content of the present entry

    with each Entry: pax and long-name headers already applied, checksum verified, limits enforced

An archive must end with its end-of-archive marker; one that stops before is truncated. What follows
the marker is padding, and is read to the end, because a digest covers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plugind import errors
from plugind.store import tarentry
from plugind.store.limits import Limits
from plugind.store.tarentry import BLOCK, Entry, MalformedArchive

_ZERO = bytes(BLOCK)
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = tuple(b"LKxg")


class ByteSource:
    """Bytes taken in exact amounts from chunks of any size, counted against a limit."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self._chunks = iter(chunks)
        self._chunk = memoryview(b"")
        self._left = limit
        self._limit = limit

    def _next(self) -> bool:
        """Fetch the next chunk that is not empty; False at the end."""
        for chunk in self._chunks:
            if chunk:
                self._left -= len(chunk)
                if self._left < 0:
                    raise errors.HostileArchive(
                        f"cannot extract: the archive has more than {self._limit} bytes"
                    )
                self._chunk = memoryview(chunk)
                return True
        return False

    def pieces(self, count: int) -> Iterator[memoryview]:
        """Yield exactly `count` bytes, as views into the chunks."""
        while count:
            if not self._chunk and not self._next():
                raise MalformedArchive("cannot read archive: it is truncated")
            piece = self._chunk[:count]
            self._chunk = self._chunk[len(piece) :]
            count -= len(piece)
            yield piece

    def take(self, count: int) -> bytes:
        """Return exactly `count` bytes."""
        if len(self._chunk) >= count:
            taken = bytes(self._chunk[:count])
            self._chunk = self._chunk[count:]
            return taken
        return b"".join(self.pieces(count))

    def skip(self, count: int) -> None:
        """Drop exactly `count` bytes."""
        for _ in self.pieces(count):
            pass

    def at_end(self) -> bool:
        """True if no byte is left."""
        return not self._chunk and not self._next()

    def drain(self) -> None:
        """Drop everything that is left."""
        self._chunk = memoryview(b"")
        while self._next():
            pass


class TarReader:
    """Iterate over the entries; call `pieces` for the content of the one last yielded."""

    def __init__(self, chunks: Iterable[bytes], limits: Limits) -> None:
        self._source = ByteSource(chunks, limits.total_bytes)
        self._limits = limits
        self._left = 0
        self._headers = 0

    def pieces(self) -> Iterator[memoryview]:
        """Yield the content of the present entry, or what is left of it."""
        while self._left:
            for piece in self._source.pieces(self._left):
                self._left -= len(piece)
                yield piece

    def __iter__(self) -> Iterator[Entry]:
        if self._source.at_end():
            return  # an empty layer may be empty
        while True:
            entry = self._next_entry()
            if entry is None:
                self._source.drain()
                return
            self._left = entry.size
            yield entry
            for _ in self.pieces():  # what nobody wanted
                pass
            self._source.skip(-entry.size % BLOCK)

    def _next_entry(self) -> Entry | None:
        """Return the next entry with the extension headers before it; None at the end marker."""
        pax: dict[bytes, bytes] = {}
        names: dict[int, bytes] = {}
        while True:
            block = self._source.take(BLOCK)
            if block == _ZERO:
                if pax or names:
                    raise MalformedArchive("cannot read archive: an extension without its entry")
                return None
            tarentry.require_checksum(block)
            self._count(block)
            kind = block[156]
            if kind == _PAX:
                pax.update(tarentry.parse_pax(self._extension(block)))
            elif kind in (_LONG_NAME, _LONG_LINK):
                names[kind] = tarentry.cut(self._extension(block))
            elif kind == _PAX_GLOBAL:
                self._extension(block)  # only comments in practice; Docker ignores it too
            else:
                entry = tarentry.parse_header(
                    block,
                    pax=pax,
                    long_name=names.get(_LONG_NAME),
                    long_link=names.get(_LONG_LINK),
                )
                self._require_size(entry)
                return entry

    def _extension(self, block: bytes) -> bytes:
        size = tarentry.number(block[124:136], "size")
        if not 0 <= size <= self._limits.header_bytes:
            raise errors.HostileArchive(f"cannot extract: an extension header has {size} bytes")
        content = self._source.take(size)
        self._source.skip(-size % BLOCK)
        return content

    def _count(self, block: bytes) -> None:
        # Extension headers count as well: a chain of them is work too.
        self._headers += 1
        if self._headers > self._limits.entries:
            name = tarentry.show(tarentry.cut(block[:100]))
            raise errors.HostileArchive(
                f"cannot extract {name}: the archive has more than {self._limits.entries} entries"
            )

    def _require_size(self, entry: Entry) -> None:
        if entry.size > self._limits.file_bytes:
            raise errors.HostileArchive(
                f"cannot extract {tarentry.show(entry.name)}: it has {entry.size} bytes, "
                f"the limit is {self._limits.file_bytes}"
            )
