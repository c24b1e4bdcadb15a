# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The server's side of the plugin protocol, for fronts: small requests, answers small or streamed.

    head -> body -> handler -> answer  --the client keeps the connection-->  head ...

It serves whatever consumers send: no `Host`, no `Content-Type`, a body by length or in chunks, a
client that closes its half and waits. A client that is gone cancels the handler of its request.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from plugind import log
from plugind.rpc import http1
from plugind.rpc.http1 import Broken, Framing

_MAX_HEAD = 64 * 1024
_MAX_LINE = 4096
_HIGH_WATER = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `content` is None if there was more of it than the server takes."""

    verb: str
    target: str
    content: bytes | None


class Answer:
    """How a handler answers: `send` once, or `begin`, any number of `write`, and `end`."""

    def __init__(self, writer: asyncio.StreamWriter, request: http1.Request) -> None:
        self._writer = writer
        self.keeps_alive = request.keeps_alive
        self._in_chunks = request.minor > 0

    @property
    def peer(self) -> socket.socket | None:
        """The connection's socket, for its credentials."""
        found: socket.socket | None = self._writer.get_extra_info("socket")
        return found

    async def send(self, status: int, content_type: str, content: bytes) -> None:
        """Send the whole answer."""
        framing = f"Content-Length: {len(content)}"
        head = http1.render_head(status, content_type, framing, keeps_alive=self.keeps_alive)
        self._writer.write(head + content)
        await self._writer.drain()

    async def begin(self, status: int, content_type: str) -> None:
        """Send the head of an answer whose length nobody knows."""
        framing = "Transfer-Encoding: chunked"
        if not self._in_chunks:
            # HTTP/1.0 knows no chunks: such a body ends with its connection.
            self.keeps_alive, framing = False, "Cache-Control: no-store"
        head = http1.render_head(status, content_type, framing, keeps_alive=self.keeps_alive)
        self._writer.write(head)
        await self._writer.drain()

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; a slow client makes the caller wait."""
        if data:
            piece = b"%x\r\n%b\r\n" % (len(data), data) if self._in_chunks else data
            self._writer.write(piece)
            await self._writer.drain()

    async def end(self) -> None:
        """Say that the body is complete."""
        if self._in_chunks:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def abort(self) -> None:
        """Break the connection off, so that a body that is not complete does not look so."""
        self._writer.transport.abort()


Handler = Callable[[Request, Answer], Awaitable[None]]


class Server:
    """Makes the protocol of each connection, and closes what is open. `max_body` is in bytes."""

    def __init__(self, handler: Handler, *, max_body: int) -> None:
        self._handler = handler
        self._max_body = max_body
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    def __call__(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection, for `create_server`."""
        return _Protocol(self._connected)

    def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> asyncio.Task[None]:
        writer.transport.set_write_buffer_limits(_HIGH_WATER)
        connection = _Connection(reader, writer, self._handler, self._max_body)
        task = asyncio.ensure_future(connection.serve())
        self._connections[task] = connection
        task.add_done_callback(lambda done: self._connections.pop(done, None))
        return task

    async def close(self, grace: float) -> None:
        """Close idle connections now, and those with a request under way after `grace` seconds."""
        for task, connection in list(self._connections.items()):
            if not connection.busy:
                task.cancel()
            connection.closing = True
        if self._connections:
            late = (await asyncio.wait(list(self._connections), timeout=grace))[1]
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=grace)


class _Protocol(asyncio.StreamReaderProtocol):
    """A stream whose task is cancelled once its client is gone."""

    def __init__(
        self,
        connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], asyncio.Task[None]],
    ) -> None:
        self._serving: asyncio.Task[None] | None = None
        self._descriptor: socket.socket | None = None

        def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._serving = connected(reader, writer)
            self._descriptor = writer.get_extra_info("socket")

        super().__init__(asyncio.StreamReader(limit=_MAX_HEAD), start)

    def eof_received(self) -> bool:
        """Go on if the client has closed its half only, and waits for the answer."""
        super().eof_received()
        return not self._is_gone()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what nobody waits for."""
        super().connection_lost(exc)
        if self._serving is not None:
            self._serving.cancel()

    def _is_gone(self) -> bool:
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor.fileno(), select.POLLHUP)
        return any(events & select.POLLHUP for _, events in poll.poll(0))


class _Connection:
    """One client, request after request."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        max_body: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._max_body = max_body
        self.busy = False
        self.closing = False

    async def serve(self) -> None:
        """Answer requests until one side has had enough."""
        try:
            while await self._serve_one() and not self.closing:
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or we are
        except (Broken, asyncio.LimitOverrunError) as exc:
            await self._refuse(f"broken HTTP: {exc}")
        except Exception as exc:  # noqa: BLE001 - nobody awaits this task
            log.error("cannot serve a connection", exc=exc)
        finally:
            self._writer.close()

    async def _serve_one(self) -> bool:
        """Answer one request; False if the connection ends with it."""
        block = await self._reader.readuntil(b"\r\n\r\n")
        self.busy = True
        try:
            request = http1.parse_request(block[:-4])
            if request.fields.get("expect", "").lower() == "100-continue":
                self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            content = await self._body(request)
            answer = Answer(self._writer, request)
            target = request.target
            await self._handler(Request(verb=request.verb, target=target, content=content), answer)
        finally:
            self.busy = False
        return answer.keeps_alive

    async def _body(self, request: http1.Request) -> bytes | None:
        """Return the body; None if it is too large: then it is read and dropped."""
        if request.framing is Framing.NONE:
            return b""
        if request.framing is Framing.LENGTH and request.length <= self._max_body:
            return await self._reader.readexactly(request.length)
        if request.framing is Framing.LENGTH:
            await self._drop(request.length)
            return None
        content: bytearray | None = bytearray()
        while size := http1.parse_chunk_size((await self._line()).rstrip(b"\r\n")):
            if content is None or len(content) + size > self._max_body:
                content = None
                await self._drop(size)
            else:
                content += await self._reader.readexactly(size)
            if (await self._line()).strip():
                raise Broken("a chunk that is longer than its size")
        while (await self._line()).strip():
            pass  # trailers
        return None if content is None else bytes(content)

    async def _drop(self, size: int) -> None:
        while size > 0:
            data = await self._reader.read(min(size, _MAX_HEAD))
            if not data:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(data)

    async def _line(self) -> bytes:
        line = await self._reader.readuntil(b"\n")
        if len(line) > _MAX_LINE:
            raise Broken(f"a line of more than {_MAX_LINE} bytes")
        return line

    async def _refuse(self, text: str) -> None:
        content = text.encode("utf-8", "replace") + b"\n"
        framing = f"Content-Length: {len(content)}"
        head = http1.render_head(400, "text/plain; charset=utf-8", framing, keeps_alive=False)
        self._writer.write(head + content)
