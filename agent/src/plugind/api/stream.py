# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Responses of many lines: progress of pull, push and upgrade; events; a plugin's output.

A progress stream sends its headers with the first line, not before. So an operation that fails
early, on a name or a registry, is an ordinary error response, as clients expect; one that fails
later ends with an error line. A client that goes away cancels the operation.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from plugind import log
from plugind.api import status, wire
from plugind.api.call import Call
from plugind.engine.ports import Progress

# More lines than this wait for a client that reads slowly: counters are dropped, words are not.
_BACKLOG = 1000


class _Lines:
    """Progress lines between the operation, which never waits, and the client, which may."""

    def __init__(self) -> None:
        self._waiting: collections.deque[dict[str, Any]] = collections.deque()
        self._changed = asyncio.Event()
        self._ended = False

    def add(self, line: dict[str, Any]) -> None:
        if len(self._waiting) < _BACKLOG or not line.get("progressDetail"):
            self._waiting.append(line)
            self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def take(self) -> list[dict[str, Any]]:
        """Return every line that waits, at least one; none if there will be none."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


async def progress(
    call: Call, operation: Callable[[Progress], Awaitable[object]]
) -> web.StreamResponse:
    """Run `operation` and stream what it reports."""
    lines = _Lines()
    task = asyncio.ensure_future(operation(lines.add))
    task.add_done_callback(lambda _: lines.end())
    try:
        first = await lines.take()
        if not first:
            await task
            return web.Response(content_type="application/json")
        return await _send(call, task, lines, first)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


async def _send(
    call: Call, task: asyncio.Future[object], lines: _Lines, first: list[dict[str, Any]]
) -> web.StreamResponse:
    response = await start(call, "application/json")
    taken = first
    while taken:
        await response.write(b"".join(_progress_line(line) for line in taken))
        taken = await lines.take()
    try:
        await task
    except Exception as exc:  # noqa: BLE001 - reported to the client, and logged if it is a defect
        line = status.render_line(exc, call.doing, call.engine.redact)
        await response.write(_progress_line(line))
    await response.write_eof()
    return response


async def each(call: Call, content_type: str, parts: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send headers at once, then every part as it comes."""
    response = await start(call, content_type)
    try:
        async for part in parts:
            await response.write(part)
    except aiohttp.ClientConnectionResetError:
        raise  # the client's doing
    except Exception as exc:  # noqa: BLE001 - no status is left to report it with
        log.error(f"cannot go on with {call.doing}: {exc}", exc=exc)
        # Closed without the last chunk, so that the client knows that this is not all.
        if call.request.transport is not None:
            call.request.transport.close()
    return response


async def start(call: Call, content_type: str) -> web.StreamResponse:
    """Send the headers of a stream."""
    response = web.StreamResponse()
    response.content_type = content_type
    await response.prepare(call.request)
    return response


def _progress_line(line: dict[str, Any]) -> bytes:
    return wire.json_bytes(line) + b"\r\n"
