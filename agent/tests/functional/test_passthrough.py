# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What passes through a front as it comes: long answers, and protocols that are not ours."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from plugind.model.plugin import Plugin
from support import fronts
from support.engine import World, until


def front_of(world: World) -> Path:
    return Path(world.engine.fronts["toy:latest"].path)


def interface(*types: str, scheme: str = "") -> dict[str, Any]:
    return {"types": list(types), "socket": "plugin.sock", "protocolScheme": scheme}


async def replace_plugin(world: World, plugin: Plugin, handler: Any) -> asyncio.AbstractServer:
    """Let something else listen where the plugin did."""
    path = world.engine.socket_path(plugin)
    path.unlink()
    return await asyncio.start_unix_server(handler, str(path))


async def test_logs_are_streamed_as_they_come(world: World) -> None:
    plugin = await world.running(interface=interface("docker.logdriver/1.0"))
    more, ended = asyncio.Event(), asyncio.Event()

    async def read_logs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-json-stream\r\n\r\nfirst")
        await more.wait()
        writer.write(b"second")
        writer.close()
        ended.set()

    server = await replace_plugin(world, plugin, read_logs)
    reader, writer = await fronts.connect(front_of(world))
    writer.write(b"POST /LogDriver.ReadLogs HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\n{}\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert b"200 ok" in head
    assert b"application/x-json-stream" in head
    assert b"first" in await reader.readuntil(b"first")
    more.set()
    assert b"second" in await reader.readuntil(b"0\r\n\r\n")
    await ended.wait()
    writer.close()
    server.close()


async def test_a_stream_that_breaks_off_does_not_look_complete(world: World) -> None:
    plugin = await world.running(interface=interface("docker.logdriver/1.0"))

    async def read_logs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst")
        writer.close()

    server = await replace_plugin(world, plugin, read_logs)
    reader, writer = await fronts.connect(front_of(world))
    writer.write(b"POST /LogDriver.ReadLogs HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\n{}\n")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    server.close()


@pytest.mark.parametrize(
    "kind",
    [
        interface("docker.csinode/1.0", "docker.csicontroller/1.0"),
        interface("docker.volumedriver/1.0", scheme="acme.grpc/v1"),
    ],
)
async def test_another_protocol_passes_through(world: World, kind: dict[str, Any]) -> None:
    plugin = await world.running(interface=kind)
    block = bytes(range(256)) * 4096

    async def reverse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read())[::-1])  # answers after the other half was closed
        await writer.drain()
        writer.close()

    server = await replace_plugin(world, plugin, reverse)
    reader, writer = await fronts.connect(front_of(world))
    writer.write(block)
    writer.write_eof()
    assert await reader.read() == block[::-1]
    writer.close()
    server.close()


async def test_another_protocol_is_held_while_the_plugin_restarts(world: World) -> None:
    plugin = await world.running(interface=interface("docker.csinode/1.0"))
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    reader, writer = await fronts.connect(front_of(world))
    writer.write(b"POST /VolumeDriver.List HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\n\r\n")
    await until(lambda: world.engine.fronts["toy:latest"].waiting)
    world.clock.advance(1)
    assert b"200 X" in await reader.read()  # the plugin's own words
    writer.close()


async def test_another_protocol_of_a_disabled_plugin_is_closed(world: World) -> None:
    await world.install(world.publish(interface=interface("docker.csinode/1.0")))
    reader, writer = await fronts.connect(front_of(world))
    assert await reader.read() == b""
    writer.close()
