# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One connection to a plugin's socket: a request out, an answer in, perhaps another request after.

    send -> receive_head -> chunks  --read to the end, and the plugin keeps it-->  reusable

Nothing is buffered ahead of the reader, so a stream that nobody reads makes the plugin wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from plugind.rpc import dial, http1

_RECEIVE = 64 * 1024
_MAX_LINE = 4096
_MAX_INTERIM = 16
# A flood arrives without any wait; others get their turn after so many receipts.
_TURN = 4
_SHORTEST, _LONGEST = 0.001, 0.1


class NotSentError(Exception):
    """The connection broke before the plugin could see anything of the request."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ClosedError(Exception):
    """The plugin closed the connection where an answer was due. `begun` if part of one came."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("closed")
        self.begun = begun


async def connect(path: Path) -> Connection:
    """Connect to the socket at `path`; NotSentError says why not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    delay = _SHORTEST
    try:
        while not _connects(sock, path):
            # The queue of connections is full: no event tells when it is shorter.
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST)
    except OSError as exc:
        sock.close()
        raise NotSentError(exc) from exc
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


class Connection:
    """A connected socket. Whoever holds it reads one answer at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._rest = bytearray()
        self._head: http1.Head | None = None
        self._complete = False
        self._receipts = 0
        self.answered = False

    @property
    def reusable(self) -> bool:
        """True if the last answer was read to its end, nothing follows it, and both keep it."""
        return (
            self._complete and self._head is not None and self._head.keeps_alive and not self._rest
        )

    def is_quiet(self) -> bool:
        """True if the plugin has neither closed the connection nor sent what nobody asked for."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close it. Safe to call twice."""
        self._sock.close()

    async def send(self, request: bytes) -> None:
        """Send a request; NotSentError if nothing of it went out."""
        self._head, self._complete = None, False
        try:
            sent = self._sock.send(request)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise NotSentError(exc) from exc
        if sent < len(request):
            await self._loop.sock_sendall(self._sock, memoryview(request)[sent:])

    async def receive_head(self) -> http1.Head:
        """Return the head of the answer; interim ones are passed over."""
        for _ in range(_MAX_INTERIM):
            seen = 0
            while (found := http1.split_head(self._rest, seen)) is None:
                seen = len(self._rest)
                if not await self._receive():
                    raise ClosedError(begun=bool(self._rest))
            block, end = found
            del self._rest[:end]
            head = http1.parse_head(block)
            if head.status >= 200:
                self._head, self.answered = head, True
                return head
            if head.status == 101:
                break
        raise http1.Broken("no answer after its interim ones")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the answer's body as it comes; ClosedError if it ends before its end."""
        assert self._head is not None  # noqa: S101  the head comes first
        match self._head.framing:
            case http1.Framing.LENGTH:
                async for piece in self._take(self._head.length):
                    yield piece
            case http1.Framing.CHUNKED:
                while size := http1.parse_chunk_size(await self._line()):
                    async for piece in self._take(size):
                        yield piece
                    if await self._line():
                        raise http1.Broken("a chunk that is longer than its size")
                await self._skip_trailers()
            case http1.Framing.CLOSE:
                async for piece in self._take_all():
                    yield piece
        self._complete = True

    async def _take(self, size: int) -> AsyncIterator[bytes]:
        while size:
            if not self._rest and not await self._receive():
                raise ClosedError(begun=True)
            piece = bytes(self._rest[:size])
            del self._rest[:size]
            size -= len(piece)
            yield piece

    async def _take_all(self) -> AsyncIterator[bytes]:
        # A plugin that closes without having read all of the request resets: the end as well.
        with contextlib.suppress(ConnectionResetError):
            while self._rest or await self._receive():
                piece = bytes(self._rest)
                self._rest.clear()
                yield piece

    async def _skip_trailers(self) -> None:
        left = http1.MAX_HEAD
        while line := await self._line():
            left -= len(line) + 1
            if left < 0:
                raise http1.Broken(f"trailers of more than {http1.MAX_HEAD} bytes")

    async def _line(self) -> bytes:
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > _MAX_LINE:
                raise http1.Broken(f"a line of more than {_MAX_LINE} bytes")
            if not await self._receive():
                raise ClosedError(begun=True)
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line.removesuffix(b"\r")

    async def _receive(self) -> bool:
        """Receive what there is, at least one byte; False at the end."""
        self._receipts += 1
        if self._receipts % _TURN == 0:
            await asyncio.sleep(0)
        received = await self._loop.sock_recv(self._sock, _RECEIVE)
        self._rest += received
        return bool(received)


def _connects(sock: socket.socket, path: Path) -> bool:
    """Connect, which a unix socket does at once; False if the plugin's queue is full."""
    try:
        with dial.address(path) as name:
            sock.connect(name)
    except BlockingIOError:
        return False
    return True
