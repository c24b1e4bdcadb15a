# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""linelog: a log driver that writes JSON lines, a file for each container, and reads them back.

For each container the engine makes a fifo, tells us its path, and writes frames into it:

    engine --frames--> fifo --Reader--> Journal --> ROOT/<container>.jsonl
                                                --> ReadLogs, as frames again

The engine says so once. It does not notice when this process is restarted, while the containers go
on writing until the fifo is full, and then stand still. So which fifos there are is written down, and
they are opened again at the start.

A process that was killed may have taken half a frame with it. What follows looks like garbage; it is
thrown away until the fifo is empty, which is the end of a frame, since engines write frames in one
piece. A full disk costs messages and not the container's life: they are counted, and said.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import statefile
from frames import BadFrame, Entry, Framer, encode_frame
from journal import Journal, Selection, parse_time
from pluginserver import (
    Arguments,
    DriverError,
    Method,
    Refused,
    Service,
    Stream,
    complain,
    hold_signals,
    log,
    mapping,
    run,
    serve,
    text,
)

SOCKET = Path("/run/docker/plugins/linelog.sock")
FIFOS = Path("/run/docker/logging")
ROOT = Path("/logs")  # propagatedMount in config.json
FORMAT = 1
CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
CHUNK = 1 << 16  # what a fifo holds


