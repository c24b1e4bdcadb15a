# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Mount and unmount for named holders: written before, removed after, kept across a crash."""

from __future__ import annotations

from typing import Any

import pytest

from plugind import errors
from plugind.engine.plugin import enable
from plugind.engine.volume import mounting, volumes
from plugind.model.plugin import Plugin
from plugind.model.volume import MountRef
from support import invariants
from support.engine import World


@pytest.fixture
async def plugin(world: World) -> Plugin:
    """An enabled driver with the volume `v`."""
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    return plugin


def refs(world: World) -> tuple[MountRef, ...]:
    return world.engine.volume_store.mounts("v")


def calls(world: World, plugin: Plugin, method: str) -> list[Any]:
    return [body for name, body in world.host.calls(plugin.id) if name.endswith(f".{method}")]


async def test_a_mounted_volume_is_below_the_propagated_mount(world: World, plugin: Plugin) -> None:
    path = await mounting.mount_volume(world.engine, "v", "web")
    data = world.layout.propagated_mount(plugin.id) / "v"
    assert path == str(data)
    assert data.is_dir()
    [ref] = refs(world)
    assert (ref.holder, ref.mountpoint) == ("web", path)
    assert calls(world, plugin, "Mount") == [{"Name": "v", "ID": ref.id}]
    assert await mounting.holders(world.engine, "v") == [
        {"Holder": "web", "ID": ref.id, "Mountpoint": path}
    ]
    event = (await world.events())[-1]
    assert (event.action, event.id) == ("mount", "v")
    assert event.attributes == {"driver": "toy:latest", "container": "web", "destination": path}
    shown = await volumes.inspect_volume(world.engine, "v")
    listed, _ = await volumes.list_volumes(world.engine, dangling=False)
    assert shown["Mountpoint"] == listed[0]["Mountpoint"] == path


async def test_mounting_again_for_the_same_holder_asks_nobody(world: World, plugin: Plugin) -> None:
    first = await mounting.mount_volume(world.engine, "v", "web")
    assert await mounting.mount_volume(world.engine, "v", "web") == first
    assert len(calls(world, plugin, "Mount")) == len(refs(world)) == 1


async def test_each_holder_unmounts_with_the_id_it_mounted_with(
    world: World, plugin: Plugin
) -> None:
    for holder in ("a", "b"):
        await mounting.mount_volume(world.engine, "v", holder)
    ids = {ref.holder: ref.id for ref in refs(world)}
    await mounting.unmount_volume(world.engine, "v", "a")
    assert calls(world, plugin, "Unmount") == [{"Name": "v", "ID": ids["a"]}]
    assert [ref.holder for ref in refs(world)] == ["b"]
    event = (await world.events())[-1]
    assert (event.action, event.attributes["container"]) == ("unmount", "a")


async def test_unmounting_what_is_not_mounted_is_not_found(world: World, plugin: Plugin) -> None:
    await mounting.mount_volume(world.engine, "v", "web")
    with pytest.raises(errors.NotFound, match=r'^volume v is not mounted for "db"$'):
        await mounting.unmount_volume(world.engine, "v", "db")
    with pytest.raises(errors.NotFound):
        await mounting.unmount_volume(world.engine, "nobody", "db")
    assert calls(world, plugin, "Unmount") == []


@pytest.mark.usefixtures("plugin")
async def test_a_mounted_volume_is_not_removed_and_names_its_holders(world: World) -> None:
    for holder in ("web", "db"):
        await mounting.mount_volume(world.engine, "v", holder)
    for force in (False, True):
        with pytest.raises(errors.Conflict, match=r"^remove v: volume is in use - \[db, web\]$"):
            await volumes.remove_volume(world.engine, "v", force=force)


async def test_a_driver_that_cannot_mount_leaves_no_holder(world: World, plugin: Plugin) -> None:
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:no route to host")
    with pytest.raises(errors.System, match=r"^cannot mount volume v: no route to host$"):
        await mounting.mount_volume(world.engine, "v", "web")
    assert refs(world) == ()
    assert "volume mount" not in await world.actions()


async def test_a_driver_that_cannot_unmount_keeps_the_holder(world: World, plugin: Plugin) -> None:
    await mounting.mount_volume(world.engine, "v", "web")
    world.host.behave(plugin.id, "fail=VolumeDriver.Unmount:busy")
    with pytest.raises(errors.System, match=r"^cannot unmount volume v: busy$"):
        await mounting.unmount_volume(world.engine, "v", "web")
    assert len(refs(world)) == 1


@pytest.mark.usefixtures("plugin")
async def test_nobody_mounts_without_a_name_or_what_is_not_there(world: World) -> None:
    with pytest.raises(errors.InvalidParameter, match="no holder was named"):
        await mounting.mount_volume(world.engine, "v", "")
    with pytest.raises(errors.NoSuchVolume, match=r"^get nobody: no such volume$"):
        await mounting.mount_volume(world.engine, "nobody", "web")
    with pytest.raises(errors.NoSuchVolume):
        await mounting.holders(world.engine, "nobody")


async def test_a_volume_that_only_the_driver_knows_is_recorded_when_mounted(
    world: World, plugin: Plugin
) -> None:
    world.host.volumes[plugin.id]["found"] = {}
    await mounting.mount_volume(world.engine, "found", "web")
    record = invariants.load_volumes(world.layout.root)["found"]
    assert (record["driver"], record["created_at"]) == ("toy:latest", "2026-01-02T03:04:05Z")


async def test_plugin_and_holders_outlive_the_agent(world: World, plugin: Plugin) -> None:
    path = await mounting.mount_volume(world.engine, "v", "web")
    pid = world.host.processes[plugin.id].pid
    await world.reopen()
    entry = world.entry(plugin)
    assert entry.container is not None
    assert entry.container.pid == pid
    assert world.host.starts == [plugin.id]
    assert world.machine.released == []
    assert [ref.mountpoint for ref in refs(world)] == [path]
    await mounting.unmount_volume(world.engine, "v", "web")
    await volumes.remove_volume(world.engine, "v", force=False)
    invariants.check(world.layout.root)


async def test_an_adopted_plugin_is_supervised(world: World, plugin: Plugin) -> None:
    await world.reopen()
    world.host.kill(plugin.id)
    world.clock.advance(await world.clock.sleeper())
    await world.entry(plugin).settled.wait()
    assert await world.actions() == ["plugin died", "plugin restarted"]


async def test_a_reference_without_its_mount_is_mounted_again_with_its_id(
    world: World, plugin: Plugin
) -> None:
    # What a crash between the reference and the driver's answer leaves.
    world.engine.volume_store.save_mounts("v", (MountRef(holder="web", id="5eed"),))
    await world.reopen()
    path = await mounting.mount_volume(world.engine, "v", "web")
    assert calls(world, plugin, "Mount") == [{"Name": "v", "ID": "5eed"}]
    assert [(ref.id, ref.mountpoint) for ref in refs(world)] == [("5eed", path)]


async def test_a_disabled_driver_cannot_unmount_and_keeps_the_holder(
    world: World, plugin: Plugin
) -> None:
    await mounting.mount_volume(world.engine, "v", "web")
    await enable.disable(world.engine, "toy", force=True)
    with pytest.raises(errors.Conflict, match=f"^plugin {plugin.name} found but disabled$"):
        await mounting.unmount_volume(world.engine, "v", "web")
    assert len(refs(world)) == 1
