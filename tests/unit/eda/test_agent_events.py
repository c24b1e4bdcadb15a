# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The event source for ansible-rulebook, on a fake agent: no event is lost, none comes twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes import event_stream
from support.eda import Clock, Queue, make, running, source, take

SEC = event_stream.SEC


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s"


# ------------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize(
    ("kind", "attributes", "plugin"),
    [
        ("plugin", {"name": "toy:latest", "exitCode": "1"}, "toy:latest"),
        ("volume", {"driver": "toy:latest", "container": "web"}, "toy:latest"),
        ("container", {"name": "c"}, ""),
    ],
)
def test_an_event_is_the_same_whatever_it_is_about(
    kind: str, attributes: dict[str, str], plugin: str
) -> None:
    line = {
        "Type": kind, "Action": "died", "Actor": {"ID": "1d", "Attributes": attributes},
        "scope": "local", "time": 7, "timeNano": 7_000_000_001,
    }  # fmt: skip
    assert source.parse_event("web1", json.dumps(line).encode()) == {
        "host": "web1", "type": kind, "action": "died", "plugin": plugin, "id": "1d",
        "time": 7_000_000_001, "attributes": attributes,
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"", b"Welcome to web1!", b"\xff{}", b"[]", b"7", b"{}", b"[" * 100_000,
        b'{"Type":"plugin","Action":"died","Actor":[],"timeNano":1}',
        b'{"Type":"plugin","Action":"died","Actor":{"ID":"1","Attributes":[1]},"timeNano":1}',
        b'{"Type":{},"Action":"died","Actor":{"ID":"1"},"timeNano":1}',
        b'{"Type":"plugin","Action":7,"Actor":{"ID":"1"},"timeNano":1}',
        b'{"Type":"plugin","Action":"died","Actor":{"ID":"1"},"timeNano":"1"}',
        b'{"Type":"plugin","Action":"died","Actor":{"ID":"1"},"timeNano":-1}',
        b'{"Type":"plugin","Action":"died","Actor":{"ID":"1"},"timeNano":9223372036854775808}',
        b'{"Type":"plugin","Action":"died","Actor":{"ID":"1","Attributes":{"name":[]}},"timeNano":1}',
    ],
)  # fmt: skip
def test_what_is_not_an_event_is_none(line: bytes) -> None:
    assert source.parse_event("web1", line) is None


def test_no_text_of_a_host_can_become_a_template_on_the_controller() -> None:
    line = {
        "Type": "plugin", "Action": "{% x", "timeNano": 1,
        "Actor": {
            "ID": "{{{{ a }}",
            "Attributes": {"name": "{{ lookup('pipe', 'id') }}", "{{ k }}": "{# c"},
        },
    }  # fmt: skip
    event = source.parse_event("web1", json.dumps(line).encode())
    assert event["plugin"] == "({ lookup('pipe', 'id') }}"
    assert event["attributes"] == {"name": event["plugin"], "({ k }}": "(# c"}
    for begin in ("{{", "{%", "{#"):
        assert begin not in str({**event, "attributes": str(event["attributes"])[1:-1]})
    steps = {"steps": [{"reason": "{{ 7 }}"}]}
    assert source.disarm(steps) == {"steps": [{"reason": "({ 7 }}"}]}


async def pieces(*raw: bytes) -> AsyncIterator[bytes]:
    for one in raw:
        yield one


async def test_lines_are_put_together_and_half_a_line_at_the_end_is_none() -> None:
    lines = [line async for line in source.split_lines(pieces(b"a", b"b\nc\n\nd", b"e\nf"))]
    assert lines == [b"ab", b"c", b"", b"de"]


async def test_a_line_without_end_is_given_up() -> None:
    endless = (b"x" * (1 << 16) for _ in range(1 << 20))
    with pytest.raises(source.Lost, match="a line of more than 1048576 bytes"):
        async for _ in source.split_lines(pieces(*[next(endless) for _ in range(18)])):
            pass


# ---------------------------------------------------------------------------------------------------------- following


