# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Input, output and logs of containers on a whole engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plugind.engine.container import attach as container_attach
from plugind.engine.container import logs as container_logs
from plugind.engine.container import run
from plugind.engine.container_entry import ContainerEntry
from support.containers import add_image, create, ended, start
from support.engine import World, until


@pytest.fixture
async def world(world: World) -> World:
    """A world with the image `box`."""
    await add_image(world)
    return world


class Channel:
    """A client that says what it is given, and listens."""

    def __init__(self, *said: bytes) -> None:
        self.said = list(said)
        self.heard = b""
        self.opened = asyncio.Event()

    async def open(self) -> Channel:
        self.opened.set()
        return self

    async def read(self) -> bytes:
        return self.said.pop(0) if self.said else b""

    async def write(self, data: bytes) -> None:
        self.heard += data


async def attach(world: World, entry: ContainerEntry, channel: Channel, **wanted: bool) -> None:
    what = container_attach.Attachment(stdout=True, stderr=True, stream=True, **wanted)
    await container_attach.attach(world.engine, entry, what, channel.open)


async def test_input_from_before_the_start_to_its_end(world: World) -> None:
    entry = await create(world, "cat", OpenStdin=True, StdinOnce=True)
    channel = Channel(b"one\n", b"two\n")
    attached = asyncio.create_task(attach(world, entry, channel, stdin=True))
    await channel.opened.wait()
    await start(world, entry)
    assert await ended(entry) == 0
    await attached
    assert channel.heard == b"".join(
        container_attach.frame(1, line, tty=False) for line in (b"one\n", b"two\n")
    )
    assert container_attach.frame(1, b"x", tty=True) == b"x"


async def test_input_that_is_not_once_stays_open(world: World) -> None:
    entry = await create(world, "cat", OpenStdin=True)
    channel = Channel(b"one\n")
    attached = asyncio.create_task(attach(world, entry, channel, stdin=True))
    await start(world, entry)
    await until(lambda: b"one" in channel.heard)
    assert entry.container.state.running
    await run.stop(world.engine, entry, None)
    await attached


async def logs(world: World, entry: ContainerEntry, **wanted: Any) -> list[tuple[int, bytes]]:
    what = container_logs.Wanted(**wanted)
    return [piece async for piece in container_logs.read(world.engine, entry, what)]


async def test_logs(world: World) -> None:
    entry = await create(world, "wait")
    assert await logs(world, entry, follow=True) == []
    await start(world, entry)
    process = world.container_machine.processes[entry.container.id]
    process.say(b"one\ntwo\n")
    process.say(b"bad\n", 2)
    every = [(1, b"one\n"), (1, b"two\n"), (2, b"bad\n")]
    assert await logs(world, entry) == every
    assert await logs(world, entry, stderr=False) == every[:2]
    assert await logs(world, entry, tail=1) == every[2:]
    assert await logs(world, entry, tail=0) == []
    assert await logs(world, entry, until_ns=1) == []
    assert await logs(world, entry, since_ns=1) == every
    [(_, stamped), *_] = await logs(world, entry, timestamps=True)
    assert stamped[:2] == b"20"
    assert stamped.endswith(b"Z one\n")
    following = asyncio.create_task(logs(world, entry, follow=True, tail=0))
    await asyncio.sleep(0)
    process.say(b"three\n")
    process.end(0)
    assert (await following)[-1:] in ([], [(1, b"three\n")])
    assert (await logs(world, entry, follow=True))[-1] == (1, b"three\n")


async def test_a_line_that_was_split_is_one_line(world: World) -> None:
    entry = await create(world, "echo")
    path = world.engine.log_path(entry.container.id)
    path.write_bytes(
        b"2026-01-01T02:00:01.000000000+02:00 stdout F first\n"
        b"2026-01-01T00:00:02.000000000+00:00 stdout P half\n"
        b"2026-01-01T00:00:03.000000000+00:00 stdout F way\n"
        b"rubbish\n"
        b"2026-01-01T00:00:04.000000000+00:00 stdout P end\n"
    )

    async def text(**wanted: Any) -> bytes:
        return b"".join([data for _, data in await logs(world, entry, **wanted)])

    assert await text() == b"first\nhalfway\nend"
    assert await text(tail=1) == b"end"
    assert await text(tail=2) == b"halfway\nend"
    assert await text(tail=9) == b"first\nhalfway\nend"
    assert (await text(timestamps=True)).startswith(b"2026-01-01T00:00:01.000000000Z first")
    stamped = await text(tail=2, timestamps=True)
    assert stamped == (
        b"2026-01-01T00:00:02.000000000Z halfway\n2026-01-01T00:00:04.000000000Z end"
    )
