# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A connection taken from HTTP: raw bytes both ways, each way ending by itself.

    client    POST .../attach, Upgrade: tcp         HTTP/1.1 101 UPGRADED    server
    client    the same without Upgrade              HTTP/1.1 200 OK
              and from here on no HTTP any more

aiohttp closes a connection whose client has nothing more to say; a client of `docker run` does that
at once unless it has input, and waits for output all the same.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from plugind import errors

_READ_AHEAD = 256 * 1024


class Hijacked(asyncio.Protocol):
    """Implements `engine.container.attach.Channel`."""

    def __init__(self, transport: asyncio.Transport, former: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._former = former
        self._received = bytearray()
        self._ended = False
        self._lost = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    async def read(self) -> bytes:
        """Return what the client sent, empty at its end."""
        while not self._received and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._received)
        self._received.clear()
        if not self._ended:
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client has more than enough to read."""
        if self._lost or self._transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """Close, once everything is sent."""
        self._transport.close()

    # ---------------------------------------------------------------------- called by the transport

    def data_received(self, data: bytes) -> None:
        """Keep what came, and stop reading when it is a lot."""
        self._received += data
        self._readable.set()
        if len(self._received) > _READ_AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client has nothing more to say; it still listens."""
        self._ended = True
        self._readable.set()
        return True

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. HTTP hears of it, too, and cancels whatever still serves it."""
        self._ended = self._lost = True
        self._readable.set()
        self._writable.set()
        self._former.connection_lost(exc)


def take_over(request: web.Request, content_type: str) -> Hijacked:
    """Answer the request and take its connection; the caller closes it."""
    transport = request.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the client is gone")
    if not isinstance(transport, asyncio.Transport):
        raise errors.System("cannot take over a connection that is no socket's")
    hijacked = Hijacked(transport, transport.get_protocol())
    transport.set_protocol(hijacked)
    transport.resume_reading()
    if "Upgrade" in request.headers:
        head = "101 UPGRADED\r\n", "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    else:
        head = "200 OK\r\n", ""
    transport.write(
        f"HTTP/1.1 {head[0]}Content-Type: {content_type}\r\n{head[1]}\r\n".encode("ascii")
    )
    return hijacked
