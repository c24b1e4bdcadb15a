# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.store import tarentry
from plugind.store.tarentry import Entry, MalformedArchive
from support import tars


def parse(block: bytes, pax: dict[bytes, bytes] | None = None) -> Entry:
    return tarentry.parse_header(block, pax=pax or {}, long_name=None, long_link=None)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"0000644\0", 0o644),
        (b" 644 \0\0\0", 0o644),
        (b"\0" * 8, 0),
        (b"        ", 0),
        (b"77777777", 0o77777777),
        (b"644\0junk", 0o644),
        (b"\x80" + b"\0" * 6 + b"\x05", 5),
        (b"\x80\x01" + b"\0" * 6, 1 << 48),
        (b"\xff" * 8, -1),
    ],
)
def test_number(raw: bytes, value: int) -> None:
    assert tarentry.number(raw, "mode") == value


@pytest.mark.parametrize("raw", [b"0000689\0", b"-1\0", b"+7\0", b"1_0\0", b"0x1f\0", b"abc\0"])
def test_what_is_no_number(raw: bytes) -> None:
    with pytest.raises(MalformedArchive, match=r"cannot read archive: mode .* is no octal number"):
        tarentry.number(raw, "mode")


@given(st.integers(-(1 << 80), 1 << 80))
def test_base_256_round_trip(value: int) -> None:
    raw = bytearray(value.to_bytes(12, "big", signed=True))
    raw[0] |= 0x80
    assert tarentry.number(bytes(raw), "mtime") == value


def test_checksum() -> None:
    block = tars.header(b"\xff\xfe")
    tarentry.require_checksum(block)
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 8 * 32
    tarentry.require_checksum(block[:148] + b"%06o\0 " % signed + block[156:])
    with pytest.raises(MalformedArchive, match="invalid tar header"):
        tarentry.require_checksum(b"x" + block[1:])


@given(st.dictionaries(st.binary(min_size=1).filter(lambda k: b"=" not in k), st.binary()))
def test_pax_round_trip(records: dict[bytes, bytes]) -> None:
    raw = b"".join(tars.record(key, value) for key, value in records.items())
    assert tarentry.parse_pax(raw) == records


@given(st.binary(max_size=60))
def test_pax_noise_is_an_error_of_ours(raw: bytes) -> None:
    try:
        tarentry.parse_pax(raw)
    except MalformedArchive:
        pass


@pytest.mark.parametrize(
    "raw", [b"x", b"5 a=\n", b"99 a=b\n", b"6 a=b", b"0 a=b\n", b"6 =ab\n", b"6 abc\n", b"-6 a=b\n"]
)
def test_bad_pax_records(raw: bytes) -> None:
    if raw == b"5 a=\n":
        assert tarentry.parse_pax(raw) == {b"a": b""}
        return
    with pytest.raises(MalformedArchive, match="invalid pax header"):
        tarentry.parse_pax(raw)


def test_prefix_only_in_ustar() -> None:
    assert parse(tars.header(b"name", prefix=b"some/dir")).name == b"some/dir/name"
    gnu = tars.header(b"name", prefix=b"12345", magic=b"ustar  \0")
    assert parse(gnu).name == b"name"
    assert parse(tars.header(b"name", magic=b"\0" * 8, prefix=b"junk")).name == b"name"


def test_pax_overrides_the_header() -> None:
    pax = {b"path": b"p", b"linkpath": b"l", b"size": b"7", b"uid": b"70000", b"gid": b"80000"}
    entry = parse(tars.header(b"name", size=1), pax)
    assert (entry.name, entry.link, entry.size) == (b"p", b"l", 7)
    assert (entry.uid, entry.gid) == (70000, 80000)


def test_an_empty_pax_value_means_the_header() -> None:
    assert parse(tars.header(b"name", size=3), {b"path": b"", b"size": b""}).size == 3


def test_old_directories_have_a_slash() -> None:
    assert parse(tars.header(b"d/", b"\0")).type == tarentry.DIRECTORY
    assert parse(tars.header(b"d", b"\0")).type == tarentry.REGULAR
    assert parse(tars.header(b"d/", b"0")).type == tarentry.REGULAR


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"size", b"-1"),
        (b"size", b"1e3"),
        (b"size", b"9" * 19),
        (b"uid", b"4294967295"),
        (b"gid", b"4294967296"),
        (b"mtime", b"x"),
        (b"mtime", b"1.x"),
        (b"mtime", b"1" * 19),
        (b"mtime", b"inf"),
    ],
)
def test_impossible_values(key: bytes, value: bytes) -> None:
    with pytest.raises(errors.HostileArchive, match='cannot extract "name": impossible'):
        parse(tars.header(b"name"), {key: value})


def test_impossible_device() -> None:
    with pytest.raises(errors.HostileArchive, match="impossible device"):
        parse(tars.header(b"name", b"3", major=0o777777))


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"1", 10**9), (b"1.5", 1_500_000_000), (b"-1.5", -1_500_000_000), (b"0.0000000019", 1)],
)
def test_pax_mtime(text: bytes, value: int) -> None:
    assert parse(tars.header(b"name"), {b"mtime": text}).mtime_ns == value


def test_show() -> None:
    assert tarentry.show(b"plain/name") == '"plain/name"'
    assert tarentry.show(b"\xff\n") == '"\\xff\\n"'
    assert tarentry.show(b"a" * 300) == '"' + "a" * 200 + '..."'
