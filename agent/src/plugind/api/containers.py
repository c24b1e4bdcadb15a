# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`/containers`: Docker's endpoints for one-off containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NoReturn

from aiohttp import web

from plugind import errors
from plugind.api import filters, hijack, stream, wire
from plugind.api.call import Call
from plugind.engine.container import attach as container_attach
from plugind.engine.container import logs as container_logs
from plugind.engine.container_entry import ContainerEntry

_LIST_FILTERS = ("ancestor", "exited", "id", "label", "name", "status", "volume")
_PRUNE_FILTERS = ("label", "label!")
_STATES = frozenset({"created", "restarting", "running", "removing", "paused", "exited", "dead"})
_RAW = "application/vnd.docker.raw-stream"
_MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
#: Since this version clients are told that a stream is made of frames.
_NAMES_FRAMES = (1, 42)


async def create(call: Call) -> web.Response:
    """Create a container; nothing runs yet."""
    body = wire.require_object(await call.json())
    platform = call.query.get("platform", "")
    if platform:
        raise errors.InvalidParameter(f'plugind does not support platform "{platform}"')
    container_id, warnings = await call.stories.create_container(
        call.engine, body, call.query.get("name", "")
    )
    return wire.json_response({"Id": container_id, "Warnings": list(warnings)}, status=201)


async def list_containers(call: Call) -> web.Response:
    """List containers, those that run or all."""
    wanted = filters.parse(call.query.get("filters", ""), _LIST_FILTERS)
    for state in wanted.get("status", ()):
        if state not in _STATES:
            raise errors.InvalidParameter(f"invalid filter 'status={state}'")
    limit = call.query.get("limit", "")
    found = await call.stories.list_containers(
        call.engine,
        everything=call.flag("all"),
        limit=max(0, wire.parse_int(limit)) if limit else 0,
        filters=wanted,
    )
    return wire.json_response(found)


async def inspect(call: Call) -> web.Response:
    """Show one container."""
    return wire.json_response(await call.stories.inspect_container(call.engine, call.name))


async def start(call: Call) -> web.Response:
    """Start a container."""
    started = await call.stories.start_container(call.engine, _find(call))
    return web.Response(status=204 if started else 304)


async def stop(call: Call) -> web.Response:
    """Stop a container: its stop signal, and SIGKILL after a while."""
    stopped = await call.stories.stop_container(
        call.engine, _find(call), _seconds(call), call.query.get("signal", "")
    )
    return web.Response(status=204 if stopped else 304)


async def restart(call: Call) -> web.Response:
    """Stop a container and start it again."""
    entry = _find(call)
    signal = call.query.get("signal", "")
    await call.stories.stop_container(call.engine, entry, _seconds(call), signal)
    await call.stories.start_container(call.engine, entry)
    return web.Response(status=204)


async def kill(call: Call) -> web.Response:
    """Send a container a signal."""
    await call.stories.kill_container(call.engine, _find(call), call.query.get("signal", ""))
    return web.Response(status=204)


async def resize(call: Call) -> web.Response:
    """Give a container's terminal another size."""
    height, width = (wire.parse_int(call.query.get(name, "")) for name in ("h", "w"))
    if not (0 <= height < 1 << 16 and 0 <= width < 1 << 16):
        raise errors.InvalidParameter(f"invalid size of a terminal: {height} x {width}")
    entry = _find(call)
    if not entry.container.state.running:
        raise errors.Conflict(f"container {entry.container.id} is not running")
    entry.hub.resize(height, width)
    return web.Response(status=200)


async def wait(call: Call) -> web.StreamResponse:
    """Wait for a container; the headers go out at once, because the client starts it then."""
    waiting = call.stories.wait_container(_find(call), call.query.get("condition", ""))
    response = await stream.start(call, "application/json")
    state = await waiting
    await response.write(wire.json_bytes({"StatusCode": state.exit_code}) + b"\n")
    await response.write_eof()
    return response


async def attach(call: Call) -> web.StreamResponse:
    """Connect a client with a container's streams; the connection is raw from here on."""
    entry = _find(call)
    names = ("stream", "logs", "stdin", "stdout", "stderr")
    wanted = container_attach.Attachment(**{name: call.flag(name) for name in names})
    taken: list[hijack.Hijacked] = []

    async def open_channel() -> hijack.Hijacked:
        taken.append(hijack.take_over(call.request, _content_type(call, entry)))
        return taken[0]

    try:
        await call.stories.attach_container(call.engine, entry, wanted, open_channel)
    finally:
        for channel in taken:
            channel.close()
    # Never sent: the connection is no longer HTTP's.
    return web.Response()


async def logs(call: Call) -> web.StreamResponse:
    """Stream a container's output from its log."""
    entry = _find(call)
    wanted = _wanted_output(call)
    tty = entry.container.process.tty

    async def frames() -> AsyncIterator[bytes]:
        async for number, data in call.stories.container_output(call.engine, entry, wanted):
            yield container_attach.frame(number, data, tty=tty)

    return await stream.each(call, _content_type(call, entry), frames())


async def remove(call: Call) -> web.Response:
    """Remove a container."""
    if call.flag("link"):
        raise errors.InvalidParameter("plugind does not support links of containers")
    await call.stories.remove_container(
        call.engine, call.name, force=call.flag("force"), volumes=call.flag("v")
    )
    return web.Response(status=204)


async def prune(call: Call) -> web.Response:
    """Remove every container that does not run."""
    wanted = filters.parse(call.query.get("filters", ""), _PRUNE_FILTERS)
    removed, freed = await call.stories.prune_containers(call.engine, wanted)
    return wire.json_response({"ContainersDeleted": removed or None, "SpaceReclaimed": freed})


async def unserved(call: Call) -> NoReturn:
    """Refuse what this engine does not do with containers, by name."""
    what = call.request.path.rstrip("/").rpartition("/")[2]
    raise errors.Unsupported(f"plugind does not support {what} of containers")


def _wanted_output(call: Call) -> container_logs.Wanted:
    """Read the query of `logs`."""
    tail = call.query.get("tail", "")
    wanted = container_logs.Wanted(
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        timestamps=call.flag("timestamps"),
        follow=call.flag("follow"),
        tail=int(tail) if tail.isascii() and tail.isdecimal() and len(tail) < 10 else None,
        since_ns=wire.parse_moment(call.query.get("since", "")) or None,
        until_ns=wire.parse_moment(call.query.get("until", "")) or None,
    )
    if not wanted.stdout and not wanted.stderr:
        raise errors.InvalidParameter("Bad parameters: you must choose at least one stream")
    return wanted


def _find(call: Call) -> ContainerEntry:
    return call.stories.find_container(call.engine, call.name)


def _seconds(call: Call) -> float | None:
    """Return `t`, None if the client leaves it to the container."""
    text = call.query.get("t", "")
    return float(wire.parse_int(text)) if text else None


def _content_type(call: Call, entry: ContainerEntry) -> str:
    framed = not entry.container.process.tty and call.api_version >= _NAMES_FRAMES
    return _MULTIPLEXED if framed else _RAW
