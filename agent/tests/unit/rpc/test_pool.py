# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Kept connections: when one is used again, and what happens if the plugin has other ideas."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from plugind import errors
from plugind.rpc import client

GET, CREATE = "VolumeDriver.Get", "VolumeDriver.Create"


def reply(*fields: str, body: bytes = b"{}\n", version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} 200 OK", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


OK = reply()
Talk = Callable[[int, int], bytes | None]


class Plugin:
    """Serves many requests a connection. `talk(connection, request)` answers; None hangs up."""

    def __init__(self, talk: Talk) -> None:
        self.requests: list[tuple[int, str]] = []
        self.connections = 0
        self._talk = talk
        self.writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.requests.append((number, head.split()[1].decode().lstrip("/")))
                answer = self._talk(number, len(self.requests))
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def hang_up(self) -> None:
        """Close every connection, and wait until they are closed."""
        for writer in self.writers:
            writer.close()
        await self.end()

    async def end(self) -> None:
        """Wait until every connection is closed."""
        while pending := {task for task in self._tasks if not task.done()}:
            await asyncio.wait(pending)


@contextlib.asynccontextmanager
async def serving(
    path: Path, talk: Talk = lambda connection, request: OK, *, idle: float = 3600.0
) -> AsyncIterator[tuple[Plugin, client.PluginSocket]]:
    plugin = Plugin(talk)
    caller = client.PluginSocket(path, patience=0.05, idle=idle)
    async with await asyncio.start_unix_server(plugin.handle, str(path)):
        try:
            yield plugin, caller
        finally:
            await caller.close()
            await plugin.hang_up()


