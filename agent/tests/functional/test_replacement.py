# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An enabled plugin gets another version or other settings in one step, and goes back if they fail.

What a kill leaves at each line is for `test_crash`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plugind import checkpoint, errors
from plugind.engine.plugin import configure, remove
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from support import content, invariants
from support.engine import World, until
from support.upgrades import do_upgrade, env, mount_calls, require_old, with_mounted_volume

BAD = {
    "exits": ("exit=1", "its process exited with status 1 before it listened on plugin.sock"),
    "hangs": ("silent", "nothing listens on plugin.sock after 0.2 s, and its process still runs"),
}


async def test_a_new_version_runs_with_old_and_new_settings(world: World) -> None:
    plugin = await with_mounted_volume(world)
    await configure.reconfigure(world.engine, "toy", ["PLUGIN_OUTPUT=kept"])
    first = world.host.processes[plugin.id]
    new = await do_upgrade(world, world.publish(tag="v2", env=env()), "DEBUG=1")
    entry = world.entry(plugin)
    assert new == entry.plugin == world.engine.plugin_store.load(plugin.id)
    assert (new.id, new.name, new.enabled) == (plugin.id, plugin.name, True)
    assert new.remote == str(world.ref(tag="v2"))
    assert {"DEBUG=1", "PLUGIN_OUTPUT=kept"} <= set(new.settings.env)
    assert world.host.processes[plugin.id].env["DEBUG"] == "1"
    assert first.exited.done()
    assert (world.layout.rootfs(plugin.id) / "version").read_bytes() == b"v2"
    assert (entry.state, entry.previous, entry.holds) == (PluginState.RUNNING, None, 0)
    assert new.previous_version == plugin.version
    invariants.check(world.layout.root)
    (ref,) = world.engine.volume_store.mounts("v")
    assert mount_calls(world, plugin) == [{"Name": "v", "ID": ref.id}]
    assert (await world.actions())[-3:] == ["volume mount", "plugin pull", "plugin upgrade"]
    assert f"Replacing {plugin.remote}" in world.statuses()
    world.host.kill(plugin.id)  # and it is supervised
    await world.clock.sleeper()
    world.clock.advance(1)
    await until(lambda: entry.state is PluginState.RUNNING)


async def test_a_plugin_without_volumes_is_not_asked_for_any(world: World) -> None:
    serves = {"types": ["docker.logdriver/1.0"], "socket": "plugin.sock"}
    plugin = await world.running(interface=serves)
    new = await do_upgrade(world, world.publish(tag="v2", interface=serves))
    assert world.entry(plugin).state is PluginState.RUNNING
    assert new.remote == str(world.ref(tag="v2"))
    assert world.host.calls(plugin.id) == []


@pytest.mark.parametrize("fault", list(BAD))
async def test_a_version_that_does_not_start_gives_way_to_the_old_one(
    world: World, fault: str
) -> None:
    plugin = await with_mounted_volume(world)
    behaviour, words = BAD[fault]
    bad = world.publish(tag="v2", env=env(behaviour, output="starting|!boom"))
    with pytest.raises(errors.System) as failed:
        await do_upgrade(world, bad, timeout=0.2)
    text = str(failed.value)
    begin = (
        f"cannot upgrade plugin toy:latest to {bad}, so its old version {plugin.remote} runs "
        f"again: cannot enable plugin toy:latest: {words}"
    )
    assert text.startswith(begin), text
    assert text.endswith("last output of the plugin:\n  starting\n  boom")
    require_old(world, plugin)
    assert len(mount_calls(world, plugin)) == 1
    assert world.host.starts == [plugin.id] * 3
    (event,) = [e for e in await world.events() if e.action == "rolled back"]
    assert "boom" in event.attributes["error"]
    assert "plugin upgrade" not in await world.actions()
    await world.reopen()
    assert world.entry(plugin).plugin == plugin


