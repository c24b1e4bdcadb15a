# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The format in which an engine hands over log messages, and takes them back. No I/O.

A frame is a number, 4 bytes, most significant first, and as many bytes of a protobuf message:

    message LogEntry {
        string source = 1;          // "stdout" or "stderr"
        int64 time_nano = 2;
        bytes line = 3;
        bool partial = 4;           // the line goes on in the next message
        PartialLogEntryMetadata partial_log_metadata = 5;
    }
    message PartialLogEntryMetadata { bool last = 1; string id = 2; int32 ordinal = 3; }

Of protobuf, that is varints and byte strings. Fields that we do not know are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HEADER = 4
LIMIT = 1_000_000  # of a message, in bytes; engines have the same
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
WIDTHS = {FIXED64: 8, FIXED32: 4}
BITS = (1 << 64) - 1


class BadFrame(ValueError):
    """Not a frame. Where the next one begins, nobody knows."""


@dataclass(frozen=True)
class Part:
    """Of a line that was too long for one message."""

    last: bool = False
    id: str = ""
    ordinal: int = 0


@dataclass(frozen=True)
class Entry:
    """One message."""

    source: str
    time_nano: int  # since 1970, in UTC
    line: bytes  # without its end
    partial: bool = False
    part: Part | None = None


# --- protobuf -------------------------------------------------------------------------------------


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position behind it."""
    value = 0
    for index in range(10):
        if at + index >= len(data):
            raise BadFrame("a number is cut off")
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & BITS, at + index + 1
    raise BadFrame("a number has more than 64 bits")


def signed(value: int) -> int:
    """A number as protobuf's int64 and int32 mean it."""
    return value - (1 << 64) if value >> 63 else value


def write_varint(value: int) -> bytes:
    """A number, 7 bits a byte, least significant first."""
    value &= BITS
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: numbers, and numbers or bytes."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if wire == BYTES:
            length, at = read_varint(data, at)
        elif wire in WIDTHS:
            length = WIDTHS[wire]
        else:
            raise BadFrame(f"no such wire type: {wire}")
        if number == 0 or at + length > len(data):
            raise BadFrame("a field is cut off")
        yield number, data[at : at + length]
        at += length


def write_number(number: int, value: int) -> bytes:
    """A field that is a number; zero is what is not there."""
    return write_varint(number << 3 | VARINT) + write_varint(value) if value else b""


def write_bytes(number: int, value: bytes) -> bytes:
    """A field that is a string; an empty one is what is not there."""
    return write_varint(number << 3 | BYTES) + write_varint(len(value)) + value if value else b""


def as_number(value: int | bytes) -> int:
    """The value of a field that must be a number."""
    if isinstance(value, bytes):
        raise BadFrame("a string where a number belongs")
    return value


def as_bytes(value: int | bytes) -> bytes:
    """The value of a field that must be a string."""
    if isinstance(value, int):
        raise BadFrame("a number where a string belongs")
    return value


def as_text(value: int | bytes) -> str:
    """The value of a field that must be readable."""
    try:
        return as_bytes(value).decode()
    except UnicodeDecodeError:
        raise BadFrame("a string that is not UTF-8") from None


# --- messages -------------------------------------------------------------------------------------


def decode_part(data: bytes) -> Part:
    """A PartialLogEntryMetadata."""
    fields = dict(read_fields(data))
    return Part(
        last=bool(as_number(fields.get(1, 0))),
        id=as_text(fields.get(2, b"")),
        ordinal=signed(as_number(fields.get(3, 0))),
    )


def decode_entry(data: bytes) -> Entry:
    """A LogEntry."""
    fields = dict(read_fields(data))
    if not fields.get(1):
        raise BadFrame("a message without a source")  # every engine sets it
    return Entry(
        source=as_text(fields[1]),
        time_nano=signed(as_number(fields.get(2, 0))),
        line=as_bytes(fields.get(3, b"")),
        partial=bool(as_number(fields.get(4, 0))),
        part=decode_part(as_bytes(fields[5])) if 5 in fields else None,
    )


def encode_entry(entry: Entry) -> bytes:
    """A LogEntry."""
    message = (
        write_bytes(1, entry.source.encode())
        + write_number(2, entry.time_nano)
        + write_bytes(3, entry.line)
        + write_number(4, entry.partial)
    )
    if entry.part is None:
        return message
    part = (
        write_number(1, entry.part.last)
        + write_bytes(2, entry.part.id.encode())
        + write_number(3, entry.part.ordinal)
    )
    return message + write_varint(5 << 3 | BYTES) + write_varint(len(part)) + part


def encode_frame(entry: Entry) -> bytes:
    """A LogEntry with its length in front."""
    message = encode_entry(entry)
    return len(message).to_bytes(HEADER, "big") + message


class Framer:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Entry]:
        """The messages that are complete now; BadFrame when there is something else."""
        self.pending += data
        while len(self.pending) >= HEADER:
            length = int.from_bytes(self.pending[:HEADER], "big")
            if length > LIMIT:
                raise BadFrame(f"a message of {length} bytes")
            if len(self.pending) < HEADER + length:
                return
            entry = decode_entry(bytes(self.pending[HEADER : HEADER + length]))
            del self.pending[: HEADER + length]
            yield entry

    def reset(self) -> int:
        """Forget what is incomplete; returns how many bytes that were."""
        lost = len(self.pending)
        self.pending.clear()
        return lost
