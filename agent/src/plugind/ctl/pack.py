# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A plugin's data directory (`config.json` and `rootfs/`), or a tar of one, as content.

    compute_digest   what is in it: path, type, mode, owner, size, content, link targets, xattrs;
                     not when it was written, so a rebuild of the same files is the same content
    write_tar        the uncompressed tar that `POST /plugins/create` takes

Both read one sequence of members, sorted by path, so what was hashed is what is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from plugind import errors

CONFIG, ROOTFS = "config.json", "rootfs"
_CHUNK = 1 << 20
_XATTR = "SCHILY.xattr."


class Sink(Protocol):
    """What a tar is written to."""

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        ...


Member = tuple[tarfile.TarInfo, IO[bytes] | None]


def compute_digest(source: Path) -> str:
    """Return `sha256:<hex>` over everything that would be sent."""
    total = hashlib.sha256()
    with _open(source) as members:
        for info, content in members:
            digest = hashlib.sha256()
            if content is not None:
                while chunk := content.read(_CHUNK):
                    digest.update(chunk)
            xattrs = sorted((k, v) for k, v in info.pax_headers.items() if k.startswith(_XATTR))
            fields = (
                info.name, info.type, info.mode & 0o7777, info.uid, info.gid, info.size,
                info.linkname, info.devmajor, info.devminor, xattrs, digest.hexdigest(),
            )  # fmt: skip
            total.update(repr(fields).encode(errors="surrogateescape") + b"\n")
    return f"sha256:{total.hexdigest()}"


def write_tar(source: Path, sink: Sink, *, written: int = 0) -> None:
    """Write the tar to `sink`, in one pass. `written` is the rootfs directory's time."""
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        with _open(source) as members:
            for info, content in members:
                if info.name == ROOTFS:
                    info.mtime = written
                tar.addfile(info, content)


def read_config(source: Path) -> bytes:
    """Return the content of config.json."""
    with _open(source) as members:
        for info, content in members:
            if info.name == CONFIG and content is not None:
                return content.read()
    raise errors.InvalidParameter(f'cannot build from "{source}": there is no {CONFIG} in it')


@contextlib.contextmanager
def _open(source: Path) -> Iterator[Iterator[Member]]:
    """Open a directory or a tar; InvalidParameter says why it cannot be one of a plugin."""
    try:
        if source.is_dir():
            if not (source / CONFIG).is_file() or not (source / ROOTFS).is_dir():
                raise errors.InvalidParameter(
                    f'cannot build from "{source}": want {CONFIG} and {ROOTFS}/ in it'
                )
            yield _walk(source)
        else:
            with tarfile.open(source) as tar:
                yield _read(tar)
    except (OSError, tarfile.TarError) as exc:
        raise errors.InvalidParameter(f'cannot build from "{source}": {exc}') from exc


def _walk(source: Path) -> Iterator[Member]:
    # gettarinfo() of one TarFile sees hard links, and keeps device numbers.
    with open(os.devnull, "wb") as nowhere, tarfile.open(fileobj=nowhere, mode="w") as tar:
        for path in (source / CONFIG, *_below(source / ROOTFS)):
            info = tar.gettarinfo(path, arcname=path.relative_to(source).as_posix())
            if info is None:
                raise errors.InvalidParameter(f'cannot build from "{source}": {path} is a socket')
            info.pax_headers = _xattrs(path)
            _anonymise(info)
            if info.isreg():
                with path.open("rb") as content:
                    yield info, content
            else:
                yield info, None


def _below(directory: Path) -> Iterator[Path]:
    """Yield `directory` and everything in it, sorted; links are not followed."""
    yield directory
    with os.scandir(directory) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _below(path)
        else:
            yield path


def _read(tar: tarfile.TarFile) -> Iterator[Member]:
    for info in tar:
        info.name = os.path.normpath(info.name)
        if info.name != CONFIG and info.name.partition("/")[0] != ROOTFS:
            continue
        if info.islnk():
            info.linkname = os.path.normpath(info.linkname)
        info.pax_headers = {k: v for k, v in info.pax_headers.items() if k.startswith(_XATTR)}
        _anonymise(info)
        yield info, tar.extractfile(info) if info.isreg() else None


def _anonymise(info: tarfile.TarInfo) -> None:
    """Drop what says when and by whom, so that equal content gives equal bytes."""
    info.mtime = 0
    info.uname = info.gname = ""


def _xattrs(path: Path) -> dict[str, Any]:
    """Read extended attributes (file capabilities) as the tar's pax records."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}  # the filesystem has none
    return {
        _XATTR + name: os.getxattr(path, name, follow_symlinks=False).decode(
            "utf-8", "surrogateescape"
        )
        for name in sorted(names)
        if name.startswith(("security.capability", "user."))
    }
