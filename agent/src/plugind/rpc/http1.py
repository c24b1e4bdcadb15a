# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""HTTP/1.1 as a plugin's socket needs it (RFC 9112): one request out, the head of an answer in. Pure.

A request looks as dockerd's does on the wire: `POST /VolumeDriver.Get`, `Host`, `Accept`, no
`Content-Type`. Answers are read as Go's client reads them, lines without a carriage return and
folded fields included, and refused where two readers could disagree on where an answer ends.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from plugind import errors

HOST = "plugin.moby.localhost"
ACCEPT = "application/vnd.docker.plugins.v1.2+json"
#: What an answer's head may take, in bytes.
MAX_HEAD = 256 * 1024
_START = b"HTTP/1."
_TARGET = re.compile(r"[!-~]+", re.ASCII)
_REQUEST = re.compile(rb"([A-Z]{1,20}) ([!-~]+) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?", re.DOTALL)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}
_BLANK = re.compile(rb"\r?\n\r?\n")


class Broken(Exception):
    """What came is not HTTP, or not clearly so."""


class Framing(enum.Enum):
    """How the end of a body is known."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """An answer's head. Names of `fields` are lower case; `length` is for LENGTH, in bytes."""

    status: int
    fields: Mapping[str, str]
    framing: Framing
    length: int
    keeps_alive: bool

    @property
    def content_type(self) -> str:
        """The content type, "" if there is none."""
        return self.fields.get("content-type", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request's head, as a server reads it. No field of it is asked for, `Host` neither."""

    verb: str
    target: str
    minor: int
    fields: Mapping[str, str]
    framing: Framing
    length: int
    keeps_alive: bool


def render_request(method: str, content: bytes) -> bytes:
    """Return the bytes of `POST /<method>`; InvalidParameter if it is no name for a method."""
    if not _TARGET.fullmatch(method):
        raise errors.InvalidParameter(f"cannot call {method!r}: it is no name of a method")
    head = (
        f"POST /{method} HTTP/1.1\r\nHost: {HOST}\r\nAccept: {ACCEPT}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode("ascii") + content


def split_head(content: bytes | bytearray, since: int = 0) -> tuple[bytes, int] | None:
    """Return the head's lines and where the body begins, None if the head is not complete yet.

    Its end was looked for in the first `since` bytes before.
    """
    start = bytes(content[: len(_START)])
    if start != _START[: len(start)]:
        raise Broken(f"{bytes(content[:40])!r} is no status line")
    end = _BLANK.search(content, max(0, since - 3))
    if end is not None and end.end() <= MAX_HEAD:
        return bytes(content[: end.start()]), end.end()
    if end is not None or len(content) > MAX_HEAD:
        raise Broken(f"a head of more than {MAX_HEAD} bytes")
    return None


def parse_head(block: bytes) -> Head:
    """Parse what `split_head` returned."""
    first, *lines = [line.removesuffix(b"\r") for line in block.split(b"\n")]
    found = _STATUS.fullmatch(first)
    if found is None:
        raise Broken(f"{first[:40]!r} is no status line")
    status = int(found[2])
    fields = _parse_fields(lines)
    framing, length = _frame(status, fields)
    return Head(
        status=status,
        fields=fields,
        framing=framing,
        length=length,
        keeps_alive=_keeps_alive(int(found[1]), fields, framing),
    )


def parse_request(block: bytes) -> Request:
    """Parse the head of a request, without the empty line at its end."""
    first, *lines = [line.removesuffix(b"\r") for line in block.split(b"\n")]
    found = _REQUEST.fullmatch(first)
    if found is None:
        raise Broken(f"{first[:40]!r} is no request line")
    fields = _parse_fields(lines)
    framing, length = _frame(200, fields)
    if framing is Framing.CLOSE:
        framing = Framing.NONE  # a request's end is never that of its connection
    return Request(
        verb=found[1].decode("ascii"),
        target=found[2].decode("ascii"),
        minor=int(found[3]),
        fields=fields,
        framing=framing,
        length=length,
        keeps_alive=_keeps_alive(int(found[3]), fields, framing),
    )


def render_head(status: int, content_type: str, framing: str, *, keeps_alive: bool) -> bytes:
    """Return an answer's head; `framing` is the field that says how its body ends."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines.append(framing)
    if not keeps_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_chunk_size(line: bytes) -> int:
    """Return the size in the line before a chunk; extensions are dropped."""
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise Broken(f"{line[:40]!r} is no size of a chunk")
    return int(found[1], 16)


def _parse_fields(lines: list[bytes]) -> dict[str, str]:
    """Return the fields; one that is sent several times has its values joined by commas."""
    fields: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in (b" ", b"\t") and name:  # a folded line goes on with the value before it
            fields[name] = f"{fields[name]} {_text(line)}".strip()
            continue
        raw, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(raw):
            raise Broken(f"{line[:40]!r} is no field")
        name = raw.decode("ascii").lower()
        text = _text(value)
        fields[name] = f"{fields[name]}, {text}" if name in fields else text
    return fields


def _frame(status: int, fields: Mapping[str, str]) -> tuple[Framing, int]:
    if status < 200 or status in (204, 304):
        return Framing.NONE, 0
    coding = fields.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise Broken(f"unknown transfer encoding {coding[:40]!r}")
        return Framing.CHUNKED, 0
    said = fields.get("content-length")
    if said is None:
        return Framing.CLOSE, 0
    lengths = {part.strip() for part in said.split(",")}
    (length, *others) = sorted(lengths)
    if others or not _DIGITS.fullmatch(length):
        raise Broken(f"unclear content length {said[:40]!r}")
    return Framing.LENGTH, int(length)


def _keeps_alive(minor: int, fields: Mapping[str, str], framing: Framing) -> bool:
    if framing is Framing.CLOSE:
        return False
    if framing is Framing.CHUNKED and "content-length" in fields:
        return False  # two ends are named; the bytes after either of them are not trusted
    said = {word.strip().lower() for word in fields.get("connection", "").split(",")}
    return "close" not in said and (minor == 1 or "keep-alive" in said)


def _text(value: bytes) -> str:
    return value.strip(b" \t").decode("latin-1")
