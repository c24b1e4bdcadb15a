# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Events: the backlog, streams that end, and a reader that does not read."""

from __future__ import annotations

import asyncio

import pytest

from fakes.clock import START_NS, VirtualClock
from plugind.engine import events
from plugind.model.event import Event

SECOND = 1_000_000_000


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def hub(clock: VirtualClock) -> events.Hub:
    return events.Hub(clock)


async def collect(hub: events.Hub, since: int | None, until: int | None) -> list[str]:
    with hub.subscribe(since_ns=since, until_ns=until) as stream:
        return [event.id async for event in stream]


def publish(hub: events.Hub, name: str) -> None:
    hub.volume("create", name, "local")


async def test_the_past_is_read_up_to_a_moment(hub: events.Hub, clock: VirtualClock) -> None:
    for name in ("a", "b", "c"):
        publish(hub, name)
        clock.advance(1)
    assert await collect(hub, 0, START_NS + SECOND) == ["a", "b"]
    assert await collect(hub, START_NS + SECOND, clock.now_ns()) == ["b", "c"]
    assert await collect(hub, None, clock.now_ns()) == []


async def test_the_backlog_is_bounded(hub: events.Hub, clock: VirtualClock) -> None:
    for number in range(300):
        publish(hub, str(number))
    found = await collect(hub, 0, clock.now_ns())
    assert (len(found), found[0], found[-1]) == (events.BACKLOG, "44", "299")


async def test_a_stream_goes_on_until_the_hub_closes(hub: events.Hub) -> None:
    with hub.subscribe() as stream:
        publish(hub, "a")
        assert (await anext(stream)).id == "a"
        hub.close()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_an_event_after_the_end_is_not_in_it(hub: events.Hub, clock: VirtualClock) -> None:
    with hub.subscribe(until_ns=START_NS + SECOND) as stream:
        clock.advance(2)
        publish(hub, "late")
        assert [event.id async for event in stream] == []


async def test_every_subscriber_gets_every_event(hub: events.Hub) -> None:
    with hub.subscribe() as one, hub.subscribe() as two:
        publish(hub, "a")
        first: tuple[Event, Event] = tuple(await asyncio.gather(anext(one), anext(two)))
    assert first[0] == first[1]


async def test_a_reader_that_does_not_read_loses_its_stream(hub: events.Hub) -> None:
    with hub.subscribe() as stream:
        for number in range(5000):
            publish(hub, str(number))
        found = [event.id async for event in stream]
    assert len(found) < 5000
