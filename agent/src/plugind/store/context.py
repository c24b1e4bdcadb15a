# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The build context of `POST /plugins/create`: a tar with config.json and rootfs/.

    stream -> decompress -> TarReader -+- config.json    kept, returned
                                       |- rootfs/x       extracted as x, and written as x to the layer
                                       `- anything else  ignored, as Docker does

    LayerWriter:  tar bytes -> batches -> pipe -.          in the caller's thread
                                                `-> sha256 (diff_id) -> gzip -> Ingest (digest, size)
                                                           in thread "compress"; then commit

The context is read once; nobody sees the layer or the rootfs unless all of it was good. Compressed
contexts (`docker plugin create --compress`) work here; Docker Engine itself rejects them.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from plugind import errors
from plugind.host import memory
from plugind.model.digest import Digest
from plugind.store import rootdir, tarentry, untar
from plugind.store.content import ContentStore
from plugind.store.decompress import CorruptStream, decompress
from plugind.store.limits import Limits
from plugind.store.pipe import Pipe
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
        from isal import isal_zlib  # for those who never create a plugin

        self._cleanup = contextlib.ExitStack()
        self._ingest = self._cleanup.enter_context(content.ingest())
        self._gzip = isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._hash = hashlib.sha256()
        self._batch = bytearray()
        self._pipe = Pipe()
        # hashlib, isal and writing release the interpreter, so that extracting goes on meanwhile.
        self._thread = threading.Thread(target=self._run, name="compress", daemon=True)
        self._thread.start()

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.fail(errors.Unavailable("cannot write the layer: it was given up"))
        self._thread.join()
        self._cleanup.close()

    def write(self, data: bytes | memoryview, /) -> int:
        """Append tar bytes. Batched, so that the output does not depend on how they came."""
        self._batch += data
        if len(self._batch) >= _BATCH:
            whole = len(self._batch) - len(self._batch) % _BATCH
            with memoryview(self._batch) as batch:
                for start in range(0, whole, _BATCH):
                    self._pipe.put(bytes(batch[start : start + _BATCH]))
            del self._batch[:whole]
        return len(data)

    def commit(self) -> Layer:
        """Store the blob; return its digests."""
        self._pipe.put(bytes(self._batch))
        self._batch.clear()
        self._pipe.close()
        self._thread.join()
        self._pipe.require_whole()
        self._ingest.write(self._gzip.flush())
        digest = self._ingest.commit()
        diff_id = Digest(self._hash.hexdigest())
        return Layer(digest=digest, size=self._ingest.size, diff_id=diff_id)

    def _run(self) -> None:
        try:
            with memory.kept():
                for piece in self._pipe:
                    self._hash.update(piece)
                    self._ingest.write(self._gzip.compress(piece))
        except BaseException as exc:  # noqa: BLE001 - it is raised again in the caller's thread
            self._pipe.fail(exc)


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
