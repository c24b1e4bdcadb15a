# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Attaching to a container, and waiting for it: what clients do before they start one.

Without a terminal output comes in frames, which Docker calls stdcopy:

    1 or 2 (stdout, stderr), three bytes of 0, length as four bytes big-endian, data
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from plugind import errors
from plugind.engine.container import end
from plugind.engine.container import logs as container_logs
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.context import Engine
from plugind.engine.hub import Hub
from plugind.model.containers.container import ContainerState

_HEADER = struct.Struct(">BxxxI")
CONDITIONS = ("not-running", "next-exit", "removed")


class Channel(Protocol):
    """A client's connection, both ways."""

    async def read(self) -> bytes:
        """Return what the client sent, empty at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send; ConnectionError if the client is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What a client wants to be attached to. `logs`: first what there is already."""

    stream: bool = False
    logs: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


def frame(stream: int, data: bytes, *, tty: bool) -> bytes:
    """Return a piece of output as it is sent."""
    return data if tty else _HEADER.pack(stream, len(data)) + data


async def attach(
    engine: Engine,
    entry: ContainerEntry,
    wanted: Attachment,
    open_channel: Callable[[], Awaitable[Channel]],
) -> None:
    """Carry output to a client and its input to the container, until the run or the client ends.

    The client is told that it is attached (`open_channel`) when no output can pass it by any more.
    """
    hub, process = entry.hub, entry.container.process
    async with hub.attached() as pieces:
        channel = await open_channel()
        end.publish(engine, "attach", entry.container)
        if wanted.logs:
            which = container_logs.Wanted(stdout=wanted.stdout, stderr=wanted.stderr)
            async for stream, data in container_logs.read(engine, entry, which):
                await channel.write(frame(stream, data, tty=process.tty))
        if not wanted.stream:
            return
        with_input = wanted.stdin and process.stdin
        once = process.stdin_once and not process.tty
        feeding = asyncio.create_task(_feed(hub, channel, once=once)) if with_input else None
        try:
            async for stream, data in pieces:
                if wanted.stdout if stream == 1 or process.tty else wanted.stderr:
                    await channel.write(frame(stream, data, tty=process.tty))
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.wait([feeding])


async def _feed(hub: Hub, channel: Channel, *, once: bool) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            while data := await channel.read():
                await hub.write(data)
    finally:
        if once:  # also if the client went away: nobody else's input is to come
            hub.end_input()


def waiting(entry: ContainerEntry, condition: str) -> asyncio.Future[ContainerState]:
    """Return what is done as soon as the condition holds, with the state of that moment.

    It is the caller's own: a client that goes away takes it from nobody else.
    """
    condition = condition or "not-running"
    if condition not in CONDITIONS:
        raise errors.InvalidParameter(f'invalid condition: "{condition}"')
    if condition == "removed":
        return asyncio.shield(entry.removed)
    if condition == "next-exit" or entry.container.state.running:
        return asyncio.shield(entry.ended)
    done: asyncio.Future[ContainerState] = asyncio.get_running_loop().create_future()
    done.set_result(entry.container.state)
    return done