async def test_a_connection_serves_one_call_after_the_other(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (plugin, caller):
        for method in (GET, CREATE, GET):
            assert await caller.call(method, {"Name": "v"}, timeout=10) == {}
    assert plugin.requests == [(1, GET), (1, CREATE), (1, GET)]


@pytest.mark.parametrize(
    "answer",
    [
        reply("Connection: close"),
        reply("connection: Foo, CLOSE"),
        reply(version="1.0"),
        reply("Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    ],
)
async def test_one_that_the_plugin_does_not_keep(tmp_path: Path, answer: bytes) -> None:
    async with serving(tmp_path / "s", lambda connection, request: answer) as (plugin, caller):
        await caller.call(CREATE, {}, timeout=10)
        await caller.call(CREATE, {}, timeout=10)
    assert plugin.requests == [(1, CREATE), (2, CREATE)]


@pytest.mark.parametrize(
    "answer",
    [
        reply("Connection: keep-alive", version="1.0"),
        b"HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n2 ;a=b\n{}\n0\nA: b\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        reply("X: a", " folded: Connection: close"),
    ],
)
async def test_one_that_the_plugin_keeps(tmp_path: Path, answer: bytes) -> None:
    async with serving(tmp_path / "s", lambda connection, request: answer) as (plugin, caller):
        await caller.call(CREATE, {}, timeout=10)
        await caller.call(CREATE, {}, timeout=10)
    assert plugin.requests == [(1, CREATE), (1, CREATE)]


async def test_a_body_without_a_length_ends_with_the_connection(tmp_path: Path) -> None:
    asked = asyncio.Event()

    def talk(connection: int, request: int) -> bytes:
        asked.set()
        return b"HTTP/1.0 200 OK\r\n\r\n{}"

    async with serving(tmp_path / "s", talk) as (plugin, caller):
        calling = asyncio.ensure_future(caller.call(GET, {}, timeout=10))
        await asked.wait()
        await plugin.hang_up()
        assert await calling == {}


@pytest.mark.parametrize("method", [GET, CREATE])
async def test_one_that_was_closed_meanwhile_is_noticed_first(tmp_path: Path, method: str) -> None:
    async with serving(tmp_path / "s") as (plugin, caller):
        await caller.call(method, {}, timeout=10)
        await plugin.hang_up()
        await caller.call(method, {}, timeout=10)
    assert plugin.requests == [(1, method), (2, method)], "sent once each"


async def test_a_plugin_that_was_restarted_between_two_calls(tmp_path: Path) -> None:
    caller = client.PluginSocket(tmp_path / "s", patience=0.05)
    for _ in range(2):
        async with serving(tmp_path / "s") as (plugin, other):
            await caller.call(CREATE, {}, timeout=10)
            await other.call(CREATE, {}, timeout=10)
        assert [method for _, method in plugin.requests] == [CREATE, CREATE]
    await caller.close()


@pytest.mark.parametrize(("method", "sent"), [(CREATE, 2), (GET, 3)])
async def test_one_that_is_closed_under_a_request(tmp_path: Path, method: str, sent: int) -> None:
    def talk(connection: int, request: int) -> bytes | None:
        return None if request == 2 else OK

    async with serving(tmp_path / "s", talk) as (plugin, caller):
        await caller.call(method, {}, timeout=10)
        if method == GET:
            assert await caller.call(method, {}, timeout=10) == {}
        else:
            with pytest.raises(errors.Unavailable, match="closed the connection without"):
                await caller.call(method, {}, timeout=10)
    assert [method for _, method in plugin.requests] == [method] * sent


async def test_an_answer_that_nobody_asked_for(tmp_path: Path) -> None:
    def talk(connection: int, request: int) -> bytes:
        return OK + b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + b'{"Err":"late"}'

    async with serving(tmp_path / "s", talk) as (plugin, caller):
        assert await caller.call(CREATE, {}, timeout=10) == {}
        assert await caller.call(CREATE, {}, timeout=10) == {}
    assert plugin.requests == [(1, CREATE), (2, CREATE)]


async def test_an_answer_that_comes_between_two_calls(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (plugin, caller):
        await caller.call(CREATE, {}, timeout=10)
        for writer in plugin.writers:
            writer.write(reply(body=b'{"Err":"late"}'))
            await writer.drain()
        assert await caller.call(CREATE, {}, timeout=10) == {}
    assert plugin.requests == [(1, CREATE), (2, CREATE)]


async def test_calls_at_the_same_time_have_a_connection_each(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (plugin, caller):
        for _ in range(2):
            results = await asyncio.gather(
                *(caller.call(GET, {"Name": "v"}, timeout=10) for _ in range(20))
            )
            assert results == [{}] * 20
    assert len(plugin.requests) == 40


async def test_a_call_that_was_given_up_takes_its_connection_with_it(tmp_path: Path) -> None:
    late = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
        assert await reader.read() == b""
        writer.close()
        late.set()

    caller = client.PluginSocket(tmp_path / "s")
    async with await asyncio.start_unix_server(handle, str(tmp_path / "s")):
        with pytest.raises(errors.Unavailable, match=r"within 0.05 s"):
            await caller.call(CREATE, None, timeout=0.05)
        await late.wait()
    await caller.close()


async def test_a_plugin_that_serves_one_connection_at_a_time(tmp_path: Path) -> None:
    turn = asyncio.Lock()
    plugin = Plugin(lambda connection, request: OK)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with turn:
            await plugin.handle(reader, writer)

    caller = client.PluginSocket(tmp_path / "s", idle=3600)
    async with await asyncio.start_unix_server(handle, str(tmp_path / "s")):
        await asyncio.gather(*(caller.call(CREATE, {}, timeout=10) for _ in range(5)))
        await caller.close()
        await plugin.end()
    assert len(plugin.requests) == 5


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", idle=0.01) as (plugin, caller):
        await caller.call(CREATE, {}, timeout=10)
        await plugin.end()


async def test_nothing_is_kept_after_close(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (plugin, caller):
        await caller.call(CREATE, {}, timeout=10)
        await caller.close()
        await plugin.end()
        await caller.call(CREATE, {}, timeout=10)
        await plugin.end()


async def test_a_full_queue_of_connections_is_waited_for(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.setblocking(False)
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        first = stack.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(str(tmp_path / "s"))
        caller = client.PluginSocket(tmp_path / "s")
        calling = asyncio.ensure_future(caller.call(CREATE, None, timeout=10))
        loop = asyncio.get_running_loop()
        stack.enter_context((await loop.sock_accept(listener))[0])
        served = stack.enter_context((await loop.sock_accept(listener))[0])
        assert (await loop.sock_recv(served, 4096)).startswith(b"POST /VolumeDriver.Create ")
        await loop.sock_sendall(served, OK)
        assert await calling == {}
        await caller.close()
