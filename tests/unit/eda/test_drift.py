# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The event source for ansible-rulebook: drift is told when it begins, changes and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fakes import event_stream
from support.eda import Clock, Queue, make, running, source, take

STEP = {
    "resource": "plugin/toy:latest", "action": "plugin-enable", "status": "planned",
    "description": "enable plugin toy:latest", "reason": "", "before": {}, "after": {},
}  # fmt: skip
CLEAN = {"failed": False, "changed": False, "msg": "nothing to do", "steps": []}
DRIFTED = {"failed": False, "changed": True, "msg": "1 step", "steps": [STEP]}
DECLARATION = {"plugins": [{"name": "toy"}]}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s"


def watch(follower: Any, **more: Any) -> Any:
    return source.Watcher(follower, DECLARATION, every=300, settle=2, **more)


async def test_drift_is_told_when_it_begins_and_when_it_ends(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    follower = make(place, queue, clock)
    async with event_stream.serve(place) as agent, running(follower, watch(follower)):
        agent.plans += [CLEAN, DRIFTED, DRIFTED, CLEAN, CLEAN]
        await take(queue, "agent connected")
        await clock.passes(2)  # looked at once, and it is clean: nothing to tell
        await clock.passes(300)  # the timer
        [drifted] = await take(queue, "declaration drifted")
        assert drifted["host"] == "web1"
        [step] = drifted["attributes"]["steps"]
        assert step == {key: STEP[key] for key in ("resource", "action", "description", "reason")}
        await clock.passes(300)  # still the same: not told again
        await clock.passes(300)
        await take(queue, "declaration in sync")
        await clock.passes(300)
        assert await clock.asked.get() == 300  # it has looked again, and waits
        assert queue.empty()
        assert agent.declarations == [DECLARATION] * 5


async def test_an_event_is_a_reason_to_look_once_things_have_settled(place: Path) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    follower = make(place, queue, clock)
    async with event_stream.serve(place) as agent, running(follower, watch(follower)):
        agent.plans += [CLEAN, DRIFTED]
        await take(queue, "agent connected")
        await clock.passes(2)
        assert await clock.asked.get() == 300  # it has looked, and waits
        agent.publish("mount", "volume")  # nobody's drift
        agent.publish("disable")
        agent.publish("remove")
        await take(queue, "volume mount", "plugin disable", "plugin remove")
        assert await clock.asked.get() == 2
        assert len(agent.declarations) == 1
        clock.advance(2)
        await take(queue, "declaration drifted")
        assert len(agent.declarations) == 2


@pytest.mark.parametrize("repeat", [True, False])
async def test_drift_that_lasts_is_told_again_if_wanted(place: Path, repeat: bool) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    follower = make(place, queue, clock)
    watcher = watch(follower, repeat=repeat)
    async with event_stream.serve(place) as agent, running(follower, watcher):
        agent.plans += [DRIFTED, DRIFTED, CLEAN]
        await take(queue, "agent connected")
        await clock.passes(2)
        await take(queue, "declaration drifted")
        await clock.passes(300)
        await clock.passes(300)
        await take(queue, *["declaration drifted"] * repeat, "declaration in sync")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({**CLEAN, "failed": True, "msg": "no such privilege"}, "no such privilege"),
        ([], "the answer is not that of plugind apply"),
        ({"failed": False}, "the answer is not that of plugind apply"),
    ],
)
async def test_a_look_that_fails_is_told_once(place: Path, answer: Any, error: str) -> None:
    queue: Queue = asyncio.Queue()
    clock = Clock()
    follower = make(place, queue, clock)
    async with event_stream.serve(place) as agent, running(follower, watch(follower)):
        agent.plans += [answer, answer, DRIFTED]
        await take(queue, "agent connected")
        await clock.passes(2)
        [failed] = await take(queue, "declaration check failed")
        assert error in failed["attributes"]["error"]
        await clock.passes(300)
        await clock.passes(300)
        await take(queue, "declaration drifted")
