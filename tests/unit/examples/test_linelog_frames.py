# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Frames, against bytes that were put together by hand."""

from __future__ import annotations

import pytest
from frames import LIMIT, BadFrame, Entry, Framer, Part, decode_entry, encode_entry, encode_frame

# source = "stdout", time_nano = 300, line = "hi"
PLAIN = b"\x0a\x06stdout" + b"\x10\xac\x02" + b"\x1a\x02hi"
# partial = true, partial_log_metadata = { last = true, id = "ab", ordinal = 2 }
PARTIAL = PLAIN + b"\x20\x01" + b"\x2a\x08" + b"\x08\x01" + b"\x12\x02ab" + b"\x18\x02"
ENTRY = Entry("stdout", 300, b"hi")
PIECE = Entry("stdout", 300, b"hi", partial=True, part=Part(last=True, id="ab", ordinal=2))


@pytest.mark.parametrize(("data", "entry"), [(PLAIN, ENTRY), (PARTIAL, PIECE)])
def test_messages(data: bytes, entry: Entry) -> None:
    assert decode_entry(data) == entry
    assert encode_entry(entry) == data
    assert encode_frame(entry) == bytes([0, 0, 0, len(data)]) + data


@pytest.mark.parametrize(
    "extra",
    [
        b"\x32\x04\x0a\x02ab",  # attrs, of newer engines
        b"\x38\x96\x01",  # a number
        b"\x41" + bytes(8),  # eight bytes
        b"\x45" + bytes(4),  # four bytes
        b"\xfa\xff\x03\x01x",  # a large field number
    ],
)
def test_unknown_fields_are_skipped(extra: bytes) -> None:
    assert decode_entry(extra + PLAIN + extra) == ENTRY


@pytest.mark.parametrize(
    "entry",
    [
        Entry("stderr", 1_767_225_600_123_456_789, b""),
        Entry("stderr", -1, bytes(range(256))),
        Entry("stdout", 0, b"x" * 300, partial=True, part=Part()),
        Entry("stdout", (1 << 63) - 1, "h\u00e9".encode()),
    ],
)
def test_what_is_encoded_is_decoded(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:-1],
        b"\x10\xac\x02",  # no source
        b"\x0a\x06stdout\x10",
        b"\x0a\x06stdout\x10" + b"\xff" * 10 + b"\x01",
        b"\x0a\x02\xff\xfe",
        b"\x0a\x06stdout\x12\x01x",  # a string for the time
        b"\x0a\x06stdout\x18\x01",  # a number for the line
        b"\x08\x01",  # a number for the source
        b"\x0b",  # a group
        b"\x02\x01x",  # field 0
        b"\x0a\x06stdout\x2a\x02\x08",
    ],
)
def test_what_is_not_a_message(data: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_entry(data)


def test_a_stream_is_cut_into_messages_wherever_it_was_cut() -> None:
    stream = encode_frame(ENTRY) + encode_frame(PIECE)
    for size in range(1, len(stream) + 1):
        framer = Framer()
        found = [
            entry
            for at in range(0, len(stream), size)
            for entry in framer.feed(stream[at : at + size])
        ]
        assert found == [ENTRY, PIECE]
        assert framer.reset() == 0


def test_a_message_is_not_waited_for_if_it_is_too_large() -> None:
    framer = Framer()
    assert list(framer.feed(LIMIT.to_bytes(4, "big"))) == []
    assert framer.reset() == 4
    with pytest.raises(BadFrame, match="a message of"):
        list(framer.feed((LIMIT + 1).to_bytes(4, "big")))


def test_messages_before_a_bad_one_are_good() -> None:
    entries = Framer().feed(encode_frame(ENTRY) + b"\0\0\0\1x")
    assert next(entries) == ENTRY
    with pytest.raises(BadFrame):
        next(entries)
