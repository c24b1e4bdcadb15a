# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Write a tar archive that depends on nothing but its entries.

    entry -> [pax header, only for what does not fit]  ustar header  content  padding

No user or group names, whole seconds, pax records sorted: the same entries give the same bytes, so
that the same plugin has the same digest wherever it is created.
"""

from __future__ import annotations

from typing import Protocol

from plugind.store import tarentry
from plugind.store.tarentry import BLOCK, Entry

_LARGEST_OCTAL_12 = 0o77777777777
_LARGEST_OCTAL_8 = 0o7777777
_PAX = 0x78


class Sink(Protocol):
    """Where the archive goes: a file, or anything that writes like one."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class TarWriter:
    """Writes entries to `sink`; `close` writes the end marker and leaves the sink open."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def begin(self, entry: Entry) -> None:
        """Write the headers of `entry`. Its content follows by `write`, then `end`."""
        pax = _pax_records(entry)
        if pax:
            self._sink.write(_header(b"././@PaxHeader", _PAX, size=len(pax)))
            self._sink.write(pax + bytes(-len(pax) % BLOCK))
        self._sink.write(
            _header(
                entry.name,
                entry.type,
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                size=entry.size,
                mtime=entry.mtime_ns // 1_000_000_000,
                link=entry.link,
                device=entry.device,
            )
        )

    def write(self, piece: bytes | memoryview) -> None:
        """Write some content of the entry begun last."""
        self._sink.write(piece)

    def end(self, entry: Entry) -> None:
        """Pad the content of `entry`."""
        self._sink.write(bytes(-entry.size % BLOCK))

    def close(self) -> None:
        """Write the end-of-archive marker."""
        self._sink.write(bytes(2 * BLOCK))


def _pax_records(entry: Entry) -> bytes:
    seconds = entry.mtime_ns // 1_000_000_000
    records: dict[bytes, bytes] = {}
    if len(entry.name) > 100 or not entry.name.isascii():
        records[b"path"] = entry.name
    if len(entry.link) > 100 or not entry.link.isascii():
        records[b"linkpath"] = entry.link
    if entry.size > _LARGEST_OCTAL_12:
        records[b"size"] = b"%d" % entry.size
    if not 0 <= seconds <= _LARGEST_OCTAL_12:
        records[b"mtime"] = b"%d" % seconds
    for key, value in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if value > _LARGEST_OCTAL_8:
            records[key] = b"%d" % value
    for name, content in entry.xattrs.items():
        records[b"SCHILY.xattr." + name.encode("utf-8", "surrogateescape")] = content
    return b"".join(_record(key, records[key]) for key in sorted(records))


def _record(key: bytes, value: bytes) -> bytes:
    """Return `<length> <key>=<value>\\n`, where the length counts its own digits."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d%s" % (length, rest)


def _octal(value: int, width: int, largest: int) -> bytes:
    # What does not fit stands in the pax header; readers that ignore that get a zero.
    return b"%0*o\0" % (width - 1, value if 0 <= value <= largest else 0)


def _header(
    name: bytes,
    type: int,
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    block = bytearray(BLOCK)

    def put(at: int, content: bytes) -> None:
        block[at : at + len(content)] = content

    put(0, name[:100])
    put(100, _octal(mode, 8, _LARGEST_OCTAL_8))
    put(108, _octal(uid, 8, _LARGEST_OCTAL_8))
    put(116, _octal(gid, 8, _LARGEST_OCTAL_8))
    put(124, _octal(size, 12, _LARGEST_OCTAL_12))
    put(136, _octal(mtime, 12, _LARGEST_OCTAL_12))
    put(148, b" " * 8)
    block[156] = type
    put(157, link[:100])
    put(257, b"ustar\x0000")
    if type in (tarentry.CHARACTER, tarentry.BLOCK_DEVICE):
        put(329, _octal(device[0], 8, _LARGEST_OCTAL_8))
        put(337, _octal(device[1], 8, _LARGEST_OCTAL_8))
    put(148, b"%06o\0 " % sum(block))
    return bytes(block)
