# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Content by digest: configs, layers and manifests.

    ingest/<random>  --write, hash, fsync, verify-->  rename  -->  blobs/sha256/<hex>
                                                      `-- the commit point

A name under blobs/ is therefore always complete and was verified before it appeared. An ingest that
is not committed is removed when its context ends, or by the sweep at boot.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from plugind import errors
from plugind.host import fs
from plugind.model.digest import Digest
from plugind.store.layout import Layout

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Ingest:
    """Content on its way in. Made by `ContentStore.ingest`."""

    def __init__(self, layout: Layout, path: Path, fd: int) -> None:
        self._layout = layout
        self._path = path
        self._fd = fd
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> Digest:
        """Digest of what was written so far."""
        return Digest(self._hash.hexdigest())

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`; return its length, as a file does."""
        self._hash.update(data)
        try:
            fs.write_all(self._fd, data)
        except OSError as exc:
            raise errors.System(f'cannot write "{self._path}": {exc.strerror}') from exc
        self.size += len(data)
        return len(data)

    def commit(self, expected: Digest | None = None) -> Digest:
        """Verify, make durable and publish the content; return its digest.

        A nil outcome means that the content is stored, not that this call stored it.
        """
        digest = self.digest
        if expected is not None:
            expected.require(digest, "content")
        target = self._layout.blobs / digest.hex
        try:
            os.fsync(self._fd)
            os.rename(self._path, target)  # the commit point; replaces equal content harmlessly
            fs.fsync_dir(self._layout.blobs)
        except OSError as exc:
            raise errors.System(f"cannot store {digest}: {exc.strerror}") from exc
        return digest


class Passing:
    """A content store that keeps nothing: what goes in is measured and verified, and is gone."""

    class Ingest:
        """Content that passes. The same calls as those of `content.Ingest`."""

        def __init__(self) -> None:
            self._hash = hashlib.sha256()
            self.size = 0

        @property
        def digest(self) -> Digest:
            """Digest of what has passed so far."""
            return Digest(self._hash.hexdigest())

        def write(self, data: bytes | memoryview) -> int:
            """Take note of `data`; return its length."""
            self._hash.update(data)
            self.size += len(data)
            return len(data)

        def commit(self, expected: Digest | None = None) -> Digest:
            """Verify the content; return its digest."""
            if expected is not None:
                expected.require(self.digest, "content")
            return self.digest

    @contextlib.contextmanager
    def ingest(self) -> Iterator[Ingest]:
        """Let content pass."""
        yield self.Ingest()


class ContentStore:
    """Verified content under `blobs/`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def path(self, digest: Digest) -> Path:
        """Return where content with `digest` lies or would lie."""
        return self._layout.blobs / digest.hex

    def has(self, digest: Digest) -> bool:
        """True if the content is stored."""
        return self.path(digest).is_file()

    def open(self, digest: Digest) -> BinaryIO:
        """Open stored content for reading; NotFound if it is not there. Not verified again."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as exc:
            raise errors.NotFound(f"content {digest}: not found") from exc
        except OSError as exc:
            raise errors.System(f"cannot read content {digest}: {exc.strerror}") from exc

    def read(self, digest: Digest) -> bytes:
        """Return stored content after verifying it; for small blobs."""
        with self.open(digest) as stream:
            content = stream.read()
        digest.verify(content, "stored content")
        return content

    @contextlib.contextmanager
    def ingest(self) -> Iterator[Ingest]:
        """Take in new content; what is not committed when the context ends is removed."""
        path = self._layout.ingest / secrets.token_hex(16)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise errors.System(f'cannot create "{path}": {exc.strerror}') from exc
        try:
            yield Ingest(self._layout, path, fd)
        finally:
            os.close(fd)
            path.unlink(missing_ok=True)  # gone already if it was committed

    def put(self, data: bytes) -> Digest:
        """Store `data`; return its digest."""
        with self.ingest() as ingest:
            ingest.write(data)
            return ingest.commit()

    def delete(self, digest: Digest) -> None:
        """Remove content; absent is fine."""
        try:
            self.path(digest).unlink(missing_ok=True)
        except OSError as exc:
            raise errors.System(f"cannot remove content {digest}: {exc.strerror}") from exc

    def digests(self) -> set[Digest]:
        """Return the digests of everything stored."""
        names = (entry.name for entry in self._layout.blobs.iterdir())
        return {Digest(name) for name in names if _HEX.fullmatch(name)}
