# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Boot: by (enabled, alive), with records that cannot be read, and on a newer store."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from plugind.engine import lookup, reconcile
from plugind.engine.plugin import configure, enable
from plugind.engine.volume import host_mounts, volumes
from plugind.model.host_mount import HostMount
from plugind.model.lifecycle import PluginState
from support import invariants
from support.engine import World, until


def names(world: World) -> list[str]:
    return [plugin.name for plugin in lookup.list_plugins(world.engine)]


async def test_enabled_and_dead_is_started(world: World) -> None:
    plugin = await world.running()
    await world.drop()
    await world.host.close()
    world.host.processes.clear()  # a reboot
    await world.open()
    world.clock.advance(await world.clock.sleeper())
    await world.entry(plugin).settled.wait()
    assert world.entry(plugin).state is PluginState.RUNNING
    assert world.host.is_running(plugin.id)


async def test_disabled_and_alive_is_stopped(world: World) -> None:
    plugin = await world.running()
    await world.drop()
    world.engine.plugin_store.save(plugin.with_enabled(False))
    await world.open()
    assert not world.host.is_running(plugin.id)
    assert world.entry(plugin).state is PluginState.DISABLED
    assert not world.layout.socket_dir(plugin.id).exists()


async def test_what_cannot_be_adopted_is_started_anew(world: World) -> None:
    plugin = await world.running()
    await world.drop()
    world.host.refused_adoptions = 1
    await world.open()
    assert world.entry(plugin).last_error == "cannot ask the runtime"
    for _ in range(2):  # the first start finds the old container in its way, and clears it away
        world.clock.advance(await world.clock.sleeper())
    await world.entry(plugin).settled.wait()
    assert world.entry(plugin).state is PluginState.RUNNING
    assert world.host.starts.count(plugin.id) == 2


async def test_unknown_and_alive_is_purged(world: World) -> None:
    plugin = await world.running()
    await world.drop()
    shutil.rmtree(world.layout.plugin_dir(plugin.id))
    await world.open()
    assert world.host.processes == {}
    invariants.check_empty(world.layout.root)


async def test_a_broken_record_is_set_aside_and_the_rest_go_on(world: World) -> None:
    broken = await world.install(world.publish("broken", description="broken"), "broken")
    plugin = await world.running()
    world.layout.plugin_record(broken.id).write_text("{")
    await world.reopen()
    assert names(world) == ["toy:latest"]
    assert world.entry(plugin).state is PluginState.RUNNING
    assert [path.name for path in world.layout.quarantine.iterdir()] == [f"{broken.id}-1"]
    # Nobody knows what it needs, so nothing is collected until the next boot.
    assert all(world.engine.content.has(digest) for digest in broken.blobs)


async def test_a_store_of_a_newer_plugind_is_read_and_not_touched(world: World) -> None:
    other = await world.install(world.publish("other", description="other"), "other")
    plugin = await world.running()
    await world.drop()
    world.layout.plugin_record(other.id).write_text('{"format": "of the future"}')
    before = sorted(world.layout.root.rglob("*"))
    world.engine.entries.clear()
    world.engine.degraded = "the store is newer"
    await reconcile.look(world.engine)
    assert names(world) == ["toy:latest"]
    assert world.entry(plugin).state is PluginState.RUNNING
    assert world.host.starts == [plugin.id]
    assert sorted(world.layout.root.rglob("*")) == before


async def test_an_agent_that_stops_waits_for_no_driver_s_answer(
    world: World, tmp_path: Path
) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    mount = HostMount(path=str(tmp_path / "here"), volume="v")
    await host_mounts.mount_on_host(world.engine, mount)
    world.host.behave(plugin.id, "hang=VolumeDriver.Get")
    before = len(world.host.calls(plugin.id))
    await world.reopen()
    await until(lambda: len(world.host.calls(plugin.id)) > before)
    asking = list(world.engine.background)
    async with asyncio.timeout(30):
        await reconcile.leave(world.engine)
    assert [task for task in asking if not task.done()]


async def test_settings_and_states_survive(world: World) -> None:
    plugin = await world.install(world.publish())
    await configure.configure(world.engine, "toy", ["DEBUG=1"])
    await enable.enable(world.engine, "toy", timeout=0)
    before = lookup.find(world.engine, "toy")
    await world.reopen()
    assert lookup.find(world.engine, plugin.id) == before
