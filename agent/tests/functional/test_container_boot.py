# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers and an agent that comes and goes."""

from __future__ import annotations

import pytest

from plugind.engine.container import attach, run
from plugind.model.containers.container import Status
from support.containers import add_image, create, holders, nothing_is_held, start
from support.engine import World


@pytest.fixture
async def world(world: World) -> World:
    """A world with the image `box`."""
    await add_image(world)
    return world


async def test_the_agent_dies_while_a_container_runs(world: World) -> None:
    entry = await create(world, "wait", Binds=["vol:/data"])
    await start(world, entry)
    pid = entry.container.state.pid
    await world.reopen()
    again = world.engine.containers.entries[entry.container.id]
    assert again.container.state.running
    assert again.container.state.pid == pid
    assert holders(world, "vol") == [entry.container.id]
    ending = attach.waiting(again, "next-exit")
    world.container_machine.processes[entry.container.id].end(5)
    assert (await ending).exit_code == 5
    assert nothing_is_held(world)


@pytest.mark.parametrize("auto_remove", [False, True])
async def test_a_container_ends_while_the_agent_is_away(world: World, *, auto_remove: bool) -> None:
    entry = await create(world, "wait", Binds=["vol:/data"], AutoRemove=auto_remove)
    await start(world, entry)
    await world.drop()
    world.container_machine.processes[entry.container.id].end(7)
    await world.open()
    assert nothing_is_held(world)
    found = world.engine.containers.entries
    assert list(found) == ([] if auto_remove else [entry.container.id])
    if not auto_remove:
        assert found[entry.container.id].container.state.exit_code == 7


async def test_the_host_goes_down(world: World) -> None:
    entry = await create(world, "wait", Binds=["vol:/data"])
    await start(world, entry)
    await world.drop()
    world.container_machine.processes.clear()
    world.container_machine.assembled.clear()
    await world.open()
    state = world.engine.containers.entries[entry.container.id].container.state
    assert (state.status, state.exit_code) == (Status.EXITED, run.UNKNOWN_STATUS)
    assert nothing_is_held(world)


async def test_a_container_without_a_record_is_purged(world: World) -> None:
    entry = await create(world, "wait")
    await start(world, entry)
    await world.drop()
    world.engine.containers.store.remove(entry.container.id)
    await world.open()
    assert world.container_machine.processes == {}
