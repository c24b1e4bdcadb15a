# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The streams of a container, for the operator's client: standard library only.

    attached = ctl_attach.Attached(url, container, stdin=b"...", limit=16 << 20)   # before its start
    attached.reading.outcome(timeout)      # until it ends
    attached.stdout, attached.stderr       # what there is of them, at any time

An attach is a POST whose connection becomes a raw one (`101 UPGRADED`). Without a terminal what
comes is frames: a byte that names the stream, three of zero, four of length, big-endian.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from plugind.ctl import http as ctl_http

_HEADER = struct.Struct(">BxxxL")
_CHUNK = 64 * 1024
STDOUT, STDERR, SYSTEM_ERROR = 1, 2, 3
T = TypeVar("T")


class TooMuch(Exception):
    """A stream has more than its limit."""


class BrokenOff(Exception):
    """The output ended in the middle, or is not what an engine sends."""


class Lost(Exception):
    """The engine did not say how the container ended."""


class Background(threading.Thread, Generic[T]):
    """One blocking call in a thread of its own; nothing waits for it when the process ends."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._value: T
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Make the call."""
        try:
            self._value = self._work()
        except Exception as exc:  # noqa: BLE001 - it is raised again where somebody waits
            self._error = exc

    def outcome(self, timeout: float | None) -> T:
        """Return what it returned, or raise what it raised; TimeoutError if it still runs."""
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value


class _Call:
    """A POST whose answer is read in the background."""

    def __init__(self, url: str, path: str, headers: Mapping[str, str]) -> None:
        self._connection = ctl_http.connect(url)
        # http.client lets go of it when the answer says that it is the last one.
        self._socket: socket.socket = self._connection.sock
        try:
            self._answer = ctl_http.open_answer(self._connection, "POST", path, headers)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """End the connection; whoever still reads or writes comes to an end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self.threads():
            thread.join()
        self._answer.close()
        self._connection.close()

    def threads(self) -> Iterable[threading.Thread]:
        """Return those that use the connection."""
        raise NotImplementedError


class Attached(_Call):
    """A container's output as it comes, and its input on the way there."""

    def __init__(self, url: str, container: str, *, stdin: bytes | None, limit: int) -> None:
        wanted = "stream=1&stdout=1&stderr=1" + ("" if stdin is None else "&stdin=1")
        path = f"/containers/{container}/attach?{wanted}"
        super().__init__(url, path, {"Connection": "Upgrade", "Upgrade": "tcp"})
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._limit = limit
        self._stdin = stdin
        self.reading = Background(self._read)
        self._writing = Background(self._write)

    def threads(self) -> Iterable[threading.Thread]:
        """Return the reader and the writer."""
        return self.reading, self._writing

    def _write(self) -> None:
        if self._stdin is None:
            return
        # A command need not read what it is given.
        with contextlib.suppress(OSError):
            self._socket.sendall(self._stdin)
            self._socket.shutdown(socket.SHUT_WR)

    def _read(self) -> None:
        """Sort frames into streams until the end."""
        while header := self._exactly(_HEADER.size):
            stream, size = _HEADER.unpack(header)
            if stream == SYSTEM_ERROR:
                text = self._exactly(min(size, _CHUNK)).decode(errors="replace").strip()
                raise BrokenOff(f"the engine says: {text}")
            if stream not in (STDOUT, STDERR):
                raise BrokenOff(f"the engine sent no frames: they do not begin with {stream}")
            name, kept = ("stdout", self.stdout) if stream == STDOUT else ("stderr", self.stderr)
            while size:
                piece = self._piece(size)
                if not piece:
                    raise BrokenOff(f"{name} ended in the middle of a frame")
                if len(kept) + len(piece) > self._limit:
                    raise TooMuch(f"{name} has more than {self._limit} bytes")
                kept += piece
                size -= len(piece)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count and (piece := self._piece(count - len(found))):
            found += piece
        if found and len(found) < count:
            raise BrokenOff("the output ended in the middle of a frame")
        return found

    def _piece(self, most: int) -> bytes:
        try:
            # Not `answer.read`: to http.client an answer that switches protocols has no body.
            return self._answer.fp.read1(min(most, _CHUNK))
        except ConnectionResetError:
            # The other end closed without having read all input, which is its right.
            return b""
        except OSError as exc:
            raise BrokenOff(f"the connection broke: {exc}") from exc


class Ending(_Call):
    """The answer that a container's end will be. Asked before its start, so that it is not missed."""

    def __init__(self, url: str, container: str) -> None:
        # The engine sends its headers at once, and the rest when the container is removed.
        super().__init__(url, f"/containers/{container}/wait?condition=removed", {})
        self.waiting = Background(self._read)

    def threads(self) -> Iterable[threading.Thread]:
        """Return the one that waits."""
        return (self.waiting,)

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._answer.read())
        except (OSError, http.client.HTTPException, ValueError) as exc:
            cause = str(exc) or type(exc).__name__
            raise Lost(f"the connection broke: {cause}") from exc
        if not isinstance(found, dict) or not isinstance(found.get("StatusCode"), int):
            raise Lost("the engine did not say how the command ended")
        return found
