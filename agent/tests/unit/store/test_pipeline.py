# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import gzip
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from plugind import errors
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor
from plugind.store import pipeline
from plugind.store.content import ContentStore, Passing
from plugind.store.layout import Layout
from plugind.store.limits import Limits
from plugind.store.pipeline import LayerUnpacker
from support import tars

RAW = tars.archive(
    tars.file(b"a", random.Random(1).randbytes(600_000)), tars.file(b"d/b", b"x")
).getvalue()
BLOB = gzip.compress(RAW, mtime=0)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def descriptor(blob: bytes, size: int | None = None) -> Descriptor:
    return Descriptor(
        media_type="application/vnd.docker.image.rootfs.diff.tar.gzip",
        digest=Digest.of(blob),
        size=len(blob) if size is None else size,
    )


def unpack(
    content: ContentStore,
    root: Path,
    blob: bytes,
    layer: Descriptor | None = None,
    *,
    diff_id: str | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    with LayerUnpacker(
        content,
        layer or descriptor(blob),
        root,
        diff_id=diff_id,
        limits=limits,
        on_progress=on_progress,
    ) as unpacker:
        for at in range(0, len(blob), 10_000):
            unpacker.feed(blob[at : at + 10_000])
        unpacker.finish()


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, bytes])
def test_a_layer_is_extracted_and_its_blob_kept(
    content: ContentStore, root: Path, compress: Callable[[bytes], bytes]
) -> None:
    blob = compress(RAW)
    progress: list[int] = []
    unpack(content, root, blob, diff_id=str(Digest.of(RAW)), on_progress=progress.append)
    assert (root / "d" / "b").read_bytes() == b"x"
    assert content.read(Digest.of(blob)) == blob
    assert progress == sorted(progress)
    assert progress[-1] == len(blob)


@pytest.mark.parametrize(
    "diff_id",
    [str(Digest.of(RAW)), str(Digest.of(BLOB)), None, "", "sha256:short", "nonsense"],
    ids=["uncompressed", "compressed", "none", "empty", "short", "nonsense"],
)
def test_diff_ids_that_are_right_or_say_nothing(
    content: ContentStore, root: Path, diff_id: str | None
) -> None:
    unpack(content, root, BLOB, diff_id=diff_id)


def test_a_wrong_diff_id(content: ContentStore, layout: Layout, root: Path) -> None:
    wrong = str(Digest.of(b"other"))
    with pytest.raises(errors.DigestMismatch, match=rf"has diff_id .*the config says {wrong}"):
        unpack(content, root, BLOB, diff_id=wrong)
    nothing_is_kept(content, layout)


def nothing_is_kept(content: ContentStore, layout: Layout) -> None:
    assert content.digests() == set()
    assert os.listdir(layout.ingest) == []


def test_a_wrong_digest(content: ContentStore, layout: Layout, root: Path) -> None:
    layer = Descriptor(media_type="", digest=Digest.of(b"other"), size=len(BLOB))
    with pytest.raises(errors.DigestMismatch, match=r"cannot verify layer sha256:.*expected"):
        unpack(content, root, BLOB, layer)
    nothing_is_kept(content, layout)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_wrong_size(content: ContentStore, layout: Layout, root: Path, difference: int) -> None:
    with pytest.raises(errors.DigestMismatch, match="bytes"):
        unpack(content, root, BLOB, descriptor(BLOB, len(BLOB) + difference))
    nothing_is_kept(content, layout)


def test_a_download_that_stops_early(content: ContentStore, layout: Layout, root: Path) -> None:
    with pytest.raises(errors.DigestMismatch, match=f"expected {len(BLOB)}"):
        unpack(content, root, BLOB[:-5], descriptor(BLOB))
    nothing_is_kept(content, layout)


def test_a_layer_whose_author_truncated_it(
    content: ContentStore, layout: Layout, root: Path
) -> None:
    with pytest.raises(errors.System, match="cannot decompress gzip: the stream is truncated"):
        unpack(content, root, BLOB[:-100])
    nothing_is_kept(content, layout)


