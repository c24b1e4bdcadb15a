# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One entry of a tar archive, and how its fields are read from headers.

    ustar block   name prefix mode uid gid size mtime type linkname device, octal or base-256
    GNU  L, K     a long name or link target, for the entry that follows
    pax  x        records `<length> <key>=<value>\\n` for the entry that follows; they win

Names stay bytes: a file system has no encoding. Everything here is pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plugind import errors

BLOCK = 512
REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = tuple(b"0123456")
_XATTR = b"SCHILY.xattr."
_FARTHEST = 1 << 40  # seconds; beyond every file system, within every integer
_NO_ID = 0xFFFFFFFF  # chown takes it for "leave as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry with its names as written. `type` is one of the seven constants above."""

    name: bytes
    type: int
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


class MalformedArchive(errors.System):
    """The archive is no tar archive, or ends too early."""


def show(name: bytes) -> str:
    """Return `name` for a message: quoted, printable, not endless."""
    text = name[:200].decode("utf-8", "backslashreplace")
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return f'"{safe}{"..." if len(name) > 200 else ""}"'


def cut(raw: bytes) -> bytes:
    """Return the string in a fixed field: up to the first NUL."""
    return raw.partition(b"\0")[0]


def number(raw: bytes, what: str) -> int:
    """Read a numeric field: octal, or base-256 with its sign if the top bit is set."""
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big", signed=True)
        # The marker bit is the sign bit of a negative number and no part of a positive one.
        return value if raw[0] & 0x40 else value + (1 << (8 * len(raw) - 1))
    text = raw.strip(b" \0").partition(b"\0")[0].strip(b" ")
    try:
        if not text:
            return 0
        if text.isdigit():  # int() alone would take signs and underscores
            return int(text, 8)
    except ValueError:
        pass  # an 8 or a 9, reported as the rest
    raise MalformedArchive(f"cannot read archive: {what} {text!r} is no octal number")


def require_checksum(block: bytes) -> None:
    """Raise unless the header's checksum is right, summed as unsigned or (old) signed bytes."""
    try:
        stored = number(block[148:156], "checksum")
    except MalformedArchive:
        stored = -1  # no number, so no sum either
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    if stored == total:
        return
    high = sum(1 for byte in block[:148] + block[156:] if byte > 127)
    if stored != total - 256 * high:
        raise MalformedArchive("cannot read archive: invalid tar header (its checksum is wrong)")


def parse_pax(raw: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax header."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(raw):
        space = raw.find(b" ", at, at + 20)
        digits = raw[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        key, equals, value = raw[space + 1 : end - 1].partition(b"=")
        if end <= space + 2 or end > len(raw) or raw[end - 1] != 0x0A or not equals or not key:
            raise MalformedArchive("cannot read archive: invalid pax header")
        records[key] = value
        at = end
    return records


def parse_header(
    block: bytes, *, pax: Mapping[bytes, bytes], long_name: bytes | None, long_link: bytes | None
) -> Entry:
    """Return the entry of an ordinary header block under the extensions that preceded it."""
    name, link = long_name or _ustar_name(block), long_link or cut(block[157:257])
    name, link = pax.get(b"path") or name, pax.get(b"linkpath") or link
    if b"\0" in name or b"\0" in link:
        raise errors.HostileArchive(f"cannot extract {show(name)}: its name holds a NUL")
    kind = _type(block, name)
    if block[156] == 0x53 or (pax and any(key.startswith(b"GNU.sparse.") for key in pax)):
        raise errors.HostileArchive(f"cannot extract {show(name)}: sparse files are not supported")
    size = _pax_number(pax, b"size", block[124:136], name)
    return Entry(
        name=name,
        type=kind,
        mode=number(block[100:108], "mode") & 0o7777,
        uid=_owner(_pax_number(pax, b"uid", block[108:116], name), name),
        gid=_owner(_pax_number(pax, b"gid", block[116:124], name), name),
        # Only files have content; others may state a size, and no data follows (as in Go's reader).
        size=size if kind == REGULAR else 0,
        mtime_ns=_mtime(pax, block[136:148], name),
        link=link,
        device=_device(block, name) if kind in (CHARACTER, BLOCK_DEVICE) else (0, 0),
        xattrs=_xattrs(pax) if pax else {},
    )


def _type(block: bytes, name: bytes) -> int:
    flag = block[156]
    if flag in (0, REGULAR, 0x37, 0x53):  # NUL is V7's regular file, 7 contiguous, S sparse
        # V7 had no directories but a slash at the end.
        return DIRECTORY if flag == 0 and name.endswith(b"/") else REGULAR
    if flag in (HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO):
        return flag
    raise errors.HostileArchive(f"cannot extract {show(name)}: unknown entry type {chr(flag)!r}")


def _ustar_name(block: bytes) -> bytes:
    name = cut(block[:100])
    prefix = cut(block[345:500]) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax_number(pax: Mapping[bytes, bytes], key: bytes, raw: bytes, name: bytes) -> int:
    text = pax.get(key)
    if not text:
        value = number(raw, key.decode())
    elif text.isdigit() and len(text) < 20:
        value = int(text)
    else:
        value = -1
    if not 0 <= value < 1 << 63:
        raise errors.HostileArchive(f"cannot extract {show(name)}: impossible {key.decode()}")
    return value


def _owner(value: int, name: bytes) -> int:
    if value >= _NO_ID:
        raise errors.HostileArchive(f"cannot extract {show(name)}: impossible owner {value}")
    return value


def _device(block: bytes, name: bytes) -> tuple[int, int]:
    major, minor = number(block[329:337], "device"), number(block[337:345], "device")
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise errors.HostileArchive(
            f"cannot extract {show(name)}: impossible device {major}:{minor}"
        )
    return major, minor


def _xattrs(pax: Mapping[bytes, bytes]) -> dict[str, bytes]:
    return {
        key[len(_XATTR) :].decode("utf-8", "surrogateescape"): value
        for key, value in pax.items()
        if key.startswith(_XATTR)
    }


def _mtime(pax: Mapping[bytes, bytes], raw: bytes, name: bytes) -> int:
    text = pax.get(b"mtime")
    if not text:
        seconds, fraction = number(raw, "mtime"), b""
    else:
        whole, _, fraction = text.partition(b".")
        digits = whole.removeprefix(b"-")
        valid = digits.isdigit() and len(digits) < 20 and (not fraction or fraction.isdigit())
        seconds = int(whole) if valid else _FARTHEST
    if abs(seconds) >= _FARTHEST:
        raise errors.HostileArchive(f"cannot extract {show(name)}: impossible mtime")
    nanoseconds = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    negative = text is not None and text.startswith(b"-")
    return seconds * 1_000_000_000 + (-nanoseconds if negative else nanoseconds)
