# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Host mounts of a plugin that was removed, or whose directory was moved: known, repaired, cleared."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugind import errors
from plugind.engine.plugin import enable, remove
from plugind.engine.volume import host_mounts, volumes
from plugind.model.plugin import Plugin
from support.engine import World, until
from support.host_mount_steps import holders, in_words, mount, records, stack, state, told, unmount


@pytest.fixture
async def plugin(world: World) -> Plugin:
    """An enabled driver that has its volume `v` in a directory of the disk, as localdir has."""
    world.machine.plain = True
    return await install(world)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mnt" / "v"


async def install(world: World) -> Plugin:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    return plugin


def source(world: World, plugin: Plugin) -> tuple[str, str]:
    return "0:1", str(world.layout.propagated_mount(plugin.id) / "v")


async def test_it_is_unmounted_and_repaired_when_its_driver_is_back(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    assert stack(world, path) == [source(world, plugin)]
    world.machine.busy[path] = "process 7 (vi)"  # force takes it away from its users
    await remove.remove(world.engine, "toy", force=True)
    world.machine.busy.clear()
    assert stack(world, path) == []
    assert (await told(world))[-1] == "detach"
    shown = await host_mounts.inspect_host_mount(world.engine, str(path))
    assert (shown["State"], shown["Error"]) == ("unmounted", 'plugin "toy:latest" not found')
    assert len(records(world)) == len(holders(world)) == 1
    again = await install(world)
    assert again.id != plugin.id
    assert (await mount(world, path))["State"] == "mounted"
    assert stack(world, path) == [source(world, again)]
    assert await unmount(world, path) == ""
    assert stack(world, path) == records(world) == holders(world) == []
    assert not path.parent.exists()


async def test_it_is_mounted_again_by_itself_if_the_driver_still_has_the_volume(
    world: World, path: Path
) -> None:
    plugin = await install(world)
    await mount(world, path)
    known = world.host.volumes[plugin.id]
    await remove.remove(world.engine, "toy", force=True)
    assert stack(world, path) == []
    again = await world.install(world.publish())
    world.host.volumes[again.id] = known
    await enable.enable(world.engine, "toy", timeout=0)
    assert await state(world, path) == "mounted"


async def test_a_removal_that_fails_leaves_a_plugin_that_mounts_again(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    await enable.disable(world.engine, "toy", force=True)
    world.machine.refuse_release = "cannot unmount"
    await in_words("cannot unmount", errors.System, remove.remove(world.engine, "toy", force=True))
    assert await state(world, path) == "unmounted"
    world.machine.refuse_release = ""
    await enable.enable(world.engine, "toy", timeout=0)
    assert stack(world, path) == [source(world, plugin)]


async def test_what_covers_it_is_left_and_said_until_it_is_gone(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    world.machine.mounted_by_hand(path)
    await remove.remove(world.engine, "toy", force=True)
    device, root = source(world, plugin)
    trash = world.layout.trash / f"{plugin.id}-0f"
    world.machine.renamed(world.layout.plugin_dir(plugin.id), trash)
    assert stack(world, path)[0] == (device, f"{trash}/propagated-mount/v") != (device, root)
    assert await state(world, path) == "covered"
    words = f'cannot unmount "{path}": tmpfs from "somebody" is mounted over it'
    await in_words(words, errors.Conflict, unmount(world, path, force=True))
    world.machine.unmounted_by_hand(path)
    assert await state(world, path) == "stale"
    await unmount(world, path)
    assert stack(world, path) == records(world) == []


async def test_a_volume_without_a_record_is_known_by_the_directory(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    await enable.disable(world.engine, "toy", force=True)
    await volumes.remove_volume(world.engine, "v", force=True)
    assert stack(world, path) == [source(world, plugin)]
    await remove.remove(world.engine, "toy", force=False)
    assert stack(world, path) == []
    await unmount(world, path)
    assert records(world) == []


@pytest.mark.parametrize("repaired", [True, False], ids=["repaired", "cleared"])
async def test_a_directory_that_was_set_aside_is_still_known(
    world: World, plugin: Plugin, path: Path, repaired: bool
) -> None:
    await mount(world, path)
    directory = world.layout.plugin_dir(plugin.id)
    (directory / "plugin.json").write_text("{}")
    await world.reopen()
    await until(lambda: not world.engine.background)
    [aside] = world.layout.quarantine.iterdir()
    world.machine.renamed(directory, aside)
    shown = await host_mounts.inspect_host_mount(world.engine, str(path))
    assert (shown["State"], shown["Error"]) == ("stale", 'plugin "toy:latest" not found')
    if repaired:
        again = await install(world)
        assert (await mount(world, path))["State"] == "mounted"
        assert stack(world, path) == [source(world, again)]
    else:
        await unmount(world, path)
        assert stack(world, path) == records(world) == holders(world) == []