class Reader:
    """The thread that empties one fifo into a journal."""

    def __init__(self, fifo: Path, journal: Journal, ended: Callable[[Path], None]) -> None:
        self.fifo = fifo
        self.journal = journal
        self.ended = ended  # called when the engine has gone without a word
        # Not blocking: whoever opens a fifo without a writer waits for one, else.
        self.file = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISFIFO(os.fstat(self.file).st_mode):
            os.close(self.file)
            raise DriverError(f"cannot read {fifo}: not a fifo")
        self.wake = os.eventfd(0, os.EFD_CLOEXEC)
        self.framer = Framer()
        self.lost = 0  # messages that the disk did not take
        self.thread = threading.Thread(target=self.run, daemon=True)
        journal.add_writer()

    def stop(self) -> None:
        """Read what is in the fifo, and end. Returns when that is done. Once, by its owner."""
        os.eventfd_write(self.wake, 1)
        self.thread.join()
        os.close(self.wake)

    def run(self) -> None:
        """Wait for bytes, for `stop`, or for the end of the last writer."""
        poll = select.poll()
        poll.register(self.file, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        try:
            stopping, gone = False, False
            while not stopping and not gone:
                stopping = any(descriptor == self.wake for descriptor, _events in poll.poll())
                gone = self.drain()
        finally:
            os.close(self.file)
            self.journal.remove_writer()
        if not stopping:
            self.ended(self.fifo)

    def drain(self) -> bool:
        """Read until the fifo is empty; returns whether nobody can write to it any more."""
        lost = 0
        try:
            while chunk := os.read(self.file, CHUNK):
                lost = lost + len(chunk) if lost else self.take(chunk)
        except BlockingIOError:
            return False
        finally:
            if lost:
                complain(f"{self.fifo.name}: {lost} bytes thrown away: not frames")
        return True

    def take(self, chunk: bytes) -> int:
        """Write down the messages in these bytes; returns how many bytes were no messages."""
        entries: list[Entry] = []
        bad = 0
        try:
            for entry in self.framer.feed(chunk):
                entries.append(entry)  # noqa: PERF402 - those before a bad one count
        except BadFrame:
            bad = self.framer.reset()
        if entries:
            self.write(entries)
        return bad

    def write(self, entries: list[Entry]) -> None:
        """To the journal, or into nothing: a container must not stand still for a full disk."""
        try:
            self.journal.append(entries)
        except OSError as error:
            if not self.lost:
                complain(f"cannot write to {self.journal.path}: {error}")
            self.lost += len(entries)
            return
        if self.lost:
            complain(f"{self.journal.path}: {self.lost} messages were lost")
            self.lost = 0


def container_id(arguments: Arguments) -> str:
    """Whose log it is; it becomes the name of a file."""
    value = mapping(arguments, "Info").get("ContainerID")
    if not isinstance(value, str) or not CONTAINER.fullmatch(value):
        raise Refused(400, "cannot read the request: Info.ContainerID is missing")
    return value


def selection(arguments: Arguments) -> Selection:
    """ReadLogs' Config. The year 1 is what Go sends for a time that is not set."""
    config = mapping(arguments, "Config")
    times: dict[str, int | None] = {}
    for key in ("Since", "Until"):
        value = config.get(key)
        try:
            unset = value is None or value == "" or str(value).startswith("0001-01-01T00:00:00")
            times[key.lower()] = None if unset else parse_time(str(value))
        except ValueError as error:
            raise Refused(400, f"cannot read the request: {key}: {error}") from None
    tail = config.get("Tail", -1)
    if not isinstance(tail, int):
        raise Refused(400, "cannot read the request: Tail is not a number")
    return Selection(tail=tail, follow=bool(config.get("Follow")), **times)


def finish(entry: Entry) -> Entry:
    """A message as it is read back. Lines come without their ends, and are expected with them."""
    ends = not entry.partial or (entry.part is not None and entry.part.last)
    return replace(entry, line=entry.line + b"\n") if ends else entry


class LineLog:
    """The methods of the protocol."""

    def __init__(self, root: Path, fifos: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.fifos = fifos
        self.file = root / "streams.json"
        self.lock = threading.Lock()
        self.streams: dict[str, str] = {}  # name of the fifo -> container
        self.readers: dict[str, Reader] = {}
        self.journals: dict[str, Journal] = {}
        for name, container in statefile.load(self.file, FORMAT).get("streams", {}).items():
            self.streams[str(name)] = str(container)

    def resume(self) -> int:
        """Open the fifos again that were in use; returns how many there are."""
        with self.lock:
            for name, container in list(self.streams.items()):
                try:
                    self.read_fifo(name, container)
                except (OSError, DriverError) as error:
                    log(f"Forgetting {name}: {error}")
                    del self.streams[name]
            self.save()
            return len(self.readers)

    def start(self, arguments: Arguments) -> dict[str, Any]:
        name, container = self.fifo_name(arguments), container_id(arguments)
        with self.lock:
            if name in self.readers:
                return {}  # an engine that lost our answer asks again
            self.streams[name] = container
            try:
                self.save()
                self.read_fifo(name, container)
            except (DriverError, OSError) as error:
                with contextlib.suppress(OSError):
                    self.forget(name)
                raise DriverError(f"cannot log container {container}: {error}") from None
        return {}

    def stop(self, arguments: Arguments) -> dict[str, Any]:
        """The engine deletes the fifo when we answer, so nothing may be left in it."""
        name = self.fifo_name(arguments)
        with self.lock:
            reader = self.readers.pop(name, None)
        if reader is not None:
            reader.stop()
        with self.lock:
            self.forget(name)
        return {}

    def read(self, arguments: Arguments) -> Stream:
        container, wanted = container_id(arguments), selection(arguments)
        path = self.root / f"{container}.jsonl"
        with self.lock:
            if container not in self.streams.values() and not path.exists():
                raise DriverError(f"no log of container {container}")
            journal = self.journal(container)

        def frames(client: socket.socket) -> Iterator[bytes]:
            with contextlib.closing(journal.read(wanted, client)) as entries:
                for entry in entries:
                    yield encode_frame(finish(entry))

        return frames

    def close(self) -> None:
        """Read what is there. The streams stay written down, for the next life."""
        with self.lock:
            readers, self.readers = self.readers, {}
        for reader in readers.values():
            reader.stop()

    def fifo_name(self, arguments: Arguments) -> str:
        """The last part of File; the rest must be where fifos are."""
        path = Path(text(arguments, "File"))
        if path.parent != self.fifos or not CONTAINER.fullmatch(path.name):
            raise DriverError(f"cannot read {str(path)!r}: not in {self.fifos}")
        return path.name

    def read_fifo(self, name: str, container: str) -> None:
        """Start a thread for a fifo; the caller holds `lock`."""
        reader = Reader(self.fifos / name, self.journal(container), self.ended)
        self.readers[name] = reader
        reader.thread.start()

    def ended(self, fifo: Path) -> None:
        """An engine that has gone without a word makes new fifos when it comes back."""
        log(f"{fifo.name}: the engine has gone")
        with self.lock:
            reader = self.readers.pop(fifo.name, None)
            self.forget(fifo.name)
        if reader is not None:  # else `stop` has it
            os.close(reader.wake)

    def forget(self, name: str) -> None:
        """A stream is over; the caller holds `lock`."""
        if self.streams.pop(name, None) is not None:
            self.save()

    def journal(self, container: str) -> Journal:
        """The one journal of a container; the caller holds `lock`."""
        if container not in self.journals:
            self.journals[container] = Journal(self.root / f"{container}.jsonl")
        return self.journals[container]

    def save(self) -> None:
        """Write the streams down; the caller holds `lock`."""
        statefile.save(self.file, {"format": FORMAT, "streams": self.streams})


def log_service(driver: LineLog) -> Service:
    """The protocol's methods."""

    def capabilities(_arguments: Arguments) -> dict[str, Any]:
        return {"Cap": {"ReadLogs": True}}

    methods: dict[str, Method] = {
        "LogDriver.StartLogging": driver.start,
        "LogDriver.StopLogging": driver.stop,
        "LogDriver.Capabilities": capabilities,
        "LogDriver.ReadLogs": driver.read,
    }
    return Service(("LogDriver",), methods, quiet=frozenset({"LogDriver.Capabilities"}))


def main() -> int:
    """Serve until told to stop."""
    hold_signals()  # before the threads that read
    try:
        driver = LineLog(ROOT, FIFOS)
        log(f"Found {driver.resume()} streams on startup")
        serve(log_service(driver), SOCKET, driver.close)
    except (statefile.BrokenState, OSError) as error:
        complain(f"linelog: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
