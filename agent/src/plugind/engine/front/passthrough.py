# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A front whose plugin speaks something else than the plugin protocol (gRPC, for CSI): bytes.

Either side may close its half and go on listening; a slow reader slows the writer down.
"""

from __future__ import annotations

import asyncio

from plugind import errors, log
from plugind.engine import ports
from plugind.engine.context import Engine, Front
from plugind.engine.front import front as front_
from plugind.rpc import dial

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHUNK = 64 * 1024


async def serve(engine: Engine, front: Front, consumer: Streams) -> None:
    """Connect one consumer with the plugin until both are done; held while the plugin restarts."""
    writer = consumer[1]
    try:
        plugin = (await front_.deliver(engine, front, _connect(engine, front)))[1]
    except errors.PlugindError as exc:
        # There is no way to say it in a protocol that we do not know.
        log.warning(f"closed a connection at the front of {front.name}: {exc}")
        writer.transport.abort()
        return
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(consumer[0], plugin[1]))
            group.create_task(_copy(plugin[0], writer))
    except* OSError as exc:
        log.debug(f"a connection at the front of {front.name} broke off", cause=exc.exceptions[0])
    finally:
        # What is still to be sent has been drained; after a fault nobody waits for it.
        plugin[1].transport.abort()
        writer.close()


def _connect(engine: Engine, front: Front) -> front_.Attempt[Streams]:
    async def attempt(_: ports.PluginSocket) -> Streams:
        path = engine.socket_path(front_.entry_of(engine, front).plugin)
        try:
            with dial.address(path) as address:
                return await asyncio.open_unix_connection(address, limit=CHUNK)
        except OSError as exc:
            refused = errors.Unavailable(f'cannot connect to "{path}": {exc.strerror}')
            refused.harmless = True
            raise refused from exc

    return attempt


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