async def test_a_version_that_dies_while_volumes_are_mounted_again_gives_way(world: World) -> None:
    plugin = await with_mounted_volume(world)

    class Dying(list[tuple[str, Any]]):
        def append(self, call: tuple[str, Any]) -> None:
            if call[0] == "VolumeDriver.Mount":
                world.host.kill(plugin.id, 3)

    def die(point: str) -> None:
        if point == "replace:after-start":
            world.host.processes[plugin.id].plugin.calls = Dying()

    checkpoint.hook = die
    try:
        with pytest.raises(errors.System, match="status 3 after its volumes were mounted"):
            await do_upgrade(world, world.publish(tag="v2", env=env(output="last words")))
    finally:
        checkpoint.hook = None
    require_old(world, plugin)


async def test_an_old_version_that_does_not_come_back_is_said_and_tried_again(
    world: World,
) -> None:
    plugin = await world.running(env=env())
    bad = world.publish(tag="v2", env=env("exit=1", output="new boom"))

    def break_old(point: str) -> None:
        if point == "replace:after-revert":
            world.host.behave(plugin.id, "exit=2")

    checkpoint.hook = break_old
    try:
        with pytest.raises(errors.System) as failed:
            await do_upgrade(world, bad)
    finally:
        checkpoint.hook = None
    text = str(failed.value)
    assert text.startswith(f"cannot upgrade plugin toy:latest to {bad}: cannot enable")
    assert "new boom" in text
    assert f"\nand its old version {plugin.remote} does not run either: " in text
    assert "exited with status 2" in text
    entry = world.entry(plugin)
    assert (entry.plugin, entry.state) == (plugin, PluginState.BACKOFF)
    world.host.behave(plugin.id, "")
    await world.clock.sleeper()
    world.clock.advance(1)
    await until(lambda: entry.state is PluginState.RUNNING)
    require_old(world, plugin)


async def test_settings_that_the_new_version_does_not_have_stop_nothing(world: World) -> None:
    plugin = await world.running(env=env())
    newer = world.publish(tag="v2", env=[content.env("OTHER", "1")])
    words = f'cannot upgrade plugin toy:latest to {newer}: setting "DEBUG" not found'
    with pytest.raises(errors.InvalidParameter, match=words):
        await do_upgrade(world, newer, "DEBUG=1")
    require_old(world, plugin)
    assert world.host.starts == [plugin.id]


@pytest.mark.parametrize("fault", ["corrupt_blobs", "missing_blobs"])
async def test_what_cannot_be_pulled_stops_nothing(world: World, fault: str) -> None:
    plugin = await world.running(env=env())
    newer = world.publish(tag="v2")
    world.lines = _Breaking(world, fault)
    with pytest.raises(errors.PlugindError):
        await do_upgrade(world, newer)
    require_old(world, plugin)
    assert world.host.starts == [plugin.id]


class _Breaking(list[dict[str, Any]]):
    """Lets the registry break as soon as the pull has begun."""

    def __init__(self, world: World, fault: str) -> None:
        super().__init__()
        self._world, self._fault = world, fault

    def append(self, line: dict[str, Any]) -> None:
        super().append(line)
        setattr(self._world.registry.faults, self._fault, True)


@pytest.mark.parametrize("point", ["upgrade:before-commit", "swap:rootfs-placed"])
async def test_a_disk_that_fails_in_the_middle_of_the_swap_leads_back(
    world: World, point: str
) -> None:
    plugin = await world.running(env=env())
    broken = []

    def fail(passed: str) -> None:
        if passed == point and not broken:
            broken.append(passed)
            raise OSError(5, "Input/output error", "/disk")

    checkpoint.hook = fail
    try:
        with pytest.raises(errors.System, match=r"runs again: .*Input/output error"):
            await do_upgrade(world, world.publish(tag="v2", env=env()))
    finally:
        checkpoint.hook = None
    require_old(world, plugin)


