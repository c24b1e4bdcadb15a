# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Tar archives by hand: what an honest tool would never write, and what one would."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name: bytes, kind: bytes = b"0", **fields: Any) -> bytes:
    """Return one header block; fields: size mode uid gid mtime link major minor prefix magic."""
    size = fields.get("size", 0)
    block = bytearray(BLOCK)

    def put(at: int, value: bytes) -> None:
        block[at : at + len(value)] = value

    put(0, name[:100])
    put(100, b"%07o" % fields.get("mode", 0o644))
    put(108, b"%07o" % fields.get("uid", os.geteuid()))
    put(116, b"%07o" % fields.get("gid", os.getegid()))
    put(124, size if isinstance(size, bytes) else b"%011o" % size)
    mtime = fields.get("mtime", 1_000_000_000)
    put(136, mtime if isinstance(mtime, bytes) else b"%011o" % mtime)
    block[156:157] = kind
    put(157, fields.get("link", b"")[:100])
    put(257, fields.get("magic", b"ustar\x0000"))
    put(329, b"%07o" % fields.get("major", 0))
    put(337, b"%07o" % fields.get("minor", 0))
    put(345, fields.get("prefix", b""))
    put(148, b"        ")
    put(148, b"%06o\0 " % sum(block))
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def file(name: bytes, content: bytes = b"", **fields: Any) -> bytes:
    fields.setdefault("size", len(content))
    return header(name, b"0", **fields) + padded(content)


def directory(name: bytes, **fields: Any) -> bytes:
    fields.setdefault("mode", 0o755)
    return header(name, b"5", **fields)


def symlink(name: bytes, target: bytes) -> bytes:
    return header(name, b"2", link=target)


def hardlink(name: bytes, target: bytes) -> bytes:
    return header(name, b"1", link=target)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def pax(records: dict[bytes, bytes], kind: bytes = b"x") -> bytes:
    content = b"".join(record(key, value) for key, value in records.items())
    return header(b"PaxHeader", kind, size=len(content)) + padded(content)


def gnu_long(kind: bytes, value: bytes) -> bytes:
    return header(b"././@LongLink", kind, size=len(value) + 1) + padded(value + b"\0")


def archive(*parts: bytes) -> io.BytesIO:
    return io.BytesIO(b"".join(parts) + END)


def packed(source: Path, format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return the directory `source` as the standard library packs it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        tar.add(source, arcname=".")
    return stream.getvalue()


def snapshot(root: Path) -> dict[str, tuple[Any, ...]]:
    """Return everything below `root` that an archive carries, by path."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted([root, *root.rglob("*")]):
        seen = path.lstat()
        content: Any = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(root))] = (
            seen.st_mode, seen.st_uid, seen.st_gid, seen.st_rdev, seen.st_mtime_ns, content,
        )  # fmt: skip
    return found
