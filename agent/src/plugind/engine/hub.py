# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One run's output for everybody who is attached, and their input for it.

    conmon --> Hub.pump --> a short queue each --> clients          clients --> Hub.write --> conmon

Clients attach before the container starts: what they write waits for it. Nothing is dropped: a
client that does not read holds the container up, as in the original, until it detaches.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator

from plugind import log
from plugind.engine.container_ports import Console

#: (1 or 2, data).
Piece = tuple[int, bytes]
_QUEUE = 16


class _Client:
    """Output on its way to one client."""

    def __init__(self) -> None:
        self._waiting: collections.deque[Piece] = collections.deque()
        self._ended = False
        self._patient = True
        self._changed = asyncio.Condition()

    async def put(self, piece: Piece) -> None:
        """Queue a piece, as soon as there is room."""
        async with self._changed:
            await self._changed.wait_for(self._has_room)
            self._waiting.append(piece)
            self._changed.notify_all()

    async def end(self) -> None:
        """Say that there will be nothing more."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def hurry(self) -> None:
        """Let nobody wait for this client any more."""
        async with self._changed:
            self._patient = False
            self._changed.notify_all()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield the output in order."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                piece = self._waiting.popleft()
                self._changed.notify_all()
            yield piece

    def _has_room(self) -> bool:
        return len(self._waiting) < _QUEUE or not self._patient


class Hub:
    """The streams of one run of a container."""

    def __init__(self) -> None:
        self._clients: list[_Client] = []
        self._console: Console | None = None
        self._connected = asyncio.Event()
        self._ended = False
        self._input_ended = False
        self._pump: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def attached(self) -> AsyncIterator[AsyncIterator[Piece]]:
        """Give the output from now on; it ends with the run."""
        client = _Client()
        if self._ended:
            await client.end()
        self._clients.append(client)
        try:
            yield client.pieces()
        finally:
            self._clients.remove(client)
            # What was put meanwhile is dropped with the client.
            await client.hurry()

    def connect(self, console: Console) -> None:
        """Take the streams of a process; from here on its output is read."""
        self._console = console
        self._connected.set()
        if self._input_ended:
            console.end_input()
        self._pump = asyncio.create_task(self._read(console), name="console")

    async def write(self, data: bytes) -> None:
        """Give input to the process, once it is there; after its end it is dropped."""
        await self._connected.wait()
        if self._console is not None and not self._ended:
            await self._console.write(data)

    def end_input(self) -> None:
        """Say that no more input will come; also before there is anybody to hear it."""
        self._input_ended = True
        if self._console is not None and not self._ended:
            self._console.end_input()

    def resize(self, height: int, width: int) -> None:
        """Give the terminal another size."""
        if self._console is not None and not self._ended:
            self._console.resize(height, width)

    async def hurry(self) -> None:
        """Let no client hold the container up any more: it is to end now."""
        for client in list(self._clients):
            await client.hurry()

    async def drained(self) -> None:
        """Wait until the last byte of output was handed to every client."""
        if self._pump is not None:
            await asyncio.shield(self._pump)

    async def end(self) -> None:
        """End every client's stream: the run is over, or never came to be."""
        self._ended = True
        self._connected.set()
        for client in list(self._clients):
            await client.end()

    async def leave(self) -> None:
        """Stop reading; the process goes on. For an agent that ends."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        await self.end()

    async def _read(self, console: Console) -> None:
        try:
            while (piece := await console.read()) is not None:
                for client in list(self._clients):
                    await client.put(piece)
        except OSError as exc:
            # The log has it all the same, and the container's end must not be missed for it.
            log.error(f"cannot read a container's output: {exc}")
