# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The messages of one container, in a file: a JSON object on each line.

    {"time": "2026-01-02T03:04:05.000000006Z", "source": "stdout", "line": "hello"}

A line that is not UTF-8 is kept as "base64" instead of "line". A piece of a long line says
``"partial": true``, and which piece it is in "part". Whoever follows waits for an event.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import select
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from frames import Entry, Part

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000
TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
CHUNK = 1 << 16


# --- pure: lines ----------------------------------------------------------------------------------


def format_time(nanoseconds: int) -> str:
    """RFC 3339, with all nine digits, so that texts sort as times do."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return f"{(EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}Z"


def parse_time(value: str) -> int:
    """Nanoseconds since 1970 of a time in RFC 3339; ValueError for anything else."""
    found = TIME.fullmatch(value)
    if not found:
        raise ValueError(f"{value!r} is not a time")
    zone = "+00:00" if found[3] in "Zz" else found[3]
    moment = datetime.fromisoformat(found[1].upper() + zone)
    return (moment - EPOCH) // timedelta(seconds=1) * SECOND + int((found[2] or "0").ljust(9, "0"))


def encode_line(entry: Entry) -> bytes:
    """A message as a line of the file."""
    document: dict[str, object] = {"time": format_time(entry.time_nano), "source": entry.source}
    try:
        document["line"] = entry.line.decode()
    except UnicodeDecodeError:
        document["base64"] = base64.b64encode(entry.line).decode()
    if entry.partial:
        document["partial"] = True
    if entry.part is not None:
        document["part"] = asdict(entry.part)
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def decode_line(line: bytes) -> Entry | None:
    """A line of the file as a message; None for one that a full disk or a crash has cut off."""
    try:
        document = json.loads(line)
        text = document.get("line")
        content = base64.b64decode(document["base64"]) if text is None else text.encode()
        part = Part(**document["part"]) if "part" in document else None
        time = parse_time(document["time"])
        return Entry(document["source"], time, content, bool(document.get("partial")), part)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class Selection:
    """Which messages somebody wants to read."""

    since: int | None = None  # nanoseconds since 1970
    until: int | None = None
    tail: int = -1  # how many of the last ones; negative: all
    follow: bool = False

    def is_over(self, entry: Entry) -> bool:
        """Whether the message, and so every later one, is too late."""
        return self.until is not None and entry.time_nano > self.until

    def wants(self, entry: Entry) -> bool:
        """Whether the message is late enough."""
        return self.since is None or entry.time_nano >= self.since


# --- the file -------------------------------------------------------------------------------------


class Journal:
    """One container's file, who writes to it, and who follows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.writers = 0
        self.followers: set[int] = set()  # event file descriptors

    def add_writer(self) -> None:
        with self.lock:
            self.writers += 1

    def remove_writer(self) -> None:
        """Whoever follows has seen everything when the last writer has gone."""
        with self.lock:
            self.writers -= 1
            self.wake()

    def wake(self) -> None:
        """Tell those who follow; the caller holds `lock`."""
        for follower in self.followers:
            os.eventfd_write(follower, 1)

    def append(self, entries: list[Entry]) -> None:
        """Add messages, all or none; OSError if the disk does not take them."""
        content = b"".join(map(encode_line, entries))
        with self.lock:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    content = b"\n" + content  # after half a line, left by a crash of the machine
                if os.write(descriptor, content) != len(content):
                    os.ftruncate(descriptor, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
            self.wake()

    def read(self, wanted: Selection, client: socket.socket) -> Iterator[Entry]:
        """The messages there are; with follow, those to come until writer or client go."""
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with self.lock:
            self.followers.add(event)
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                yield from self.read_file(file, wanted, client, event)
            finally:
                os.close(file)
        finally:
            with self.lock:
                self.followers.discard(event)
                os.close(event)

    def read_file(
        self, file: int, wanted: Selection, client: socket.socket, event: int
    ) -> Iterator[Entry]:
        """The same, once everything is open."""
        poll = select.poll()
        poll.register(event, select.POLLIN)
        poll.register(client, select.POLLIN | select.POLLRDHUP)
        lines, first = Lines(file), True
        while True:
            last = not wanted.follow or self.writers == 0  # looked at before the file is
            entries: Iterator[Entry] = filter(wanted.wants, lines.entries(wanted))
            if first and wanted.tail >= 0:
                entries = iter(deque(entries, maxlen=wanted.tail))
            first = False
            yield from entries
            if last or lines.over:
                return
            if any(descriptor != event for descriptor, _events in poll.poll()):
                return
            os.eventfd_read(event)


class Lines:
    """Reads a growing file, whole line by whole line."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.rest = b""
        self.over = False  # a message was too late for the reader

    def entries(self, wanted: Selection) -> Iterator[Entry]:
        """The messages between here and the present end of the file."""
        while chunk := os.read(self.file, CHUNK):
            *lines, self.rest = (self.rest + chunk).split(b"\n")
            for line in lines:
                entry = decode_line(line)
                if entry is None:
                    continue
                if wanted.is_over(entry):
                    self.over = True
                    return
                yield entry
