# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The hub between a container and those who are attached to it."""

from __future__ import annotations

import asyncio

import pytest

from plugind.engine import hub as attach
from support.engine import until


class Console:
    """Output from a queue, input into a list."""

    def __init__(self) -> None:
        self.output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.input: list[bytes | None] = []
        self.size = (0, 0)

    async def read(self) -> tuple[int, bytes] | None:
        return await self.output.get()

    async def write(self, data: bytes) -> None:
        self.input.append(data)

    def end_input(self) -> None:
        self.input.append(None)

    def resize(self, height: int, width: int) -> None:
        self.size = (height, width)

    def close(self) -> None:
        return None


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def hub() -> attach.Hub:
    return attach.Hub()


async def collect(hub: attach.Hub, ready: asyncio.Event | None = None) -> list[tuple[int, bytes]]:
    async with hub.attached() as pieces:
        if ready is not None:
            ready.set()
        return [piece async for piece in pieces]


async def test_everybody_gets_everything_from_before_the_start(
    hub: attach.Hub, console: Console
) -> None:
    ready = [asyncio.Event(), asyncio.Event()]
    readers = [asyncio.create_task(collect(hub, one)) for one in ready]
    for one in ready:
        await one.wait()
    pieces = [(1, b"%d" % number) for number in range(100)]
    for piece in (*pieces, None):
        console.output.put_nowait(piece)
    hub.connect(console)
    await hub.drained()
    await hub.end()
    assert [await reader for reader in readers] == [pieces, pieces]


async def test_input_waits_for_the_start(hub: attach.Hub, console: Console) -> None:
    writing = asyncio.create_task(hub.write(b"early"))
    await asyncio.sleep(0)
    assert not writing.done()
    hub.connect(console)
    await writing
    hub.end_input()
    assert console.input == [b"early", None]
    hub.resize(3, 4)
    assert console.size == (3, 4)
    await hub.leave()


async def test_the_end_of_input_may_come_before_the_start(
    hub: attach.Hub, console: Console
) -> None:
    hub.end_input()
    hub.connect(console)
    assert console.input == [None]
    await hub.leave()


async def test_a_client_that_does_not_read_holds_the_output_up_until_it_leaves(
    hub: attach.Hub, console: Console
) -> None:
    async with hub.attached():
        hub.connect(console)
        for number in range(100):
            console.output.put_nowait((1, b"%d" % number))
        console.output.put_nowait(None)
        drained = asyncio.create_task(hub.drained())
        await until(lambda: console.output.qsize() < 90)
        for _ in range(10):
            await asyncio.sleep(0)
        assert console.output.qsize() > 50
        assert not drained.done()
    await drained
    assert console.output.empty()


async def test_nobody_holds_up_what_is_to_end_now(hub: attach.Hub, console: Console) -> None:
    async with hub.attached() as pieces:
        hub.connect(console)
        for number in range(100):
            console.output.put_nowait((1, b"%d" % number))
        console.output.put_nowait(None)
        await until(lambda: console.output.qsize() < 90)
        await hub.hurry()
        await hub.drained()
        await hub.end()
        assert len([piece async for piece in pieces]) == 100


async def test_a_run_that_never_came_to_be_ends_for_everybody(hub: attach.Hub) -> None:
    ready = asyncio.Event()
    reader = asyncio.create_task(collect(hub, ready))
    await ready.wait()
    writing = asyncio.create_task(hub.write(b"x"))
    await hub.end()
    assert await reader == []
    await writing
    hub.end_input()
    assert await collect(hub) == []