async def test_what_happened_meanwhile_comes_once_and_in_order(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    async with event_stream.serve(place) as agent, running(make(place, queue, clock)):
        await agent.listener()
        agent.publish("died")
        connected, died = await take(queue, "agent connected", "plugin died")
        assert (connected["host"], died["host"], died["plugin"]) == ("web1", "web1", "toy:latest")
        await agent.drop()
        await take(queue, "agent disconnected")
        agent.publish("restarted")
        agent.publish("died")
        await clock.passes(1)
        await agent.listener()
        agent.publish("gave up")
        await take(queue, "agent connected", "plugin restarted", "plugin died", "plugin gave up")
        assert queue.empty()
        first, second = agent.queries
        assert "since" not in first
        assert second["since"] == f"{event_stream.BEGIN + 1}.000000000"
        assert json.loads(second["filters"]) == {"type": ["plugin", "volume"]}


async def test_events_of_one_moment_all_come(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    async with event_stream.serve(place) as agent, running(make(place, queue, clock)):
        await agent.listener()
        first = agent.publish("died")
        await take(queue, "agent connected", "plugin died")
        await agent.drop()
        agent.history.append({**first, "Action": "restarted"})  # the same nanosecond
        await clock.passes(1)
        await take(queue, "agent disconnected", "agent connected", "plugin restarted")


async def test_nothing_is_lost_although_nothing_had_come_yet(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    async with event_stream.serve(place) as agent, running(make(place, queue, clock)):
        await agent.listener()
        await take(queue, "agent connected")
        await agent.drop()
        agent.publish("died")
        await clock.passes(1)
        await take(queue, "agent disconnected", "agent connected", "plugin died")


@pytest.mark.parametrize("lost", [1, 2], ids=["overrun", "restarted"])
async def test_a_history_without_the_last_event_is_told_to_have_a_gap(
    place: Path, lost: int
) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    async with event_stream.serve(place) as agent, running(make(place, queue, clock)):
        await agent.listener()
        agent.publish("died")
        await take(queue, "agent connected", "plugin died")
        await agent.drop()
        agent.publish("restarted")
        kept = agent.history[lost:]
        agent.history[:] = [{"Type": "", "timeNano": 0}] * lost + kept
        await clock.passes(1)
        await agent.listener()
        agent.publish("gave up")
        await take(queue, "agent disconnected", "agent connected")
        [gap] = await take(queue, "agent gap")
        assert gap["attributes"] == {
            "after": str((event_stream.BEGIN + 1) * SEC),
            "before": str((event_stream.BEGIN + lost + 1) * SEC),
        }
        await take(queue, *["plugin restarted", "plugin gave up"][lost - 1 :])


async def test_what_is_not_an_event_is_passed_over(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue: Queue = asyncio.Queue()
    async with event_stream.serve(place) as agent, running(make(place, queue, Clock())):
        await agent.listener()
        agent.send(b"no event\n\n{}\n")
        agent.publish("died")
        await take(queue, "agent connected", "plugin died")
    assert [record.getMessage() for record in caplog.records] == [
        "web1: not an event: b'no event'",
        "web1: not an event: b'{}'",
    ]


async def test_pauses_grow_and_a_connection_ends_the_row(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    async with running(make(place, queue, clock)):
        [lost] = await take(queue, "agent disconnected")
        assert "cannot GET /events at" in lost["attributes"]["error"]
        for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
            assert await clock.asked.get() == seconds
            clock.advance(seconds)
        assert await clock.asked.get() == 60
        async with event_stream.serve(place) as agent:
            agent.refuse.append((500, "not yet"))
            clock.advance(60)
            assert await clock.asked.get() == 60
            clock.advance(60)
            await take(queue, "agent connected")  # and no second `disconnected` before
            await agent.listener()
            await agent.drop()
            assert await clock.asked.get() == 1
        await take(queue, "agent disconnected")


def test_a_pause_is_shortened_by_up_to_a_half() -> None:
    assert source.Backoff(chance=lambda: 1.0).pause() == 0.5
    assert source.Backoff(chance=lambda: 0.5, failures=3).pause() == 6.0


async def test_what_the_agent_refuses_is_said(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    async with event_stream.serve(place) as agent:
        agent.refuse.append((400, "invalid filter"))
        async with running(make(place, queue, Clock())):
            [lost] = await take(queue, "agent disconnected")
    assert lost["attributes"]["error"] == ('cannot GET /events: 400 {"message": "invalid filter"}')


async def test_a_rule_engine_that_is_slow_loses_nothing(place: Path) -> None:
    queue: Queue = asyncio.Queue(1)  # as that of ansible-rulebook
    clock = Clock()
    async with event_stream.serve(place) as agent, running(make(place, queue, clock)):
        await agent.listener()
        for number in range(50):
            agent.publish("died", number=str(number))
        await take(queue, "agent connected")
        events = [await queue.get() for _ in range(50)]
    assert [event["attributes"]["number"] for event in events] == [str(n) for n in range(50)]


# --------------------------------------------------------------------------------------------------------------- main


async def test_main_follows_until_it_is_cancelled(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    args = {"socket": str(place), "name": "here", "since": 0, "eda_feedback_queue": object()}
    async with event_stream.serve(place) as agent:
        agent.publish("died")
        task = asyncio.create_task(source.main(queue, args))
        events = await take(queue, "agent connected", "plugin died")
        assert {event["host"] for event in events} == {"here"}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert agent.queries[0]["since"] == "0.000000000"


def test_arguments_reach_every_host() -> None:
    common: dict[str, Any] = {"plugins": [{"name": "toy"}]}
    own: dict[str, Any] = {"plugins": []}
    hosts = ["web1", {"name": "web2", "address": "a@b", "declaration": own}]
    args = {"hosts": hosts, "become": True, "declaration": common, "every": 60, "repeat": True}
    followers, watchers = source.configure(args, asyncio.Queue().put)
    assert [(f.host, f.agent.address, f.agent.become) for f in followers] == [
        ("web1", "web1", True),
        ("web2", "a@b", True),
    ]
    assert [watcher.declaration for watcher in watchers] == [common, own]
    assert [(w.every, w.settle, w.repeat) for w in watchers] == [(60.0, 2.0, True)] * 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"sokcet": "/s"}, "no such arguments: sokcet"),
        ({"declaration": ["x"]}, "the declaration of localhost is not a mapping"),
    ],
)
async def test_arguments_that_are_wrong_are_said(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        await source.main(asyncio.Queue(), args)
