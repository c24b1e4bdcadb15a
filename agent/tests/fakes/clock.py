# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Time that passes only when a test says so: implements `engine.ports.Clock`.

clock = VirtualClock()
await clock.sleeper()        waits until somebody sleeps; returns for how long
clock.advance(0.1)           wakes who has slept enough
"""

from __future__ import annotations

import asyncio

START_NS = 1_800_000_000 * 1_000_000_000


class VirtualClock:
    """See the module's text."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    def now_ns(self) -> int:
        return START_NS + round(self._now * 1e9)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        sleeper = (self._now + seconds, woken)
        self._sleepers.append(sleeper)
        self.slept.append(seconds)
        self._arrived.set()
        try:
            await woken
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    @property
    def is_slept_on(self) -> bool:
        """True while somebody sleeps."""
        return bool(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        for until, woken in list(self._sleepers):
            if until <= self._now and not woken.done():
                woken.set_result(None)

    async def sleeper(self) -> float:
        """Wait until somebody sleeps who was not waited for before; return for how long."""
        await self._arrived.wait()
        self._arrived.clear()
        return self.slept[-1]
