# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An image archive (`docker save`, an OCI layout) on disk, to be read in any order.

    tar stream -> decompress -> TarReader -> staging/<x>/0, 1, 2, ...     and  name -> file

What says which layers there are comes last in such a tar, so all of it is put aside first. Names of
the archive become keys of a dictionary and never paths: nothing in it can point anywhere. Links
are looked up among those keys (older docker save writes them for layers that are shared).
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from plugind import errors
from plugind.host import fs
from plugind.store import records, tarentry
from plugind.store.decompress import decompress
from plugind.store.layout import Layout
from plugind.store.limits import Limits
from plugind.store.tarentry import Entry
from plugind.store.tarstream import TarReader

MAX_ENTRIES = 10_000
MAX_DOCUMENT = 8 << 20
_MAX_LINKS = 8


class Archive:
    """The files of an archive by their names in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, Path] = {}
        self._links: dict[str, str] = {}
        self._taken = 0

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; InvalidParameter if the archive does not have it."""
        found = self._find(name)
        if found is None:
            raise errors.InvalidParameter(f'invalid archive: it has no "{name}"')
        return found.open("rb")

    def read(self, name: str) -> bytes:
        """Return a document; it has at most MAX_DOCUMENT bytes."""
        with self.open(name) as stream:
            content = stream.read(MAX_DOCUMENT + 1)
        if len(content) > MAX_DOCUMENT:
            raise errors.InvalidParameter(
                f'invalid archive: "{name}" has more than {MAX_DOCUMENT} bytes'
            )
        return content

    def add(self, entry: Entry, pieces: Iterable[memoryview]) -> None:
        """Take an entry in: a file or a link; directories are no content, others are refused."""
        name = _normal(entry.name)
        if entry.type == tarentry.DIRECTORY:
            return
        if entry.type in (tarentry.SYMLINK, tarentry.HARDLINK):
            base = posixpath.dirname(name) if entry.type == tarentry.SYMLINK else ""
            self._links[name] = _normal(entry.link, base)
            self._files.pop(name, None)
            return
        if entry.type != tarentry.REGULAR:
            raise errors.HostileArchive(f"cannot read {tarentry.show(entry.name)}: it is no file")
        path = self._directory / str(self._taken)
        self._taken += 1
        with path.open("xb") as file:
            for piece in pieces:
                file.write(piece)
        self._links.pop(name, None)
        self._files[name] = path

    def _find(self, name: str) -> Path | None:
        name = _normal(os.fsencode(name))
        for _ in range(_MAX_LINKS):
            if name not in self._links:
                return self._files.get(name)
            name = self._links[name]
        return None


@contextlib.contextmanager
def directory(layout: Layout) -> Iterator[Path]:
    """Give an empty directory for `stage`; it is removed when the context ends."""
    path = layout.staging / secrets.token_hex(16)
    with records.mapped_errors("stage an archive"):
        path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        fs.remove_tree(path)


def stage(chunks: Iterable[bytes], directory: Path, *, limits: Limits) -> Archive:
    """Put an archive's files below `directory`. Limits bound their bytes and their number."""
    archive = Archive(directory)
    reader = TarReader(decompress(chunks), limits)
    with records.mapped_errors("read the archive"):
        for count, entry in enumerate(reader):
            if count >= MAX_ENTRIES:
                raise errors.HostileArchive(
                    f"cannot read the archive: it has more than {MAX_ENTRIES} entries"
                )
            archive.add(entry, reader.pieces())
    return archive


def _normal(name: bytes, base: str = "") -> str:
    """Return a name without `.`, `..` and slashes that mean nothing; it is a key, no path."""
    joined = posixpath.join("/", base, os.fsdecode(name))
    return posixpath.normpath(joined).lstrip("/")
