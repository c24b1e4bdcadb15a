# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An agent of which there is only `GET /events` and the dry run, for tests of the event source.

    async with event_stream.serve(path) as agent:
        agent.publish("died")          # to those who listen, and into the history
        await agent.drop()             # the connection breaks off
        agent.plans.append({...})      # the answers of the dry run; the last one stays

Events have the times 1, 2, 3 ... seconds after `BEGIN`, whatever a real clock says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

#: In the future, so that whoever asks for what comes from now on gets it.
BEGIN = 4_000_000_000
SEC = 1_000_000_000


class Agent:
    """Its history, its listeners, and what was asked."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []
        self.listeners: set[asyncio.Queue[bytes | None]] = set()
        self.queries: list[dict[str, str]] = []
        self.refuse: list[tuple[int, str]] = []
        self.plans: list[Any] = []
        self.declarations: list[Any] = []
        self.listened = asyncio.Condition()

    def publish(self, action: str, kind: str = "plugin", **attributes: str) -> dict[str, Any]:
        """Tell an event of plugin `toy:latest`."""
        event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": "1d", "Attributes": {"name": "toy:latest", **attributes}},
            "timeNano": (BEGIN + len(self.history) + 1) * SEC,
        }
        self.history.append(event)
        self.send(json.dumps(event).encode() + b"\n")
        return event

    def send(self, raw: bytes) -> None:
        """Send bytes to all listeners."""
        for queue in self.listeners:
            queue.put_nowait(raw)

    async def drop(self) -> None:
        """Break all connections off, and wait until they are gone."""
        for queue in self.listeners:
            queue.put_nowait(None)
        async with self.listened:
            await self.listened.wait_for(lambda: not self.listeners)

    async def listener(self) -> None:
        """Wait until somebody listens."""
        async with self.listened:
            await self.listened.wait_for(lambda: self.listeners)

    async def events(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        if self.refuse:
            status, message = self.refuse.pop(0)
            return web.json_response({"message": message}, status=status)
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        seconds, _, fraction = request.query.get("since", str(2**40)).partition(".")
        since = int(seconds) * SEC + int(fraction or 0)
        for event in self.history:
            if event["timeNano"] >= since:
                queue.put_nowait(json.dumps(event).encode() + b"\n")
        async with self.listened:
            self.listeners.add(queue)
            self.listened.notify_all()
        try:
            while (raw := await queue.get()) is not None:
                await response.write(raw)
            if request.transport is not None:  # the client has not gone first
                request.transport.close()
        finally:
            self.listeners.discard(queue)
            async with self.listened:
                self.listened.notify_all()
        return response

    async def apply(self, request: web.Request) -> web.Response:
        assert request.query["dry_run"] == "1"
        self.declarations.append(await request.json())
        plan = self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
        return web.json_response(plan)


@contextlib.asynccontextmanager
async def serve(path: Path) -> AsyncIterator[Agent]:
    """Serve on a unix socket for the length of the block."""
    agent = Agent()
    app = web.Application()
    app.router.add_get("/events", agent.events)
    app.router.add_post("/plugind/apply", agent.apply)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield agent
    finally:
        await agent.drop()
        await runner.cleanup()
