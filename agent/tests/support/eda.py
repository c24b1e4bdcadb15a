# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The event source for ansible-rulebook, loaded as ansible-rulebook does it, and what its tests need."""

from __future__ import annotations

import asyncio
import contextlib
import runpy
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support import daemon

ROOT = Path(__file__).parents[3]
source = SimpleNamespace(
    **runpy.run_path(str(ROOT / "extensions/eda/plugins/event_source/agent_events.py"))
)
Queue = asyncio.Queue[dict[str, Any]]
# One restart, and no run is long enough to be forgiven.
_RESTART = {"restart-limit": "1", "restart-healthy-after": "3600"}


@contextlib.contextmanager
def toy(place: Path) -> Iterator[daemon.Agent]:
    """An agent with the enabled plugin `toy`, on which it gives up when it dies for the second time."""
    daemon.require("docker", "runc", "conmon")
    built = daemon.build_plugin("localdir", place / "plugin")
    with daemon.run(place / "d", _RESTART) as agent:
        agent.cli("plugin", "create", "toy", str(built))
        agent.cli("plugin", "enable", "toy")
        yield agent


class Clock:
    """Sleepers wait until their time has come; a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, future))
        self.asked.put_nowait(seconds)
        await future

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for when, future in self.sleepers:
            if when <= self.now and not future.done():
                future.set_result(None)

    async def passes(self, seconds: float) -> None:
        """Wait until somebody sleeps for so long, and let it pass."""
        while await self.asked.get() != seconds:
            pass
        self.advance(seconds)


@contextlib.asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


def make(place: Path, queue: Queue, clock: Clock, **more: Any) -> Any:
    backoff = source.Backoff(chance=lambda: 0.0)
    agent = source.Local(str(place))
    types = ["plugin", "volume"]
    return source.Follower(
        "web1", agent, queue.put, types, backoff=backoff, sleep=clock.sleep, **more
    )


async def take(queue: Queue, *wanted: str) -> list[dict[str, Any]]:
    """Take as many events as are wanted; these are their types and actions."""
    events = [await queue.get() for _ in wanted]
    assert [f"{event['type']} {event['action']}" for event in events] == list(wanted)
    return events
