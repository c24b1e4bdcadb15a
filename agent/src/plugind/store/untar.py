# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Extract a layer below a root that it cannot leave.

    for each entry
    |-- name      no `..`, no NUL, absolute means from the root; limits on depth and length
    |-- parent    looked up inside the root (see rootdir); the last component is never followed
    |-- whiteout  `.wh.x` removes x, `.wh..wh..opq` empties its directory, of lower layers' content
    |-- create    in place of what was there; a directory over a directory is kept and merged
    `-- restore   content, owner, mode (after the owner: chown clears setuid), xattrs, times
    at the end    times of directories, which their content has changed

Device nodes are made as the layer asks, as Docker does: a plugin cannot open one that its device
rules do not allow. The device 0:0 is refused, because overlayfs reads it as "deleted". Of extended
attributes, `security.capability` and `user.*` are kept; others would speak to the host's kernel.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from plugind import errors, log
from plugind.host import fs
from plugind.store import rootdir, tarentry
from plugind.store.limits import Limits
from plugind.store.rootdir import Parts
from plugind.store.tarentry import Entry
from plugind.store.tarstream import TarReader
from plugind.store.writeback import Writeback

T = TypeVar("T")
CHUNK = 256 * 1024
_WHITEOUT = b".wh."
_META = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICES = {tarentry.CHARACTER: stat.S_IFCHR, tarentry.BLOCK_DEVICE: stat.S_IFBLK}


def extract_layer(stream: BinaryIO, root: Path, *, limits: Limits | None = None) -> None:
    """Extract the uncompressed tar `stream` below `root`. Not synced: see `fs.sync_tree`."""
    extract_chunks(read_chunks(stream), root, limits=limits or Limits())


def extract_chunks(chunks: Iterable[bytes], root: Path, *, limits: Limits) -> None:
    """Extract an uncompressed tar archive that arrives in chunks of any size."""
    reader = TarReader(chunks, limits)
    with Extractor(root, limits) as extractor:
        for entry in reader:
            extractor.add(entry, reader.pieces())
        extractor.finish()


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what `stream` holds."""
    while chunk := stream.read(CHUNK):
        yield chunk


class Extractor:
    """Puts the entries of one layer below one root."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._limits = limits
        self._root = rootdir.RootDir(root, limits.depth)
        # What this layer has put in place, and the directories above: its own whiteouts spare it.
        self._own: set[Parts] = set()
        self._directory_times: dict[Parts, int] = {}
        # Only root may give files away. Without (unit tests) everything is the caller's own.
        self._chown = os.geteuid() == 0
        self._unsupported: set[str] = set()
        self._writeback = Writeback(self._root.fd)
        # Something was removed, so descriptors kept by `_root` may be of directories that are gone.
        self._stale = False

    def __enter__(self) -> Extractor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writeback.join()
        self._root.__exit__(kind, value, trace)

    def add(self, entry: Entry, pieces: Iterator[memoryview]) -> None:
        """Extract one entry; `pieces` yields its content if it is a file."""
        parts = self._path(entry.name, entry.name)
        if self._stale:
            self._root.forget()
            self._stale = False
        try:
            if not parts:
                self._add_root(entry)
            elif any(part.startswith(_META) and part != _OPAQUE for part in parts):
                return  # bookkeeping of aufs, which Docker skips as well
            elif any(part.startswith(_WHITEOUT) for part in parts[:-1]):
                raise _hostile(entry.name, "a whiteout stands where a directory should")
            elif parts[-1].startswith(_WHITEOUT):
                self._whiteout(parts)
            else:
                parent, canonical = self._root.directory(parts[:-1], create=True)
                self._create(entry, parent, (*canonical, parts[-1]), pieces)
                self._remember((*canonical, parts[-1]))
        except OSError as exc:
            shown = tarentry.show(entry.name)
            if entry.type == tarentry.HARDLINK:
                shown += f", a hard link to {tarentry.show(entry.link)}"
            if exc.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT, errno.ENAMETOOLONG):
                raise errors.HostileArchive(f"cannot extract {shown}: {exc.strerror}") from exc
            raise errors.System(f"cannot extract {shown}: {exc.strerror}") from exc

    def finish(self) -> None:
        """Set the times of directories, now that nothing changes them any more.

        System if the disk has failed to write what was extracted.
        """
        self._root.forget()
        for parts, when in self._directory_times.items():
            try:
                if not parts:
                    os.utime(self._root.fd, ns=(when, when))
                elif _is_directory(parent := self._root.open(parts[:-1]), parts[-1]):
                    os.utime(parts[-1], ns=(when, when), dir_fd=parent, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a later entry has replaced it
            except OSError as exc:
                shown = tarentry.show(b"/".join(parts))
                raise errors.System(f"cannot extract {shown}: {exc.strerror}") from exc
        self._writeback.finish()

    def _path(self, path: bytes, name: bytes) -> Parts:
        """Return the components of `path` in the entry `name`, or say what is wrong with it."""
        parts = tuple(rootdir.components(path))
        problem = None
        if not path:
            problem = "its name is empty"
        elif b".." in parts:
            problem = 'its path climbs with ".."'
        elif len(parts) > self._limits.depth:
            problem = f"it is nested deeper than {self._limits.depth}"
        elif len(path) > self._limits.path_bytes:
            problem = f"its path is longer than {self._limits.path_bytes} bytes"
        if problem:
            raise _hostile(name, problem)
        return parts

    # -- whiteouts ----------------------------------------------------------------------------

    def _whiteout(self, parts: Parts) -> None:
        opaque = parts[-1] == _OPAQUE
        hidden = b"." if opaque else parts[-1][len(_WHITEOUT) :]
        if not opaque and hidden in (b"", b".", b".."):
            raise _hostile(b"/".join(parts), "a whiteout of nothing")
        try:
            parent, canonical = self._root.directory(parts[:-1], create=False)
        except FileNotFoundError:
            return  # nothing there to hide
        if opaque:
            self._hide_lower(parent, hidden, canonical)
        elif (*canonical, hidden) not in self._own:
            self._remove(parent, hidden)
        elif _is_directory(parent, hidden):
            self._hide_lower(parent, hidden, (*canonical, hidden))

    def _hide_lower(self, parent: int, name: bytes, canonical: Parts) -> None:
        """Remove from a directory, at any depth, what this layer did not put there."""
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            for child in map(os.fsencode, os.listdir(fd)):
                if (*canonical, child) not in self._own:
                    self._remove(fd, child)
                elif _is_directory(fd, child):
                    self._hide_lower(fd, child, (*canonical, child))
        finally:
            os.close(fd)

    def _remember(self, canonical: Parts) -> None:
        while canonical and canonical not in self._own:
            self._own.add(canonical)
            canonical = canonical[:-1]

    # -- creating -----------------------------------------------------------------------------

    def _create(self, entry: Entry, parent: int, path: Parts, pieces: Iterator[memoryview]) -> None:
        name = path[-1]
        if entry.type == tarentry.REGULAR:
            fd = self._replacing(
                parent, name, lambda: os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
            )
            try:
                for piece in pieces:
                    fs.write_all(fd, piece)
                    self._writeback.wrote(len(piece))
                self._restore(fd, entry)
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(fd)
        elif entry.type == tarentry.DIRECTORY:
            self._create_directory(entry, parent, path)
        elif entry.type == tarentry.SYMLINK:
            self._require_link(entry)
            self._replacing(parent, name, lambda: os.symlink(entry.link, name, dir_fd=parent))
            self._restore_special(parent, name, entry)
        elif entry.type == tarentry.HARDLINK:
            self._create_hardlink(entry, parent, name)
        else:
            mode = _DEVICES.get(entry.type, stat.S_IFIFO) | 0o600
            device = os.makedev(*entry.device)
            if entry.type == tarentry.CHARACTER and device == 0:
                raise _hostile(entry.name, "device 0:0 is an overlayfs whiteout")
            self._replacing(parent, name, lambda: os.mknod(name, mode, device, dir_fd=parent))
            self._restore_special(parent, name, entry)

    def _create_directory(self, entry: Entry, parent: int, path: Parts) -> None:
        name = path[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not _is_directory(parent, name):
                self._remove(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._restore(fd, entry)
        finally:
            os.close(fd)
        self._directory_times[path] = entry.mtime_ns

    def _create_hardlink(self, entry: Entry, parent: int, name: bytes) -> None:
        self._require_link(entry)
        target = self._path(entry.link, entry.name)
        if not target:
            raise _hostile(entry.name, "a hard link to the root")
        source, _ = self._root.directory(target[:-1], create=False)
        found = os.stat(target[-1], dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            raise _hostile(entry.name, "a hard link to a directory")
        try:
            present = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            present = None
        if present is not None and os.path.samestat(present, found):
            return  # it is that link already; replacing it could remove the only name
        self._replacing(
            parent,
            name,
            lambda: os.link(
                target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
            ),
        )

    def _add_root(self, entry: Entry) -> None:
        if entry.type != tarentry.DIRECTORY:
            raise _hostile(entry.name, "the root must stay a directory")
        self._restore(self._root.fd, entry)
        self._directory_times[()] = entry.mtime_ns

    def _require_link(self, entry: Entry) -> None:
        if not 0 < len(entry.link) <= self._limits.path_bytes:
            raise _hostile(entry.name, f"a link target of {len(entry.link)} bytes")

    # -- replacing and restoring --------------------------------------------------------------

    def _replacing(self, parent: int, name: bytes, make: Callable[[], T]) -> T:
        """Call `make`, which creates `name`; if something is there already, remove that first."""
        try:
            return make()
        except FileExistsError:
            self._remove(parent, name)
            return make()

    def _remove(self, parent: int, name: bytes) -> None:
        fs.remove_at(parent, name)
        self._stale = True

    def _restore(self, fd: int, entry: Entry) -> None:
        """Owner, then mode, then attributes: chown clears setuid and security.capability."""
        if self._chown:
            os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        for name, value in entry.xattrs.items():
            if name == "security.capability" or name.startswith("user."):
                self._set_xattr(fd, name, value)

    def _set_xattr(self, fd: int, name: str, value: bytes) -> None:
        try:
            os.setxattr(fd, name, value)
        except OSError as exc:
            if exc.errno != errno.ENOTSUP and self._chown:
                raise
            # Docker goes on as well; a file system without them is the operator's choice.
            if name not in self._unsupported:
                log.warning("extended attribute not kept", name=name, cause=exc.strerror)
                self._unsupported.add(name)

    def _restore_special(self, parent: int, name: bytes, entry: Entry) -> None:
        """Owner, mode and times of what cannot be opened: links, devices, fifos."""
        if self._chown:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.type != tarentry.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=parent)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def _is_directory(parent: int, name: bytes) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _hostile(name: bytes, problem: str) -> errors.HostileArchive:
    return errors.HostileArchive(f"cannot extract {tarentry.show(name)}: {problem}")
