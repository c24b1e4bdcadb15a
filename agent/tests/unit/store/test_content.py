# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.model.digest import Digest
from plugind.store.content import ContentStore, Passing
from plugind.store.layout import Layout

MISSING = Digest.of(b"missing")


def test_put_then_read(content: ContentStore, layout: Layout) -> None:
    digest = content.put(b"hello")
    assert digest == Digest.of(b"hello")
    assert content.has(digest)
    assert content.path(digest) == layout.blobs / digest.hex
    assert content.read(digest) == b"hello"
    assert content.digests() == {digest}
    with content.open(digest) as stream:
        assert stream.read() == b"hello"
    assert os.listdir(layout.ingest) == []


def test_put_of_what_is_there_is_fine(content: ContentStore) -> None:
    assert content.put(b"hello") == content.put(b"hello")
    assert len(content.digests()) == 1


def test_ingest_counts_and_hashes_as_it_goes(content: ContentStore) -> None:
    with content.ingest() as ingest:
        assert ingest.write(b"hel") == 3
        ingest.write(memoryview(b"lo"))
        assert ingest.size == 5
        assert ingest.digest == Digest.of(b"hello")
        assert ingest.commit(Digest.of(b"hello")) == Digest.of(b"hello")


def test_a_wrong_digest_is_noticed_before_the_content_appears(
    content: ContentStore, layout: Layout
) -> None:
    with content.ingest() as ingest:
        ingest.write(b"hello")
        with pytest.raises(errors.DigestMismatch):
            ingest.commit(MISSING)
    assert content.digests() == set()
    assert os.listdir(layout.ingest) == []


def test_an_abandoned_ingest_leaves_nothing(content: ContentStore, layout: Layout) -> None:
    with content.ingest() as ingest:
        ingest.write(b"hello")
    assert os.listdir(layout.ingest) == []
    assert content.digests() == set()


def test_missing_content(content: ContentStore) -> None:
    assert not content.has(MISSING)
    with pytest.raises(errors.NotFound, match=f"content {MISSING}: not found"):
        content.open(MISSING)
    content.delete(MISSING)


def test_corrupt_content_is_never_returned(content: ContentStore) -> None:
    digest = content.put(b"hello")
    content.path(digest).write_bytes(b"jello")
    with pytest.raises(errors.DigestMismatch, match="cannot verify stored content"):
        content.read(digest)


def test_delete(content: ContentStore) -> None:
    digest = content.put(b"hello")
    content.delete(digest)
    assert not content.has(digest)


def test_foreign_files_are_no_content(content: ContentStore, layout: Layout) -> None:
    (layout.blobs / "README").touch()
    assert content.digests() == set()


def test_a_store_that_cannot_be_written_says_so(content: ContentStore, layout: Layout) -> None:
    layout.ingest.rmdir()
    with pytest.raises(errors.System, match="cannot create"), content.ingest():
        pass


def test_errors_of_the_disk_are_mapped(content: ContentStore, layout: Layout) -> None:
    digest = Digest.of(b"directory")
    (layout.blobs / digest.hex / "x").mkdir(parents=True)
    with pytest.raises(errors.System, match="cannot read content"):
        content.open(digest)
    with pytest.raises(errors.System, match="cannot remove content"):
        content.delete(digest)
    with pytest.raises(errors.System, match="cannot store sha256:"):
        content.put(b"directory")


def test_a_full_disk_is_an_error(content: ContentStore) -> None:
    full = Path("/dev/full")
    with content.ingest() as ingest:
        ingest._fd, kept = os.open(full, os.O_WRONLY), ingest._fd
        with pytest.raises(errors.System, match="No space left"):
            ingest.write(b"x")
        os.close(ingest._fd)
        ingest._fd = kept


def test_what_passes_is_measured_and_not_kept(content: ContentStore) -> None:
    with Passing().ingest() as ingest:
        assert ingest.write(b"con") == 3
        ingest.write(memoryview(b"tent"))
        assert (ingest.size, ingest.digest) == (7, Digest.of(b"content"))
        assert ingest.commit(Digest.of(b"content")) == ingest.commit()
        with pytest.raises(errors.DigestMismatch):
            ingest.commit(Digest.of(b"other"))
    assert content.digests() == set()
