# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Download, verify, decompress and extract a layer, all at once; nothing is read twice.

    caller's thread     feed(chunk): count, hash, write to ingest/ --.
                                                                     pipe
    thread "inflate"    decompress  <--------------------------------'
                           |-- pipe -->  thread "extract"    extract
                           `-- pipe -->  thread "hash"       hash for the diff_id

    finish: size and digest, then the stages' own errors, then the diff_id; then the blob is committed

Whatever fails, the first cause is raised and the blob is not committed; the half-extracted root is
the caller's staging directory, and goes with it. isal, hashlib and the system calls release the
interpreter, so the stages do run in parallel.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from plugind import errors
from plugind.host import memory
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor
from plugind.store import untar
from plugind.store.content import ContentStore, Ingest, Passing
from plugind.store.decompress import decompress
from plugind.store.limits import Limits
from plugind.store.pipe import Pipe

OnProgress = Callable[[int], None]
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_CHUNK = 256 * 1024


class Cancelled(errors.Unavailable):
    """The layer was given up before its end."""


class _Stages:
    """The threads behind the pipe, and what came of them."""

    def __init__(
        self, what: str, root: Path, limits: Limits, diff_id: str | None, progress: OnProgress
    ) -> None:
        self._what = what
        self._root = root
        self._limits = limits
        self._wanted = diff_id if diff_id and _DIGEST.fullmatch(diff_id) else None
        self._progress = progress
        self._hash = hashlib.sha256()
        self._cause: BaseException | None = None
        self._compressed = Pipe()
        self._plain = Pipe()
        self._to_hash = Pipe()
        self._threads = [
            threading.Thread(target=self._guarded, args=(stage,), name=name, daemon=True)
            for stage, name in (
                (self._inflate, "inflate"),
                (self._extract, "extract"),
                (self._hash_plain, "hash"),
            )
        ]
        for thread in self._threads:
            thread.start()

    def put(self, chunk: bytes) -> None:
        """Pass on a chunk of the blob, waiting for room."""
        self._compressed.put(chunk)

    def fail(self, cause: BaseException) -> None:
        """Stop all threads; the first cause stays."""
        self._cause = self._cause or cause
        for pipe in (self._compressed, self._plain, self._to_hash):
            pipe.fail(cause)

    def join(self) -> None:
        """Wait for all threads."""
        self._compressed.close()
        for thread in self._threads:
            thread.join()

    @property
    def diff_id(self) -> Digest:
        """Digest of the uncompressed bytes. After `join`."""
        return Digest(self._hash.hexdigest())

    def finish(self, blob: Digest) -> None:
        """Raise what went wrong, the diff_id included. After `join`."""
        if self._cause is not None:
            raise self._cause
        actual = str(self.diff_id)
        # Docker's own `plugin create` writes the digest of the compressed blob as diff_id.
        if self._wanted is not None and self._wanted not in (actual, str(blob)):
            raise errors.DigestMismatch(
                f"cannot verify {self._what}: its content has diff_id {actual}, "
                f"the config says {self._wanted}"
            )

    def _guarded(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except errors.PlugindError as exc:
            self.fail(exc)
        except BaseException as exc:  # noqa: BLE001 - it is raised again in the caller's thread
            cause = errors.System(f"cannot unpack {self._what}: {type(exc).__name__}: {exc}")
            cause.__cause__ = exc
            self.fail(cause)

    def _inflate(self) -> None:
        with memory.kept():
            for chunk in decompress(self._counted()):
                self._plain.put(chunk)
                self._to_hash.put(chunk)
        self._plain.close()
        self._to_hash.close()

    def _counted(self) -> Iterator[bytes]:
        done = 0
        for chunk in self._compressed:
            yield chunk
            done += len(chunk)
            self._progress(done)

    def _hash_plain(self) -> None:
        for chunk in self._to_hash:
            self._hash.update(chunk)

    def _extract(self) -> None:
        untar.extract_chunks(self._plain, self._root, limits=self._limits)


class LayerUnpacker:
    """Unpacks one layer while it is downloaded: `feed`, ..., then `finish` or `abort`.

    As a context manager it aborts unless it has finished. Every method blocks; one thread at a time.
    """

    def __init__(
        self,
        content: ContentStore | Passing,
        layer: Descriptor,
        root: Path,
        *,
        limits: Limits | None = None,
        diff_id: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._layer = layer
        self._what = f"layer {layer.digest}"
        self._cleanup = contextlib.ExitStack()
        intake: contextlib.AbstractContextManager[Ingest | Passing.Ingest] = content.ingest()
        self._ingest = self._cleanup.enter_context(intake)
        self._stages = _Stages(
            self._what, root, limits or Limits(), diff_id, on_progress or _no_progress
        )

    def __enter__(self) -> LayerUnpacker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk of the blob, waiting for room; raises what has failed meanwhile."""
        self._ingest.write(chunk)
        if self._ingest.size > self._layer.size:
            raise errors.DigestMismatch(
                f"cannot verify {self._what}: more than its {self._layer.size} bytes"
            )
        self._stages.put(chunk)

    @property
    def diff_id(self) -> Digest:
        """Digest of the uncompressed layer. After `finish`."""
        return self._stages.diff_id

    def finish(self) -> None:
        """Wait for the extraction, verify everything, commit the blob."""
        try:
            self._stages.join()
            require(self._layer, self._ingest.size, self._ingest.digest)
            self._stages.finish(self._layer.digest)
            self._ingest.commit(self._layer.digest)
        finally:
            self.abort()

    def abort(self) -> None:
        """Stop the threads and forget the blob, unless it was committed. Safe to call twice."""
        self._stages.fail(Cancelled(f"cannot unpack {self._what}: it was given up"))
        self._stages.join()
        self._cleanup.close()


def unpack_stored(
    content: ContentStore,
    layer: Descriptor,
    root: Path,
    *,
    limits: Limits | None = None,
    diff_id: str | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Unpack a layer that the content store has, verifying it once more on the way."""
    what = f"layer {layer.digest}"
    with content.open(layer.digest) as stream:
        stages = _Stages(what, root, limits or Limits(), diff_id, on_progress or _no_progress)
        try:
            seen, size = hashlib.sha256(), 0
            for chunk in iter(lambda: stream.read(_CHUNK), b""):
                seen.update(chunk)
                size += len(chunk)
                stages.put(chunk)
            stages.join()
            require(layer, size, Digest(seen.hexdigest()))
            stages.finish(layer.digest)
        finally:
            stages.fail(Cancelled(f"cannot unpack {what}: it was given up"))
            stages.join()


def unpack_chunks(
    chunks: Iterable[bytes], root: Path, *, limits: Limits, what: str = "archive"
) -> Digest:
    """Extract a layer that comes in chunks, compressed or not; return its diff_id. One thread."""
    seen = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in decompress(chunks):
            seen.update(chunk)
            yield chunk

    try:
        untar.extract_chunks(hashed(), root, limits=limits)
    except OSError as exc:
        raise errors.System(f"cannot unpack {what}: {exc.strerror}") from exc
    return Digest(seen.hexdigest())


def require(layer: Descriptor, size: int, digest: Digest) -> None:
    """Raise DigestMismatch unless size and digest are those of the descriptor."""
    what = f"layer {layer.digest}"
    if size != layer.size:
        raise errors.DigestMismatch(f"cannot verify {what}: {size} bytes, expected {layer.size}")
    layer.digest.require(digest, what)


def _no_progress(done: int) -> None:
    del done
