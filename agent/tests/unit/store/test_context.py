# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import errno
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from plugind import errors
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor
from plugind.store import pipeline, untar
from plugind.store.content import ContentStore
from plugind.store.context import Layer, LayerWriter, read_context
from plugind.store.layout import Layout
from plugind.store.limits import Limits
from support import tars
from support.tars import archive, directory, file, hardlink, symlink

CONFIG = b'{"entrypoint": ["/driver"]}'
PARTS = (
    file(b"config.json", CONFIG),
    directory(b"rootfs/", mode=0o711),
    file(b"rootfs/driver", b"x" * 1000, mode=0o4755),
    hardlink(b"rootfs/twin", b"rootfs/driver"),
    symlink(b"rootfs/link", b"rootfs/driver"),
    file(b"README", b"ignored"),
)


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "rootfs").mkdir()
    return tmp_path / "rootfs"


def read(rootfs: Path, *parts: bytes, limits: Limits | None = None) -> bytes:
    return read_context(archive(*parts), rootfs, io.BytesIO(), limits=limits)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_config_rootfs_and_layer(
    content: ContentStore, rootfs: Path, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    body = io.BytesIO(compress(archive(*PARTS).getvalue()))
    with LayerWriter(content) as writer:
        assert read_context(body, rootfs, writer) == CONFIG
        layer = writer.commit()
    assert sorted(os.listdir(rootfs)) == ["driver", "link", "twin"]
    assert (rootfs / "driver").stat().st_ino == (rootfs / "twin").stat().st_ino
    assert os.readlink(rootfs / "link") == "rootfs/driver"
    blob = content.read(layer.digest)
    assert (layer.size, layer.diff_id) == (len(blob), Digest.of(gzip.decompress(blob)))
    (tmp_path / "again").mkdir()
    described = Descriptor(media_type="", digest=layer.digest, size=layer.size)
    pipeline.unpack_stored(content, described, tmp_path / "again", diff_id=str(layer.diff_id))
    assert tars.snapshot(tmp_path / "again") == tars.snapshot(rootfs)


def test_dot_slash_names(rootfs: Path) -> None:
    parts = (
        directory(b"./"),
        file(b"./config.json", CONFIG),
        directory(b"./rootfs"),
        file(b"./rootfs/a", b"x"),
        hardlink(b"./rootfs/b", b"./rootfs/a"),
    )
    assert read(rootfs, *parts) == CONFIG
    assert sorted(os.listdir(rootfs)) == ["a", "b"]


def test_config_may_come_last_and_rootfs_may_be_missing(rootfs: Path) -> None:
    assert read(rootfs, file(b"rootfs/a"), file(b"config.json", CONFIG)) == CONFIG
    assert read(rootfs, file(b"config.json", CONFIG)) == CONFIG


@pytest.mark.parametrize(
    "parts",
    [(), (file(b"rootfs/config.json", CONFIG),), (symlink(b"config.json", b"/etc/shadow"),)],
)
def test_config_not_found(rootfs: Path, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(errors.System, match=r"^config not found$"):
        read(rootfs, *parts)
    with pytest.raises(errors.System, match=r"^config not found$"):
        read_context(io.BytesIO(b""), rootfs, io.BytesIO())


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"x" * 600, "failed to read from tar: cannot read archive: invalid tar header"),
        (b"x", "failed to read from tar: cannot read archive: it is truncated"),
        (b"\x1f\x8bxxxxxxx", "failed to read from tar: cannot decompress gzip: "),
        (archive(*PARTS).getvalue()[:2000], "failed to read from tar: .*truncated"),
        (gzip.compress(archive(*PARTS).getvalue())[:-3], "failed to read from tar: .*truncated"),
        (archive(file(b"rootfs/../../x")).getvalue(), r"failed to read from tar: .*climbs"),
        (archive(hardlink(b"rootfs/x", b"config.json")).getvalue(), "a hard link to"),
    ],
)
def test_what_is_no_context(rootfs: Path, body: bytes, problem: str) -> None:
    with pytest.raises(errors.System, match=problem):
        read_context(io.BytesIO(body), rootfs, io.BytesIO())
    assert os.listdir(rootfs.parent) == ["rootfs"]


def test_a_config_that_is_too_large(rootfs: Path) -> None:
    with pytest.raises(errors.System, match=r"config\.json: it has 1048577 bytes"):
        read(rootfs, file(b"config.json", b" " * (1024 * 1024 + 1)))


def test_whiteouts_with_content_stay_whole_in_the_layer(rootfs: Path, tmp_path: Path) -> None:
    sink = io.BytesIO()
    parts = (file(b"config.json", CONFIG), file(b"rootfs/.wh.a", b"content"), file(b"rootfs/b"))
    read_context(archive(*parts), rootfs, sink)
    (tmp_path / "again").mkdir()
    untar.extract_layer(io.BytesIO(sink.getvalue()), tmp_path / "again")
    assert os.listdir(tmp_path / "again") == ["b"]


def write_layer(content: ContentStore, pieces: list[bytes]) -> Layer:
    with LayerWriter(content) as writer:
        for piece in pieces:
            writer.write(piece)
        return writer.commit()


def test_a_layer_does_not_depend_on_how_its_bytes_came(content: ContentStore) -> None:
    raw = os.urandom(700_000)
    whole = write_layer(content, [raw])
    assert write_layer(content, [raw[:1], raw[1:300_000], raw[300_000:]]) == whole


def test_an_abandoned_layer_leaves_nothing(content: ContentStore, layout: Layout) -> None:
    with LayerWriter(content) as writer:
        writer.write(b"x" * 1_000_000)
    assert os.listdir(layout.ingest) == []
    assert content.digests() == set()


@pytest.mark.parametrize("size", [1, 4 << 20])
def test_a_full_disk_is_the_error_of_who_writes_the_layer(
    content: ContentStore, layout: Layout, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with LayerWriter(content) as writer:
        with pytest.raises(errors.System, match=r"cannot write .*: No space left on device"):  # noqa: PT012
            writer.write(os.urandom(size))
            writer.commit()  # with little to write, it is only known here
    assert not list(layout.ingest.iterdir())
