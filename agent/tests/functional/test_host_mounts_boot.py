# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Host mounts when a plugin, the agent or the host goes down and comes back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.engine.plugin import enable
from plugind.engine.volume import host_mounts, mounting, volumes
from plugind.model.plugin import Plugin
from support.engine import World, until
from support.host_mount_steps import count, holders, in_words, mount, records, stack, state, told


@pytest.fixture
async def plugin(world: World) -> Plugin:
    """An enabled driver with the volume `v`."""
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    return plugin


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mnt" / "v"


# ------------------------------------------------------------------------------- crashes and reboots


async def test_after_a_crash_of_the_plugin_it_is_seen_again(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    [old] = stack(world, path)
    with world.engine.events.subscribe() as stream:
        world.host.kill(plugin.id)
        await world.clock.sleeper()
        # Whoever looks meanwhile gets the dead mount's error, not an empty directory.
        assert stack(world, path) == [old]
        assert await state(world, path) == "stale"
        world.clock.advance(60)
        events = [await anext(stream) for _ in range(5)]
    assert [e.action for e in events] == ["died", "restarted", "mount", "detach", "attach"]
    assert [e.attributes.get("replayed") for e in events[2:]] == ["true", None, "true"]
    assert events[4].attributes["destination"] == str(path)
    [new] = stack(world, path)
    assert new != old
    assert await state(world, path) == "mounted"
    # Another holder gets the volume at once.
    await mounting.mount_volume(world.engine, "v", "new")


async def test_a_plugin_that_cannot_mount_again_is_said_and_repaired_by_the_next_run(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    await enable.disable(world.engine, "toy", force=True)
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:down")
    await enable.enable(world.engine, "toy", timeout=5)
    shown = await host_mounts.inspect_host_mount(world.engine, str(path))
    assert shown["State"] == "stale"
    assert shown["Error"] == "plugin toy:latest has not mounted volume v again"
    await in_words("cannot mount volume v: down", errors.System, mount(world, path))
    assert len(holders(world)) == 1
    world.host.behave(plugin.id, "")
    assert (await mount(world, path))["State"] == "mounted"


async def test_a_restart_of_the_agent_touches_nothing(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    before = stack(world, path)
    await world.reopen()
    await until(lambda: not world.engine.background)
    assert stack(world, path) == before
    assert await state(world, path) == "mounted"
    assert count(world, plugin, "Mount") == 1
    assert await told(world) == []


@pytest.mark.usefixtures("plugin")
async def test_what_was_unmounted_while_the_agent_was_away_is_restored(
    world: World, path: Path
) -> None:
    await mount(world, path)
    world.machine.unmounted_by_hand(path)
    await world.reopen()
    await until(lambda: not world.engine.background)
    assert await state(world, path) == "mounted"


async def test_a_reboot_brings_it_back_once_its_plugin_runs(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    await world.drop()
    await world.host.close()
    world.host.processes.clear()
    world.machine.reboot()
    os.rmdir(path)  # as on a tmpfs
    await world.open()
    await until(lambda: not world.engine.background)
    assert await state(world, path) == "unmounted"
    shown = await host_mounts.inspect_host_mount(world.engine, str(path))
    assert shown["Error"] == "plugin toy:latest is backoff"
    world.clock.advance(await world.clock.sleeper())
    await until(lambda: stack(world, path))
    assert await state(world, path) == "mounted"
    assert count(world, plugin, "Mount") == 1
    assert holders(world) == [f"mount:{path}"]


async def test_a_local_volume_is_mounted_too_and_again_after_a_reboot(
    world: World, path: Path
) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"}
    await volumes.create_volume(
        world.engine, name="lv", driver="local", options=options, labels=None
    )
    await mount(world, path, "lv")
    data = world.engine.volume_store.data_dir("lv")
    assert stack(world, path) == stack(world, data)
    world.machine.reboot()
    await world.reopen()
    await until(lambda: not world.engine.background)
    assert stack(world, path) == stack(world, data) != []
    assert await state(world, path) == "mounted"


async def test_a_broken_record_is_set_aside(world: World, plugin: Plugin, path: Path) -> None:
    await mount(world, path)
    [directory] = records(world)
    (directory / "mount.json").write_text("{}")
    await world.reopen()
    await until(lambda: not world.engine.background)
    assert records(world) == []
    assert world.engine.host_mounts == {}
    # Nobody knows of the holder any more, so the volume is let go.
    assert holders(world) == []
    assert count(world, plugin, "Unmount") == 1
    [kept] = (world.layout.root / "quarantine").iterdir()
    assert (kept / "mount.json").exists()
