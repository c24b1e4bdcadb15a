# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers whose volumes, records or names are not as they should be."""

from __future__ import annotations

import pytest

from plugind import errors
from plugind.engine.container import containers, run
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.plugin import remove
from support.containers import add_image, create, ended, holders, nothing_is_held, start
from support.engine import World


@pytest.fixture
async def world(world: World) -> World:
    """A world with the image `box`."""
    await add_image(world)
    return world


async def with_volume(world: World) -> ContainerEntry:
    """Run a container that holds volume v of plugin toy."""
    mount = {
        "Type": "volume", "Source": "v", "Target": "/data",
        "VolumeOptions": {"DriverConfig": {"Name": "toy"}},
    }  # fmt: skip
    entry = await create(world, "wait", name="web", Mounts=[mount])
    await start(world, entry)
    assert holders(world, "v") == [entry.container.id]
    return entry


async def test_what_a_driver_does_not_unmount_is_held_until_the_container_is_removed(
    world: World,
) -> None:
    plugin = await world.running()
    entry = await with_volume(world)
    world.host.behave(plugin.id, "fail=VolumeDriver.Unmount:device is busy")
    await run.kill(world.engine, entry, "")
    assert await ended(entry) == 137
    assert holders(world, "v") == [entry.container.id], "it is on record for a next try"
    await containers.remove_container(world.engine, "web", force=False, volumes=False)
    assert nothing_is_held(world), "nobody of that name will ever come back"


async def test_a_driver_that_was_removed_is_not_asked(world: World) -> None:
    await world.running()
    entry = await with_volume(world)
    await remove.remove(world.engine, "toy", force=True)
    await run.kill(world.engine, entry, "")
    assert await ended(entry) == 137
    assert nothing_is_held(world)


async def test_a_broken_record_is_set_aside_and_does_not_stop_the_rest(world: World) -> None:
    broken = await create(world, "wait", name="broken")
    whole = await create(world, "wait", name="whole")
    await world.drop()
    store = world.engine.containers.store
    (store.dirs(broken.container.id).root / "container.json").write_text('{"half')
    await world.open()
    assert list(world.engine.containers.entries) == [whole.container.id]
    await start(world, world.engine.containers.entries[whole.container.id])


async def test_the_beginning_of_two_ids_is_nobodys(world: World) -> None:
    seen: set[str] = set()
    for _ in range(17):  # more than there are digits
        container_id = (await create(world, "wait")).container.id
        if container_id[0] in seen:
            with pytest.raises(errors.InvalidParameter, match="multiple IDs found with provided"):
                containers.find_container(world.engine, container_id[0])
            return
        seen.add(container_id[0])


async def test_only_what_has_ended_is_pruned(world: World) -> None:
    running = await create(world, "wait", name="running")
    await start(world, running)
    waiting = await create(world, "wait", name="created")
    gone, _ = await containers.prune_containers(world.engine, {})
    assert gone == [waiting.container.id]
    assert list(world.engine.containers.entries) == [running.container.id]
