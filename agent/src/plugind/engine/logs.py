# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Plugin output: written by conmon in CRI format, followed into the daemon log, kept and bounded.

    <logs>/<id>.log      `<rfc3339nano> stdout|stderr F|P <text>`, a line each
    <logs>/<id>.log.1    what was before the last rotation

conmon writes the file, so nothing is lost while the agent is away. The agent follows it through
inotify, and rotates it by rename once it is larger than `log_max_bytes`.

What a plugin prints may hold its secrets. As soon as the agent has read a line it writes `*` over
them, in the file itself: later, after a restart of the agent, it would not know them any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from plugind import log
from plugind.engine import lookup
from plugind.engine.context import Engine, Entry
from plugind.host import inotify
from plugind.model import secrets
from plugind.model.secrets import MASK

_CHUNK = 256 * 1024
#: What was written over a secret is as long as it was, and is shown as any other mask.
_STARS = re.compile(r"\*{4,}")


def parse_line(line: bytes) -> tuple[str, str, str]:
    """Split a CRI line into (time, stream, text)."""
    parts = line.decode("utf-8", "replace").split(" ", 3)
    if len(parts) < 4 or parts[1] not in ("stdout", "stderr"):
        return "", "stdout", line.decode("utf-8", "replace")
    return parts[0], parts[1], parts[3]


def last_lines(path: Path, start: int, count: int) -> tuple[str, ...]:
    """Return the text of the last `count` lines written after offset `start`."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(start, size - _CHUNK) if size >= start else 0)
            lines = file.read(_CHUNK).splitlines()
    except FileNotFoundError:
        return ()
    return tuple(_STARS.sub(MASK, parse_line(line)[2]) for line in lines[-count:])


def follow_output(engine: Engine, entry: Entry, offset: int) -> None:
    """Copy the plugin's output, from `offset` on, into the daemon log until `end_output`."""
    entry.output = asyncio.create_task(
        _copy(engine, entry.plugin.id, offset), name=f"output {entry.plugin.name}"
    )


async def end_output(entry: Entry) -> None:
    """Stop following, after what was written so far has been copied."""
    task, entry.output = entry.output, None
    if task is not None:
        task.cancel()
        # Not `await task`: that could not tell its cancellation from our own.
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            log.error("cannot follow output", exc=task.exception(), plugin=entry.plugin.id)


async def read(
    engine: Engine, text: str, *, tail: int | None, follow: bool
) -> AsyncIterator[bytes]:
    """Yield the plugin's output, a line each: time, stream and text.

    `tail` is how many of the kept lines to start with (None: all).
    """
    plugin = lookup.find(engine, text)
    path = engine.log_path(plugin.id)
    # The offset is taken before the lines are read, so that none falls between.
    kept = await asyncio.to_thread(kept_lines, path, tail)
    lines, offset = kept
    for line in lines:
        yield _redact(engine, line)
    if follow:
        async for line in _follow(path, offset):
            yield _redact(engine, line) + b"\n"


def kept_lines(path: Path, tail: int | None = None) -> tuple[list[bytes], int]:
    """Return the last lines that are kept (None: all), and the offset behind them. Blocking."""
    content = b""
    offset = 0
    for part in (_rotated(path), path):
        with contextlib.suppress(FileNotFoundError):
            piece = part.read_bytes()
            content += piece
            offset = len(piece) if part is path else 0
    end = content.rfind(b"\n") + 1
    offset = max(0, offset - (len(content) - end))
    lines = content[:end].splitlines(keepends=True)
    return (lines if tail is None else lines[-tail:] if tail else []), offset


async def _copy(engine: Engine, plugin_id: str, offset: int) -> None:
    path = engine.log_path(plugin_id)
    reader = Reader(path, offset, lambda line: _cover_in_place(engine, line))
    try:
        async for line in _follow(path, offset, reader):
            _emit(engine, plugin_id, line)
            if reader.size > engine.options.log_max_bytes:
                # Lines of the old file may still come; they are no reason to rotate the new one.
                reader.size = 0
                await _rotate(engine, plugin_id, path)
    except asyncio.CancelledError:
        for line in reader.lines():
            _emit(engine, plugin_id, line)
        raise
    except OSError as exc:
        log.error(f"cannot follow the plugin's output: {exc}", plugin=plugin_id)


def _redact(engine: Engine, line: bytes) -> bytes:
    """Return a line without the secrets that are known; other bytes stay what they are."""
    text = line.decode("utf-8", "surrogateescape")
    return _STARS.sub(MASK, engine.redact(text)).encode("utf-8", "surrogateescape")


def _cover_in_place(engine: Engine, line: bytes) -> bytes:
    """Return the line, as long as before, with `*` in the place of secrets."""
    text = line.decode("utf-8", "surrogateescape")
    covered = engine.redact(text, secrets.cover_in_place)
    return line if covered == text else covered.encode("utf-8", "surrogateescape")


def _emit(engine: Engine, plugin_id: str, line: bytes) -> None:
    _, stream, text = parse_line(line)
    write = log.error if stream == "stderr" else log.info
    write(engine.redact(text), plugin=plugin_id)


async def _rotate(engine: Engine, plugin_id: str, path: Path) -> None:
    """Rename, then let conmon open a new file; what it writes in between goes to the old one."""
    await asyncio.to_thread(os.replace, path, _rotated(path))
    await engine.runtime.reopen_log(plugin_id)


def _rotated(path: Path) -> Path:
    return path.with_suffix(".log.1")


async def _follow(path: Path, offset: int, reader: Reader | None = None) -> AsyncIterator[bytes]:
    """Yield complete lines as they are written; goes over to the new file after a rotation."""
    reader = reader or Reader(path, offset)
    with inotify.watch(path.parent) as changes:
        while True:
            for line in reader.lines():
                yield line
            await changes.wait_for(path.name)


class Reader:
    """Reads lines from a file that grows and may be replaced by rename."""

    def __init__(
        self, path: Path, offset: int, cover: Callable[[bytes], bytes] | None = None
    ) -> None:
        self._path = path
        self._cover = cover
        self._offset = offset
        self._inode: int | None = None
        self._rest = b""
        self.size = 0

    def lines(self) -> Iterator[bytes]:
        """Yield the complete lines that were added since the last call."""
        if self._inode is not None and self._replaced():
            yield from self._read(_rotated(self._path))
            self._offset, self._inode = 0, None
        yield from self._read(self._path)

    def _replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False

    def _read(self, path: Path) -> Iterator[bytes]:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            status = os.fstat(file.fileno())
            if path == self._path:
                self._inode = status.st_ino
                self.size = status.st_size
            if status.st_size < self._offset:
                self._offset = 0  # truncated by conmon's own limit
            file.seek(self._offset)
            while chunk := file.read(_CHUNK):
                start = self._offset - len(self._rest)
                self._offset += len(chunk)
                *complete, self._rest = (self._rest + chunk).split(b"\n")
                for line in complete:
                    if self._cover is not None:
                        self._write_over(path, status, start, line, self._cover(line))
                    start += len(line) + 1
                    yield line

    def _write_over(
        self, path: Path, read: os.stat_result, start: int, line: bytes, covered: bytes
    ) -> None:
        """Write `covered` over the line it was made of, in the file that was read."""
        if covered == line or len(covered) != len(line):
            return
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                # Unless conmon has begun anew meanwhile: then the line is gone anyway.
                if os.fstat(fd).st_ino == read.st_ino and os.pread(fd, len(line), start) == line:
                    os.pwrite(fd, covered, start)
            finally:
                os.close(fd)
