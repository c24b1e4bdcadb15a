# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.store import archive
from plugind.store.archive import Archive
from plugind.store.layout import Layout
from plugind.store.limits import Limits
from support import tars


@pytest.fixture
def directory(layout: Layout) -> Iterator[Path]:
    with archive.directory(layout) as path:
        assert path.parent == layout.staging
        yield path
    assert not list(layout.staging.iterdir())


def stage(directory: Path, *parts: bytes, limits: Limits | None = None) -> Archive:
    raw = tars.archive(*parts).getvalue()
    chunks = (raw[at : at + 100] for at in range(0, len(raw), 100))
    return archive.stage(chunks, directory, limits=limits or Limits())


def test_files_by_name(directory: Path) -> None:
    found = stage(
        directory,
        tars.directory(b"d/"),
        tars.file(b"d/a", b"1"),
        tars.file(b"./b", b"2"),
        tars.file(b"/c", b"3"),
        tars.file(b"d/a", b"the later one"),
    )
    assert found.read("d/a") == b"the later one"
    assert found.read("./d/../b") == b"2"
    assert "c" in found
    assert "d" not in found
    with pytest.raises(errors.InvalidParameter, match='it has no "nosuch"'):
        found.read("nosuch")


def test_links_are_names_and_nothing_else(directory: Path) -> None:
    found = stage(
        directory,
        tars.file(b"d/a", b"1"),
        tars.symlink(b"e/relative", b"../d/a"),
        tars.symlink(b"absolute", b"/d/a"),
        tars.hardlink(b"e/hard", b"d/a"),
        tars.symlink(b"chain", b"e/relative"),
        tars.symlink(b"outside", b"/etc/passwd"),
        tars.symlink(b"climbs", b"../../../../etc/passwd"),
        tars.symlink(b"loop", b"loop"),
        tars.file(b"was-a-file", b"x"),
        tars.symlink(b"was-a-file", b"d/a"),
        tars.symlink(b"was-a-link", b"d/a"),
        tars.file(b"was-a-link", b"2"),
    )
    for name in ("e/relative", "absolute", "e/hard", "chain", "was-a-file"):
        assert found.read(name) == b"1", name
    assert found.read("was-a-link") == b"2"
    for name in ("outside", "climbs", "loop"):
        assert name not in found


def test_nothing_is_written_but_numbered_files(directory: Path) -> None:
    found = stage(directory, tars.file(b"../../evil", b"x"), tars.file(b"/etc/evil", b"y"))
    assert sorted(path.name for path in directory.iterdir()) == ["0", "1"]
    assert found.read("evil") == b"x"


def test_a_compressed_archive(directory: Path) -> None:
    raw = gzip.compress(tars.archive(tars.file(b"a", b"1")).getvalue())
    assert archive.stage([raw], directory, limits=Limits()).read("a") == b"1"


def test_bounds(directory: Path) -> None:
    with pytest.raises(errors.HostileArchive, match="more than 1024 bytes"):
        stage(directory, tars.file(b"a", bytes(1024)), limits=Limits(total_bytes=1024))
    with pytest.raises(errors.HostileArchive, match="it is no file"):
        stage(directory, tars.header(b"fifo", b"6"))
    many = (tars.directory(b"d") for _ in range(archive.MAX_ENTRIES + 1))
    with pytest.raises(errors.HostileArchive, match=f"more than {archive.MAX_ENTRIES} entries"):
        stage(directory, *many)


def test_a_document_is_bounded(directory: Path) -> None:
    large = bytes(archive.MAX_DOCUMENT + 1)
    found = stage(directory, tars.file(b"a", large), tars.file(b"b", large[1:]))
    with pytest.raises(errors.InvalidParameter, match=f"more than {archive.MAX_DOCUMENT} bytes"):
        found.read("a")
    assert len(found.read("b")) == archive.MAX_DOCUMENT
