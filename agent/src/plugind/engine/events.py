# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The event hub: a bounded backlog, and subscribers that cannot slow anybody down."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from plugind.engine import ports
from plugind.model.event import IMAGE, PLUGIN, VOLUME, Event
from plugind.model.images.image import Image
from plugind.model.plugin import Plugin

BACKLOG = 256
_QUEUE_LIMIT = 4096


class Hub:
    """Publishes events to subscribers and keeps the last 256."""

    def __init__(self, clock: ports.Clock) -> None:
        self._clock = clock
        self._backlog: collections.deque[Event] = collections.deque(maxlen=BACKLOG)
        self._subscribers: set[asyncio.Queue[Event | None]] = set()

    def publish(self, event: Event) -> None:
        """Give the event its time and hand it to everybody who listens."""
        event = replace(event, time_ns=self._clock.now_ns())
        self._backlog.append(event)
        for queue in list(self._subscribers):
            if queue.full():
                # A client that reads nothing loses its stream, not the engine its memory.
                self._subscribers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def plugin(self, action: str, plugin: Plugin, **attributes: str) -> None:
        """Publish a plugin event; Actor.ID is the plugin's id."""
        named = {"name": plugin.name, **attributes}
        self.publish(Event(type=PLUGIN, action=action, id=plugin.id, attributes=named))

    def publish_pull(self, plugin: Plugin, remote: str) -> None:
        """Publish a pull: its Actor.ID is the remote reference, as in the original."""
        named = {"name": plugin.name}
        self.publish(Event(type=PLUGIN, action="pull", id=remote, attributes=named))

    def volume(self, action: str, name: str, driver: str, **attributes: str) -> None:
        """Publish a volume event; Actor.ID is the volume's name."""
        named = {"driver": driver, **attributes}
        self.publish(Event(type=VOLUME, action=action, id=name, attributes=named))

    def image(self, action: str, image: Image, *, name: str, id: str = "") -> None:
        """Publish an image event; Actor.ID is the image's id, except for a pull: the reference."""
        named = {**image.config.labels, "name": name}
        self.publish(Event(type=IMAGE, action=action, id=id or str(image.id), attributes=named))

    def close(self) -> None:
        """End every stream (at shutdown)."""
        for queue in list(self._subscribers):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    @contextlib.contextmanager
    def subscribe(
        self, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Iterator[AsyncIterator[Event]]:
        """Give a stream of events from `since_ns` (None: from now) to `until_ns` (None: ever on).

        Both are Unix time in nanoseconds. Subscribed from the moment the context is entered.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE_LIMIT)
        if since_ns is not None:
            for event in self._backlog:
                if event.time_ns >= since_ns and (until_ns is None or event.time_ns <= until_ns):
                    queue.put_nowait(event)
        self._subscribers.add(queue)
        try:
            yield self._stream(queue, until_ns)
        finally:
            self._subscribers.discard(queue)

    async def _stream(
        self, queue: asyncio.Queue[Event | None], until_ns: int | None
    ) -> AsyncIterator[Event]:
        while True:
            event = await self._next(queue, until_ns)
            if event is None or (until_ns is not None and event.time_ns > until_ns):
                return
            yield event

    async def _next(self, queue: asyncio.Queue[Event | None], until_ns: int | None) -> Event | None:
        if not queue.empty():
            return queue.get_nowait()  # also when the time is over
        if until_ns is None:
            return await queue.get()
        try:
            async with asyncio.timeout(max(0.0, (until_ns - self._clock.now_ns()) / 1e9)):
                return await queue.get()
        except TimeoutError:
            return None
