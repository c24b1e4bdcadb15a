# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container's output from its log, byte for byte: conmon marks lines that it had to split.

<rfc3339nano> stdout P half a li     no line end follows
<rfc3339nano> stdout F ne            a line end does
"""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugind.engine import logs
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.context import Engine
from plugind.host import inotify
from plugind.model.containers.container import ContainerState

# conmon writes the host's local time, with its offset.
_LINE = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d:\d\d|Z) (stdout|stderr) ([FP]) (.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to read. `since` and `until` are Unix time in nanoseconds, `tail` a number of lines."""

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False
    follow: bool = False
    tail: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class _Record:
    time: str
    stream: int
    whole: bool
    text: bytes

    @property
    def time_ns(self) -> int:
        """When it was written, as Unix time in nanoseconds."""
        seconds, _, fraction = self.time.removesuffix("Z").partition(".")
        moment = datetime.datetime.fromisoformat(f"{seconds}+00:00")
        return int(moment.timestamp()) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))


async def read(
    engine: Engine, entry: ContainerEntry, wanted: Wanted
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield (1 or 2, data), from what is kept, and with `follow` until the container ends."""
    path = engine.log_path(entry.container.id)
    ended = entry.ended if entry.container.state.running else None
    lines, offset = await asyncio.to_thread(logs.kept_lines, path)
    kept = [one for one in map(_parse, lines) if one is not None and _passes(one, wanted)]
    starts_line = True
    for record in _last(kept, wanted.tail):
        yield record.stream, _render(record, wanted, starts_line=starts_line)
        starts_line = record.whole
    if not wanted.follow or ended is None:
        return
    async for line in _follow(path, offset, ended):
        new = _parse(line)
        if new is None:
            continue
        if wanted.until_ns is not None and new.time_ns > wanted.until_ns:
            return
        if _passes(new, wanted):
            yield new.stream, _render(new, wanted, starts_line=starts_line)
            starts_line = new.whole


async def _follow(
    path: Path, offset: int, ended: asyncio.Future[ContainerState]
) -> AsyncIterator[bytes]:
    """Yield lines as they are written, and those that the end leaves."""
    reader = logs.Reader(path, offset)
    over = asyncio.shield(ended)
    with inotify.watch(path.parent) as changes:
        while True:
            last = over.done()
            for line in reader.lines():
                yield line
            if last:
                return
            change = asyncio.ensure_future(changes.wait_for(path.name))
            either: list[asyncio.Future[Any]] = [change, over]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                change.cancel()
                await asyncio.wait([change])


def _parse(line: bytes) -> _Record | None:
    """Return a line of conmon's, None if it is something else."""
    found = _LINE.fullmatch(line.rstrip(b"\n"))
    if found is None:
        return None
    moment, offset, stream, whole, text = found.groups()
    time = _utc(moment.decode("ascii"), offset.decode("ascii"))
    return _Record(time, 1 if stream == b"stdout" else 2, whole == b"F", text)


def _utc(moment: str, offset: str) -> str:
    """Return RFC 3339 in UTC; nanoseconds are kept, which Python's own times have not."""
    seconds, dot, fraction = moment.partition(".")
    if offset not in ("Z", "+00:00"):
        local = datetime.datetime.fromisoformat(seconds + offset)
        seconds = f"{local.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%S}"
    return f"{seconds}{dot}{fraction}Z"


def _passes(record: _Record, wanted: Wanted) -> bool:
    if not (wanted.stdout if record.stream == 1 else wanted.stderr):
        return False
    if wanted.since_ns is not None and record.time_ns < wanted.since_ns:
        return False
    return wanted.until_ns is None or record.time_ns <= wanted.until_ns


def _last(records: list[_Record], lines: int | None) -> list[_Record]:
    """Return the records that make up the last lines."""
    if lines is None:
        return records
    start = len(records)
    while start > 0 and (lines > 0 or not records[start - 1].whole):
        start -= 1
        # A line ends where the record before it is whole.
        if start == 0 or records[start - 1].whole:
            lines -= 1
        if lines <= 0 and (start == 0 or records[start - 1].whole):
            break
    return records[start:] if lines <= 0 or start == 0 else records


def _render(record: _Record, wanted: Wanted, *, starts_line: bool) -> bytes:
    return (
        (record.time.encode() + b" " if wanted.timestamps and starts_line else b"")
        + record.text
        + (b"\n" if record.whole else b"")
    )
