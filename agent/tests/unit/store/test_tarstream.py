# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugind import errors
from plugind.store.limits import Limits
from plugind.store.tarstream import ByteSource, TarReader
from support import tars


def read(
    *parts: bytes, limits: Limits | None = None, chunk: int = 100
) -> list[tuple[bytes, bytes]]:
    raw = tars.archive(*parts).getvalue()
    reader = TarReader(
        (raw[at : at + chunk] for at in range(0, len(raw), chunk)), limits or Limits()
    )
    return [(entry.name, b"".join(reader.pieces())) for entry in reader]


@pytest.mark.parametrize("chunk", [1, 100, 511, 512, 513, 100_000])
def test_entries_and_content_whatever_the_chunks(chunk: int) -> None:
    parts = (tars.file(b"a", b"x" * 1000), tars.directory(b"d"), tars.file(b"b", b"y"))
    assert read(*parts, chunk=chunk) == [(b"a", b"x" * 1000), (b"d", b""), (b"b", b"y")]


def test_content_that_nobody_reads_is_skipped() -> None:
    raw = tars.archive(tars.file(b"a", b"x" * 1000), tars.file(b"b", b"y")).getvalue()
    assert [entry.name for entry in TarReader([raw], Limits())] == [b"a", b"b"]


def test_long_names() -> None:
    name, link = b"n" * 300, b"l" * 300
    long = tars.gnu_long(b"L", name) + tars.gnu_long(b"K", link) + tars.symlink(b"x", b"y")
    raw = tars.archive(long, tars.file(b"next")).getvalue()
    entries = list(TarReader([raw], Limits()))
    assert [(entry.name, entry.link) for entry in entries] == [(name, link), (b"next", b"")]


def test_pax_wins_over_gnu_and_holds_for_one_entry() -> None:
    parts = (tars.gnu_long(b"L", b"gnu"), tars.pax({b"path": b"pax"}), tars.file(b"x"))
    assert read(*parts, tars.file(b"y")) == [(b"pax", b""), (b"y", b"")]


def test_global_headers_are_ignored() -> None:
    assert read(tars.pax({b"path": b"everything"}, kind=b"g"), tars.file(b"x")) == [(b"x", b"")]


def test_an_extension_without_its_entry() -> None:
    with pytest.raises(errors.System, match="an extension without its entry"):
        read(tars.pax({b"path": b"p"}))


def test_a_huge_extension_is_refused_before_it_is_read() -> None:
    with pytest.raises(errors.HostileArchive, match="an extension header has"):
        read(tars.header(b"x", b"x", size=0o77777777777))


def test_a_chain_of_extensions_counts_as_entries() -> None:
    with pytest.raises(errors.HostileArchive, match="more than 10 entries"):
        read(*[tars.pax({b"path": b"p"})] * 20, limits=Limits(entries=10))


def test_what_follows_the_end_is_read_and_counted() -> None:
    def chunks() -> object:
        yield tars.archive(tars.file(b"a")).getvalue()
        yield b"padding"
        seen.append("all")

    seen: list[str] = []
    assert len(list(TarReader(chunks(), Limits()))) == 1  # type: ignore[arg-type]
    assert seen == ["all"]
    with pytest.raises(errors.HostileArchive, match="more than"):
        list(TarReader([tars.END, bytes(5000)], Limits(total_bytes=5000)))


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 30)))
def test_source_takes_exact_amounts(chunks: list[bytes], counts: list[int]) -> None:
    whole = b"".join(chunks)
    source = ByteSource(chunks, 1000)
    at = 0
    for count in counts:
        if at + count > len(whole):
            with pytest.raises(errors.System, match="truncated"):
                source.take(count)
            return
        assert source.take(count) == whole[at : at + count]
        at += count
    assert source.at_end() == (at == len(whole))
