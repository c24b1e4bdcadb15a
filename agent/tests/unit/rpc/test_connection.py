# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One connection to a plugin that does not behave; the other end is in the test's hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.rpc import http1
from plugind.rpc.connection import ClosedError, Connection, NotSentError, connect

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    mine, other = socket.socketpair()
    mine.setblocking(False)
    with mine, other:
        yield mine, other


async def answer(ends: tuple[socket.socket, socket.socket], raw: bytes) -> tuple[Connection, bytes]:
    """Let the plugin send `raw` and close; return the connection and the body."""
    mine, other = ends
    connection = Connection(mine)
    sending = asyncio.create_task(asyncio.to_thread(other.sendall, raw))
    sending.add_done_callback(lambda task: other.close())
    try:
        await connection.receive_head()
        return connection, b"".join([piece async for piece in connection.chunks()])
    finally:
        connection.close()
        with contextlib.suppress(OSError):
            await sending


async def test_interim_answers_are_passed_over(ends: tuple[socket.socket, socket.socket]) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    connection, body = await answer(ends, interim + OK)
    assert (body, connection.answered) == (b"{}", True)


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 99]
)
async def test_an_answer_that_never_comes_is_not_waited_for(
    ends: tuple[socket.socket, socket.socket], interim: bytes
) -> None:
    with pytest.raises(http1.Broken, match="no answer after its interim ones"):
        await answer(ends, interim + OK)


@pytest.mark.parametrize(
    ("raw", "begun"),
    [
        (b"", False),
        (b"HTTP/1.1 200", True),
        (OK[:-1], True),
        (CHUNKED + b"5\r\nabc", True),
        (CHUNKED + b"5\r\nabcde\r\n", True),
        (CHUNKED + b"5", True),
        (CHUNKED + b"0\r\nX: y\r\n", True),
    ],
)
async def test_a_plugin_that_ends_in_between(
    ends: tuple[socket.socket, socket.socket], raw: bytes, begun: bool
) -> None:
    with pytest.raises(ClosedError) as ended:
        await answer(ends, raw)
    assert ended.value.begun is begun


async def test_chunks_with_trailers(ends: tuple[socket.socket, socket.socket]) -> None:
    raw = CHUNKED + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
    connection, body = await answer(ends, raw)
    assert body == b"abcde"
    assert connection.reusable


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", "a chunk that is longer than its size"),
        (CHUNKED + b"9" * 1_000_000, "a line of more than"),
        (CHUNKED + b"0\r\n" + b"X: yyyyyyyyyyyyyyyy\r\n" * 100_000, "trailers of more than"),
    ],
)
async def test_what_has_no_end_is_cut_off(
    ends: tuple[socket.socket, socket.socket], raw: bytes, why: str
) -> None:
    with pytest.raises(http1.Broken, match=why):
        await answer(ends, raw)


async def test_what_follows_an_answer_unasked_ends_the_connections_use(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    connection, body = await answer(ends, OK + b"more")
    assert body == b"{}"
    assert not connection.reusable


async def test_a_request_that_is_larger_than_the_sockets_buffer(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    mine, other = ends
    request = b"x" * 3_000_000

    def take() -> int:
        taken = 0
        while taken < len(request):
            taken += len(other.recv(1 << 16))
        return taken

    taking = asyncio.create_task(asyncio.to_thread(take))
    await Connection(mine).send(request)
    assert await taking == len(request)


async def test_a_full_buffer_is_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    mine, other = ends
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += mine.send(b"-" * 4096)
    sending = asyncio.create_task(Connection(mine).send(b"request"))
    await asyncio.sleep(0)
    assert not sending.done()
    taken = bytearray()
    while len(taken) < filled + len(b"request"):
        taken += await asyncio.to_thread(other.recv, 1 << 20)
    await sending
    assert taken.endswith(b"-request")


async def test_nothing_went_out_to_who_is_gone(ends: tuple[socket.socket, socket.socket]) -> None:
    mine, other = ends
    connection = Connection(mine)
    assert connection.is_quiet()
    other.close()
    assert not connection.is_quiet()
    with pytest.raises(NotSentError):
        await connection.send(b"request")
    connection.close()
    assert not connection.is_quiet()


async def test_a_plugin_that_is_slow_to_accept_is_waited_for(tmp_path: Path) -> None:
    """It has room for one connection in its queue, and somebody else has it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        first = await connect(tmp_path / "s")
        second = asyncio.create_task(connect(tmp_path / "s"))
        await asyncio.wait([second], timeout=0.05)
        assert not second.done()
        listener.accept()[0].close()
        (await second).close()
        first.close()


async def test_who_gives_up_on_a_slow_plugin_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        first = await connect(tmp_path / "s")
        second = asyncio.create_task(connect(tmp_path / "s"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        first.close()
        # One who is there, and nobody who has been.
        listener.accept()[0].close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NotSentError, match="No such file"):
        await connect(tmp_path / "s")