@pytest.mark.parametrize("at", [20, 3000, 300_000, -6])
def test_corrupt_gzip(content: ContentStore, layout: Layout, root: Path, at: int) -> None:
    blob = bytearray(BLOB)
    blob[at] ^= 0xFF
    blob[at + 1] ^= 0xFF
    with pytest.raises(errors.System):
        unpack(content, root, bytes(blob))
    nothing_is_kept(content, layout)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_decompression_bomb(
    content: ContentStore, layout: Layout, root: Path, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(tars.archive(tars.file(b"a", bytes(100_000_000))).getvalue())
    with pytest.raises(errors.HostileArchive, match="more than 5000000 bytes"):
        unpack(content, root, bomb, limits=Limits(total_bytes=5_000_000))
    nothing_is_kept(content, layout)


def test_a_hostile_archive(content: ContentStore, layout: Layout, root: Path) -> None:
    with pytest.raises(errors.HostileArchive, match="climbs"):
        unpack(content, root, gzip.compress(tars.archive(tars.file(b"../x")).getvalue()))
    nothing_is_kept(content, layout)


def test_what_no_one_expected_is_an_error_too(
    content: ContentStore, layout: Layout, root: Path
) -> None:
    def progress(done: int) -> None:
        raise ZeroDivisionError("progress")

    with pytest.raises(errors.System, match=r"cannot unpack layer .*ZeroDivisionError: progress"):
        unpack(content, root, BLOB, on_progress=progress)
    nothing_is_kept(content, layout)


def test_abort_midway(content: ContentStore, layout: Layout, root: Path) -> None:
    unpacker = LayerUnpacker(content, descriptor(BLOB), root)
    unpacker.feed(BLOB[:1000])
    unpacker.abort()
    unpacker.abort()
    nothing_is_kept(content, layout)
    with pytest.raises(errors.Unavailable, match="it was given up"):
        unpacker._stages.put(b"x")


def test_unpack_stored(content: ContentStore, root: Path) -> None:
    content.put(BLOB)
    pipeline.unpack_stored(content, descriptor(BLOB), root, diff_id=str(Digest.of(RAW)))
    assert (root / "d" / "b").read_bytes() == b"x"


def test_unpack_stored_verifies_what_is_on_disk(content: ContentStore, root: Path) -> None:
    digest = content.put(BLOB)
    other = gzip.compress(tars.archive().getvalue())
    content.path(digest).write_bytes(other)
    with pytest.raises(errors.DigestMismatch):
        pipeline.unpack_stored(content, descriptor(BLOB), root)
    with pytest.raises(errors.NotFound):
        pipeline.unpack_stored(content, descriptor(b"absent"), root)


def test_a_layer_that_only_passes(content: ContentStore, layout: Layout, root: Path) -> None:
    with LayerUnpacker(Passing(), descriptor(BLOB), root) as unpacker:
        unpacker.feed(BLOB)
        unpacker.finish()
    assert unpacker.diff_id == Digest.of(RAW)
    assert (root / "d" / "b").read_bytes() == b"x"
    assert content.digests() == set()
    assert not list(layout.ingest.iterdir())


def test_what_only_passes_is_verified_as_well(root: Path) -> None:
    with LayerUnpacker(Passing(), descriptor(b"x" + BLOB[1:]), root) as unpacker:
        unpacker.feed(BLOB)
        with pytest.raises(errors.DigestMismatch):
            unpacker.finish()


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, bytes])
def test_chunks_are_extracted_and_hashed(root: Path, compress: Callable[[bytes], bytes]) -> None:
    blob = compress(RAW)
    chunks = [blob[at : at + 1000] for at in range(0, len(blob), 1000)]
    assert pipeline.unpack_chunks(chunks, root, limits=Limits()) == Digest.of(RAW)
    assert (root / "d" / "b").read_bytes() == b"x"


def test_errors_of_reading_are_mapped(root: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield from ()
        raise OSError(5, "Input/output error")

    with pytest.raises(errors.System, match="cannot unpack the thing: Input/output error"):
        pipeline.unpack_chunks(broken(), root, limits=Limits(), what="the thing")
