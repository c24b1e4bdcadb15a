# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Decompress a stream as it comes: gzip (isal), zstd, or neither, told by its first bytes.

    1f 8b         gzip; several members in a row are one stream; zeros may pad the end
    28 b5 2f fd   zstd; several frames in a row are one stream
    else          as it is

The first bytes decide, not the media type: registries and clients get that wrong, and no tar archive
starts like either. The output comes in pieces of bounded size, so that a bomb is met piece by piece
and the reader's limit stops it. A stream that ends inside a member or frame is truncated.

The libraries are imported when they are needed: many an agent runs for months without a pull.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plugind import errors

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_ZSTD = b"\x2a\x4d\x18"  # after a first byte 50 to 5f
_PIECE = 2 * 1024 * 1024
# A zstd block of 4 bytes can hold 128 KiB, and zstandard hands out all that a piece of input holds:
# this bounds it by 32 MiB at a time.
_ZSTD_INPUT = 1024
_ZSTD_WINDOW = 128 * 1024 * 1024
_GZIP = 16 + 15  # zlib's way to say: gzip, largest window


class CorruptStream(errors.System):
    """The stream is not what its first bytes promise, or ends too early."""


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what `chunks` hold, decompressed if it is compressed; CorruptStream if it is not."""
    rest = iter(chunks)
    head = _first_bytes(rest, len(ZSTD_MAGIC))
    if head.startswith(GZIP_MAGIC):
        yield from _gzip(head, rest)
    elif _is_zstd(head):
        yield from _zstd(head, rest)
    else:
        if head:
            yield head
        yield from rest


def _first_bytes(rest: Iterator[bytes], count: int) -> bytes:
    head = b""
    for chunk in rest:
        head = head + chunk if head else chunk
        if len(head) >= count:
            break
    return head


def _is_zstd(head: bytes) -> bool:
    skippable = head[1:4] == _SKIPPABLE_ZSTD and 0x50 <= head[0] <= 0x5F
    return skippable or head.startswith(ZSTD_MAGIC)


def _more(rest: Iterator[bytes], format: str) -> bytes:
    for chunk in rest:
        if chunk:
            return chunk
    raise CorruptStream(f"cannot decompress {format}: the stream is truncated")


def _gzip(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    from isal import igzip_lib, isal_zlib

    data = head
    try:
        while data:
            member = isal_zlib.decompressobj(wbits=_GZIP)
            while True:
                output = member.decompress(data, _PIECE)
                if output:
                    yield output
                if member.eof:
                    break
                data = member.unconsumed_tail
                if not data and len(output) < _PIECE:
                    data = _more(rest, "gzip")
            # Some writers pad to a full record; anything else must be another member.
            data = member.unused_data.lstrip(b"\0")
            while not data and (chunk := next(rest, b"")):
                data = chunk.lstrip(b"\0")
    except igzip_lib.IsalError as exc:  # type: ignore[misc]  # its stub is an instance
        raise CorruptStream(f"cannot decompress gzip: {exc}") from exc


def _zstd(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    data = memoryview(head)
    try:
        while data:
            frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
            while not frame.eof:
                data = data or memoryview(_more(rest, "zstd"))
                output = frame.decompress(data[:_ZSTD_INPUT])
                data = data[_ZSTD_INPUT:]
                for start in range(0, len(output), _PIECE):
                    yield output[start : start + _PIECE]
            data = memoryview(frame.unused_data + bytes(data) or next(rest, b""))
    except zstandard.ZstdError as exc:
        raise CorruptStream(f"cannot decompress zstd: {exc}") from exc
