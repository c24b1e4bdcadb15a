# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.store.decompress import CorruptStream, decompress

SKIPPABLE = struct.pack("<II", 0x184D2A53, 5) + b"extra"
FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda raw: raw,
    "gzip": gzip.compress,
    "gzip members": lambda raw: gzip.compress(raw[:50]) + gzip.compress(raw[50:]),
    "gzip padded": lambda raw: gzip.compress(raw) + bytes(1000),
    "zstd": zstandard.compress,
    "zstd frames": lambda raw: zstandard.compress(raw[:50]) + zstandard.compress(raw[50:]),
    "zstd skippable": lambda raw: SKIPPABLE + zstandard.compress(raw) + SKIPPABLE,
}
RAW = random.Random(1).randbytes(100_000) + bytes(3_000_000) + b"the end"


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 1000, 1_000_000, 10_000_000])
@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(format: str, size: int) -> None:
    raw = RAW if size > 1 else RAW[:2000] + bytes(2000)
    assert b"".join(decompress(chunked(FORMATS[format](raw), size))) == raw


@pytest.mark.parametrize("raw", [b"", b"a", b"abc"])
def test_short_streams(raw: bytes) -> None:
    assert b"".join(decompress([raw])) == raw
    assert b"".join(decompress([gzip.compress(raw)])) == raw


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_truncated_anywhere(compress: Callable[[bytes], bytes]) -> None:
    whole = compress(RAW[:500])
    for length in range(4, len(whole)):
        with pytest.raises(CorruptStream, match="truncated"):
            list(decompress([whole[:length]]))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_garbage_after_the_end(compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CorruptStream):
        list(decompress([compress(b"x"), b"garbage" * 10]))


def test_a_wrong_checksum() -> None:
    damaged = bytearray(gzip.compress(RAW[:500]))
    damaged[-6] ^= 1
    with pytest.raises(CorruptStream, match=r"cannot decompress gzip: .*checksum"):
        list(decompress([bytes(damaged)]))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_bomb_comes_in_pieces(compress: Callable[[bytes], bytes]) -> None:
    pieces = decompress([compress(bytes(50_000_000))])
    assert max(len(piece) for piece in pieces) <= 2 * 1024 * 1024


@given(head=st.sampled_from([b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b""]), noise=st.binary())
def test_noise_is_an_error_of_ours(head: bytes, noise: bytes) -> None:
    try:
        list(decompress([head + noise]))
    except errors.System:
        pass