async def test_a_disabled_plugin_is_upgraded_and_set_and_stays_disabled(world: World) -> None:
    plugin = await world.install(world.publish(env=env()))
    new = await do_upgrade(world, world.publish(tag="v2", env=env()), "DEBUG=1")
    assert not new.enabled
    assert "DEBUG=1" in new.settings.env
    assert world.host.starts == []
    assert world.engine.plugin_store.previous(plugin.id) is None


async def test_a_plugin_that_is_removed_meanwhile_is_not_found(world: World) -> None:
    await world.running(env=env())
    newer = world.publish(tag="v2", env=env())
    removed: list[asyncio.Task[Plugin]] = []

    class Removing(list[dict[str, Any]]):
        def append(self, line: dict[str, Any]) -> None:
            if not removed:
                work = remove.remove(world.engine, "toy", force=True)
                removed.append(asyncio.ensure_future(work))

    world.lines = Removing()
    with pytest.raises(errors.NotFound, match="not found"):
        await do_upgrade(world, newer)
    await removed[0]
    await world.swept()
    invariants.check_empty(world.layout.root)


async def test_what_is_set_while_layers_are_fetched_is_kept(world: World) -> None:
    await world.running(env=env())
    newer = world.publish(tag="v2", env=env())
    done: list[asyncio.Task[Plugin]] = []

    class Setting(list[dict[str, Any]]):
        def append(self, line: dict[str, Any]) -> None:
            if not done:
                work = configure.reconfigure(world.engine, "toy", ["DEBUG=7"])
                done.append(asyncio.ensure_future(work))

    world.lines = Setting()
    new = await do_upgrade(world, newer)
    await done[0]
    assert "DEBUG=7" in (await do_upgrade(world, newer)).settings.env
    assert new.remote == str(newer)


# ----------------------------------------------------------------------------------------- settings


async def test_settings_of_an_enabled_plugin_are_changed_by_one_restart(world: World) -> None:
    plugin = await with_mounted_volume(world)
    changed = await configure.reconfigure(world.engine, "toy", ["DEBUG=1"])
    assert "DEBUG=1" in changed.settings.env
    assert changed.settings_before is None
    assert world.entry(plugin).plugin == world.engine.plugin_store.load(plugin.id) == changed
    assert world.host.processes[plugin.id].env["DEBUG"] == "1"
    assert len(mount_calls(world, plugin)) == 1
    assert (await world.actions())[-1] == "plugin set"
    starts = list(world.host.starts)
    assert await configure.reconfigure(world.engine, "toy", ["DEBUG=1"]) == changed
    assert world.host.starts == starts  # nothing differs, nothing is stopped


async def test_settings_with_which_it_does_not_start_are_taken_back(world: World) -> None:
    plugin = await with_mounted_volume(world)
    with pytest.raises(errors.System) as failed:
        await configure.reconfigure(
            world.engine, "toy", ["PLUGIN_BEHAVIOUR=exit=4", "PLUGIN_OUTPUT=oh no"]
        )
    assert str(failed.value) == (
        "cannot set plugin toy:latest, so it runs again with its old settings: cannot enable plugin "
        "toy:latest: its process exited with status 4 before it listened on plugin.sock; last output "
        "of the plugin:\n  oh no"
    )
    require_old(world, plugin)
    assert len(mount_calls(world, plugin)) == 1
    assert "plugin set" not in await world.actions()
    await world.reopen()
    assert world.entry(plugin).plugin == plugin


async def test_a_bad_assignment_stops_nothing(world: World) -> None:
    plugin = await world.running(env=env())
    with pytest.raises(errors.InvalidParameter, match='setting "NOBODY" not found'):
        await configure.reconfigure(world.engine, "toy", ["DEBUG=1", "NOBODY=1"])
    require_old(world, plugin)
    assert world.host.starts == [plugin.id]


async def test_settings_of_a_disabled_plugin_are_just_set(world: World) -> None:
    plugin = await world.install(world.publish(env=env()))
    await configure.reconfigure(world.engine, "toy", ["DEBUG=1"])
    assert world.host.starts == []
    assert "DEBUG=1" in world.engine.plugin_store.load(plugin.id).settings.env
