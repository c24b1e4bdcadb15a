# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The build context of `POST /plugins/create`: a tar with config.json and rootfs/.

    stream -> decompress -> TarReader -+- config.json    kept, returned
                                       |- rootfs/x       extracted as x, and written as x to the layer
                                       `- anything else  ignored, as Docker does

    LayerWriter:  tar bytes -> sha256 (diff_id) -> gzip -> Ingest (digest, size) -> commit

The context is read once; nobody sees the layer or the rootfs unless all of it was good. Compressed
contexts (`docker plugin create --compress`) work here; Docker Engine itself rejects them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from isal import isal_zlib

from plugind import errors
from plugind.model.digest import Digest
from plugind.store import rootdir, tarentry, untar
from plugind.store.content import ContentStore
from plugind.store.decompress import CorruptStream, decompress
from plugind.store.limits import Limits
from plugind.store.tarentry import Entry
from plugind.store.tarstream import TarReader
from plugind.store.tarwriter import Sink, TarWriter

_CONFIG = (b"config.json",)
_ROOTFS = b"rootfs"
_GZIP = 16 + 15
_LEVEL = 1  # ten times as fast as zlib's 6, for an eighth more bytes
_BATCH = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A written layer. `diff_id` is the digest of the uncompressed tar."""

    digest: Digest
    size: int
    diff_id: Digest


class LayerWriter:
    """A sink for a layer's tar, which becomes a gzip'd blob by `commit`, or nothing."""

    def __init__(self, content: ContentStore) -> None:
        self._cleanup = contextlib.ExitStack()
        self._ingest = self._cleanup.enter_context(content.ingest())
        self._gzip = isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._hash = hashlib.sha256()
        self._batch = bytearray()

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def write(self, data: bytes | memoryview, /) -> int:
        """Append tar bytes. Batched, so that the output does not depend on how they came."""
        self._batch += data
        if len(self._batch) >= _BATCH:
            whole = len(self._batch) - len(self._batch) % _BATCH
            self._compress(bytes(self._batch[:whole]))
            del self._batch[:whole]
        return len(data)

    def commit(self) -> Layer:
        """Store the blob; return its digests."""
        self._compress(bytes(self._batch))
        self._batch.clear()
        self._ingest.write(self._gzip.flush())
        digest = self._ingest.commit()
        diff_id = Digest(self._hash.hexdigest())
        return Layer(digest=digest, size=self._ingest.size, diff_id=diff_id)

    def _compress(self, data: bytes) -> None:
        for start in range(0, len(data), _BATCH):
            piece = data[start : start + _BATCH]
            self._hash.update(piece)
            self._ingest.write(self._gzip.compress(piece))


def read_context(
    stream: BinaryIO, rootfs: Path, layer_sink: Sink, *, limits: Limits | None = None
) -> bytes:
    """Extract `rootfs/` of the context, write it as a tar to `layer_sink`, return config.json.

    MalformedArchive says `config not found`, or `failed to read from tar: cause`.
    """
    limits = limits or Limits()
    reader = TarReader(decompress(untar.read_chunks(stream)), limits)
    writer = TarWriter(layer_sink)
    config: bytes | None = None
    try:
        with untar.Extractor(rootfs, limits) as extractor:
            for entry in reader:
                parts = tuple(rootdir.components(entry.name))
                if parts == _CONFIG and entry.type == tarentry.REGULAR:
                    config = _read_config(entry, reader, limits)
                elif parts[:1] == (_ROOTFS,):
                    inner = _without_prefix(entry, parts)
                    content = _tee(reader.pieces(), writer)
                    writer.begin(inner)
                    extractor.add(inner, content)
                    for _ in content:  # of an entry that is not extracted, a whiteout
                        pass
                    writer.end(inner)
            extractor.finish()
            writer.close()
    except (errors.HostileArchive, tarentry.MalformedArchive, CorruptStream) as exc:
        raise type(exc)(f"failed to read from tar: {exc}") from exc
    if config is None:
        raise tarentry.MalformedArchive("config not found")
    return config


def _read_config(entry: Entry, reader: TarReader, limits: Limits) -> bytes:
    if entry.size > limits.config_bytes:
        raise errors.HostileArchive(
            f"cannot read config.json: it has {entry.size} bytes, the limit is {limits.config_bytes}"
        )
    return b"".join(reader.pieces())


def _without_prefix(entry: Entry, parts: rootdir.Parts) -> Entry:
    """Return the entry as the layer names it; a hard link's target loses the prefix as well."""
    link = entry.link
    if entry.type == tarentry.HARDLINK:
        target = tuple(rootdir.components(link))
        if target[:1] == (_ROOTFS,):
            link = b"/".join(target[1:])
    return replace(entry, name=b"/".join(parts[1:]) or b".", link=link)


def _tee(pieces: Iterator[memoryview], writer: TarWriter) -> Iterator[memoryview]:
    for piece in pieces:
        writer.write(piece)
        yield piece
