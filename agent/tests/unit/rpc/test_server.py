# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The server of fronts on the wire: what it takes, how it answers, and whom it gives up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from plugind.rpc.server import Answer, Request, Server

MAX_BODY = 100


class Served:
    """A server whose connections are socket pairs."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.server = Server(self.handle, max_body=MAX_BODY)
        self.writers: list[asyncio.StreamWriter] = []

    async def handle(self, request: Request, answer: Answer) -> None:
        self.requests.append(request)
        if request.target == "/hang":
            self.started.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if request.target == "/bug":
            raise ValueError("a defect")
        if request.target in ("/stream", "/broken"):
            await answer.begin(200, "x/y")
            await answer.write(b"first")
            await answer.write(b"")
            await answer.write(b"second")
            if request.target == "/broken":
                answer.abort()
            else:
                await answer.end()
            return
        await answer.send(200, "", b"<" + (request.content or b"") + b">")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self.server, theirs)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        self.writers.append(writer)
        return reader, writer

    async def talk(self, request: bytes) -> bytes:
        """Send, close our half, and return everything that is answered."""
        reader, writer = await self.connect()
        writer.write(request)
        writer.write_eof()
        return await reader.read()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    found = Served()
    yield found
    await found.server.close(1)
    for writer in found.writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("head", "body", "content"),
    [
        ("POST /x HTTP/1.1\r\n\r\n", b"", b""),
        ("POST /x HTTP/1.0\r\nConnection: close\r\n\r\n", b"", b""),
        ("POST /x HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\n\r\n", b"{}", b"{}"),
        ("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
         b"1\r\n{\r\n1;ext=1\r\n}\r\n0\r\nTrailer: 1\r\n\r\n", b"{}"),
        ("POST /x HTTP/1.1\r\nContent-Length: 100\r\n\r\n", b"y" * 100, b"y" * 100),
    ],
)  # fmt: skip
async def test_bodies(served: Served, head: str, body: bytes, content: bytes) -> None:
    answer = await served.talk(head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n<" + content + b">")
    assert [request.content for request in served.requests] == [content]


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /x HTTP/1.1\r\nContent-Length: 101\r\n\r\n" + b"y" * 101,
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        + 2 * (b"3c\r\n" + b"y" * 60 + b"\r\n")
        + b"0\r\n\r\n",
    ],
)
async def test_a_body_that_is_too_large_is_read_and_dropped(
    served: Served, request_: bytes
) -> None:
    answer = await served.talk(request_ + b"POST /next HTTP/1.1\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert [r.content for r in served.requests] == [None, b""]


async def test_several_requests_on_one_connection(served: Served) -> None:
    reader, writer = await served.connect()
    for body in (b"a", b"b"):
        writer.write(b"POST /x HTTP/1.1\r\nContent-Length: 1\r\n\r\n" + body)
        assert await reader.readuntil(b">")
    assert [request.content for request in served.requests] == [b"a", b"b"]


async def test_interim_answer(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"z")
    assert (await reader.readuntil(b">")).endswith(b"<z>")


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"POST /x HTTP/2.0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"POST /x HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused(served: Served, request_: bytes) -> None:
    answer = await served.talk(request_)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close" in answer
    assert served.requests == []


@pytest.mark.parametrize(
    "request_", [b"", b"POST", b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{"]
)
async def test_a_client_that_stops_in_the_middle_gets_nothing(
    served: Served, request_: bytes
) -> None:
    assert await served.talk(request_) == b""
    assert served.requests == []


async def test_a_stream(served: Served) -> None:
    answer = await served.talk(b"POST /stream HTTP/1.1\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n")


async def test_a_stream_for_a_client_without_chunks_ends_with_the_connection(
    served: Served,
) -> None:
    answer = await served.talk(b"POST /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\nfirstsecond")


async def test_a_stream_that_breaks_off_has_no_end(served: Served) -> None:
    with contextlib.suppress(ConnectionError):
        assert b"0\r\n\r\n" not in await served.talk(b"POST /broken HTTP/1.1\r\n\r\n")


async def test_a_client_that_is_gone_cancels_its_request(served: Served) -> None:
    _, writer = await served.connect()
    writer.write(b"POST /hang HTTP/1.1\r\n\r\n")
    await served.started.wait()
    writer.close()
    await served.cancelled.wait()


async def test_a_defect_ends_the_connection_and_not_the_server(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    assert await served.talk(b"POST /bug HTTP/1.1\r\n\r\n") == b""
    assert "cannot serve a connection" in caplog.text
    assert (await served.talk(b"POST /x HTTP/1.1\r\n\r\n")).endswith(b"<>")


async def test_closing_ends_idle_connections_at_once_and_others_after_a_while(
    served: Served,
) -> None:
    idle, _ = await served.connect()
    busy, writer = await served.connect()
    writer.write(b"POST /hang HTTP/1.1\r\n\r\n")
    await served.started.wait()
    await served.server.close(0.01)
    assert served.cancelled.is_set()
    assert await idle.read() == await busy.read() == b""
