# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Input, output and logs of containers on a whole engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plugind import errors
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


class Gone(Channel):
    """A client that breaks off when it has said what it had to say."""

    async def read(self) -> bytes:
        if not self.said:
            raise ConnectionResetError
        return await super().read()


async def test_who_breaks_off_ends_the_input_that_was_only_its_own(world: World) -> None:
    entry = await create(world, "cat", OpenStdin=True, StdinOnce=True)
    channel = Gone(b"one\n")
    attached = asyncio.create_task(attach(world, entry, channel, stdin=True))
    await channel.opened.wait()
    await start(world, entry)
    assert await ended(entry) == 0, "the program has read to the end of its input"
    await attached
    assert channel.heard == container_attach.frame(1, b"one\n", tty=False)


async def test_who_wants_one_stream_gets_that_one(world: World) -> None:
    entry = await create(world, "wait")
    channel = Channel()
    wanted = container_attach.Attachment(stderr=True, stream=True)
    attached = asyncio.create_task(
        container_attach.attach(world.engine, entry, wanted, channel.open)
    )
    await channel.opened.wait()
    await start(world, entry)
    process = world.container_machine.processes[entry.container.id]
    process.say(b"out\n")
    process.say(b"err\n", 2)
    await run.stop(world.engine, entry, None)
    await attached
    assert channel.heard == container_attach.frame(2, b"err\n", tty=False)


async def test_who_comes_later_gets_what_was_said_before(world: World) -> None:
    entry = await create(world, "echo", "hello")
    await start(world, entry)
    await ended(entry)
    channel = Channel()
    wanted = container_attach.Attachment(stdout=True, logs=True)
    await container_attach.attach(world.engine, entry, wanted, channel.open)
    assert channel.heard == container_attach.frame(1, b"hello\n", tty=False)


async def test_what_nobody_can_wait_for(world: World) -> None:
    entry = await create(world, "echo")
    with pytest.raises(errors.InvalidParameter, match='invalid condition: "soon"'):
        container_attach.waiting(entry, "soon")
    assert (await container_attach.waiting(entry, "")).running is False


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


async def test_a_follower_gets_what_it_wants_and_no_rubbish(world: World) -> None:
    entry = await create(world, "wait")
    await start(world, entry)
    process = world.container_machine.processes[entry.container.id]
    found: list[bytes] = []

    async def follow(**wanted: Any) -> None:
        what = container_logs.Wanted(follow=True, **wanted)
        async for _, data in container_logs.read(world.engine, entry, what):
            found.append(data)

    following = asyncio.create_task(follow(stderr=False))
    process.say(b"one\n")
    await until(lambda: found == [b"one\n"])
    process.say(b"not this\n", 2)
    with world.engine.log_path(entry.container.id).open("ab") as file:
        file.write(b"rubbish\n")
    process.say(b"two\n")
    await until(lambda: found == [b"one\n", b"two\n"])
    following.cancel()
    await asyncio.wait([following])
    # Whoever sets an end in the past is not kept waiting for the container's.
    waiting = asyncio.create_task(follow(until_ns=1))
    await asyncio.sleep(0)
    await until(lambda: waiting.done() or process.say(b"later\n"))
    await waiting
    assert found == [b"one\n", b"two\n"]


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
