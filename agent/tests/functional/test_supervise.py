# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A plugin that dies comes back with backoff, until the limit; each step is an event."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from plugind import errors
from plugind.engine import describe, lookup
from plugind.engine.context import Entry
from plugind.engine.plugin import configure, enable, remove, upgrade
from plugind.engine.volume import host_mounts, mounting, volumes
from plugind.model.confinement import Confinement, Policy
from plugind.model.facts import MemoryKill
from plugind.model.host_mount import HostMount
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from support import content, invariants
from support.engine import OPTIONS, World, until


async def give_up_on(world: World, plugin: Plugin) -> Entry:
    """Let a running plugin die and fail until its limit is reached."""
    world.host.behave(plugin.id, "exit=9")
    world.host.kill(plugin.id)
    while len(world.clock.slept) < world.options.restart.limit:
        world.clock.advance(await world.clock.sleeper())
    entry = world.entry(plugin)
    await entry.settled.wait()
    return entry


async def test_it_comes_back_after_a_crash(world: World) -> None:
    plugin = await world.running()
    entry = world.entry(plugin)
    pid = entry.container.pid if entry.container else 0
    world.host.kill(plugin.id, status=11)
    assert await world.clock.sleeper() == 0.1
    assert (entry.state, entry.last_exit) == (PluginState.BACKOFF, 11)
    assert not world.host.is_running(plugin.id)
    world.clock.advance(0.1)
    await entry.settled.wait()
    assert entry.state is PluginState.RUNNING
    assert entry.container is not None
    assert entry.container.pid != pid
    died, restarted = (await world.events())[-2:]
    assert (died.action, died.attributes["exitCode"]) == ("died", "11")
    assert (restarted.action, restarted.attributes["restarts"]) == ("restarted", "1")
    assert invariants.load_records(world.layout.root)["toy:latest"]["enabled"]


async def test_restarts_wait_longer_and_longer_and_end_at_the_limit(world: World) -> None:
    plugin = await world.running()
    entry = await give_up_on(world, plugin)
    assert world.clock.slept == [0.1, 0.2, 0.4]
    assert (entry.state, entry.failures) == (PluginState.FAILED, 4)
    assert "exited with status 9" in entry.last_error
    assert await world.actions() == [
        "plugin pull", "plugin enable", "plugin died", "plugin gave up",
    ]  # fmt: skip
    assert (await world.events())[-1].attributes["failures"] == "4"


async def test_a_healthy_run_ends_the_row_of_failures(world: World) -> None:
    plugin = await world.running()
    entry = world.entry(plugin)
    for _ in range(2):
        world.host.kill(plugin.id)
        world.clock.advance(await world.clock.sleeper())
        await entry.settled.wait()
    assert world.clock.slept == [0.1, 0.2]
    world.clock.advance(world.options.restart.healthy_after)
    world.host.kill(plugin.id)
    assert await world.clock.sleeper() == 0.1


async def test_one_that_was_given_up_on_is_shown_as_disabled_and_tried_at_the_next_boot(
    world: World,
) -> None:
    plugin = await world.running()
    await give_up_on(world, plugin)
    assert not lookup.find(world.engine, "toy").enabled
    assert invariants.load_records(world.layout.root)["toy:latest"]["enabled"]
    world.host.behave(plugin.id, "")
    await world.reopen()
    world.clock.advance(await world.clock.sleeper())
    await world.entry(plugin).settled.wait()
    assert lookup.find(world.engine, "toy").enabled


async def test_one_that_was_given_up_on_can_be_enabled(world: World) -> None:
    plugin = await world.running()
    entry = await give_up_on(world, plugin)
    world.host.behave(plugin.id, "")
    await enable.enable(world.engine, "toy", timeout=0)
    assert (entry.state, entry.failures, entry.last_error) == (PluginState.RUNNING, 0, "")


async def test_one_that_was_given_up_on_and_still_fails_is_disabled(world: World) -> None:
    plugin = await world.running()
    entry = await give_up_on(world, plugin)
    with pytest.raises(errors.PluginFailed):
        await enable.enable(world.engine, "toy", timeout=5)
    assert entry.state is PluginState.DISABLED
    assert not invariants.load_records(world.layout.root)["toy:latest"]["enabled"]


async def test_one_that_was_given_up_on_can_be_changed_as_one_that_is_disabled(
    world: World,
) -> None:
    plugin = await world.running()
    entry = await give_up_on(world, plugin)
    await configure.configure(world.engine, "toy", ["DEBUG=1"])
    newer = world.publish(tag="v2")
    await upgrade.upgrade(
        world.engine, "toy", newer, accepted=(), credentials=None, progress=world.lines.append
    )
    assert "DEBUG=1" in entry.plugin.settings.env
    world.host.behave(plugin.id, "")
    await enable.enable(world.engine, "toy", timeout=0)
    assert entry.plugin.remote == str(newer)


async def test_one_that_was_given_up_on_can_be_removed(world: World) -> None:
    await give_up_on(world, await world.running())
    await remove.remove(world.engine, "toy", force=False)
    await world.swept()
    invariants.check_empty(world.layout.root)


async def test_disabling_ends_the_backoff(world: World) -> None:
    plugin = await world.running()
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    await enable.disable(world.engine, "toy", force=False)
    world.clock.advance(60)
    assert world.entry(plugin).state is PluginState.DISABLED
    assert world.host.starts == [plugin.id]


async def test_disabling_does_not_wait_for_ever_for_one_that_is_dying(world: World) -> None:
    plugin = await world.running()
    entry = world.entry(plugin)
    world.host.kill(plugin.id)
    await until(lambda: entry.container is None)  # supervision is clearing away after it
    async with asyncio.timeout(20):
        await enable.disable(world.engine, "toy", force=False)
    assert entry.state is PluginState.DISABLED


async def test_disabling_ends_a_restart_under_way(world: World) -> None:
    plugin = await world.running()
    world.host.behave(plugin.id, "silent")
    world.host.kill(plugin.id)
    world.clock.advance(await world.clock.sleeper())
    await until(lambda: world.host.is_running(plugin.id))
    await enable.disable(world.engine, "toy", force=False)
    assert world.entry(plugin).state is PluginState.DISABLED
    assert not world.host.is_running(plugin.id)
    assert not invariants.load_records(world.layout.root)["toy:latest"]["enabled"]


async def test_removing_by_force_ends_the_backoff(world: World) -> None:
    plugin = await world.running()
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    await remove.remove(world.engine, "toy", force=True)
    world.clock.advance(60)
    await world.swept()
    invariants.check_empty(world.layout.root)
    assert world.host.starts == [plugin.id]


async def test_a_call_waits_for_the_restart_instead_of_failing(world: World) -> None:
    plugin = await world.running()
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    task = asyncio.create_task(
        volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    )
    await asyncio.sleep(0)
    assert not task.done()
    world.clock.advance(0.1)
    assert (await task)["Driver"] == "toy:latest"


async def test_the_output_of_every_run_is_kept(world: World) -> None:
    variables = [content.env("PLUGIN_OUTPUT", "hello"), content.env("PLUGIN_BEHAVIOUR")]
    plugin = await world.running(env=variables)
    world.host.kill(plugin.id)
    world.clock.advance(await world.clock.sleeper())
    await world.entry(plugin).settled.wait()
    assert world.engine.log_path(plugin.id).read_text().count(" stdout F hello\n") == 2


async def test_mounts_are_replayed_after_a_restart(world: World) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    path = await mounting.mount_volume(world.engine, "v", "web")
    [ref] = world.engine.volume_store.mounts("v")
    entry = world.entry(plugin)
    with world.engine.events.subscribe() as stream:
        world.host.kill(plugin.id)
        world.clock.advance(await world.clock.sleeper())
        actions = [(await anext(stream)).action for _ in range(2)]
        replayed = await anext(stream)
    assert actions == ["died", "restarted"]
    assert replayed.action == "mount"
    assert replayed.attributes == {
        "driver": "toy:latest", "container": "web", "destination": path, "replayed": "true",
    }  # fmt: skip
    assert entry.state is PluginState.RUNNING
    assert mounted_again(world, plugin, ref.id)
    assert world.engine.volume_store.mounts("v") == (ref,)


async def test_mounts_are_replayed_after_a_forced_disable(world: World) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    await mounting.mount_volume(world.engine, "v", "web")
    [ref] = world.engine.volume_store.mounts("v")
    await enable.disable(world.engine, "toy", force=True)
    await enable.enable(world.engine, "toy", timeout=5)
    assert mounted_again(world, plugin, ref.id)


async def test_a_mount_that_cannot_be_replayed_keeps_its_reference(world: World) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    await mounting.mount_volume(world.engine, "v", "web")
    refs = world.engine.volume_store.mounts("v")
    await enable.disable(world.engine, "toy", force=True)
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:no")
    await enable.enable(world.engine, "toy", timeout=5)
    assert lookup.find(world.engine, "toy").enabled
    assert world.engine.volume_store.mounts("v") == refs


async def test_one_that_dies_while_mounts_are_replayed_is_started_again(world: World) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    await mounting.mount_volume(world.engine, "v", "web")
    [ref] = world.engine.volume_store.mounts("v")
    entry = world.entry(plugin)
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    async with world.engine.locks.holding("volume:v"):  # as long as a driver may think
        world.clock.advance(0.1)
        await until(lambda: entry.replays)
        world.host.kill(plugin.id)
        await world.clock.sleeper()
        assert (entry.state, entry.replays) == (PluginState.BACKOFF, 0)
    world.clock.advance(1)
    await until(lambda: mounted_again(world, plugin, ref.id))


async def test_one_that_hangs_while_mounts_are_replayed_can_be_disabled(
    world: World, tmp_path: Path
) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    mount = HostMount(path=str(tmp_path / "here"), volume="v")
    await host_mounts.mount_on_host(world.engine, mount)
    world.host.behave(plugin.id, "hang=VolumeDriver.Get")  # which a host mount asks for
    world.host.kill(plugin.id)
    world.clock.advance(await world.clock.sleeper())
    await until(lambda: called(world, plugin, "VolumeDriver.Get"))
    async with asyncio.timeout(30):
        await enable.disable(world.engine, "toy", force=True)
    assert not world.host.is_running(plugin.id)


async def test_one_that_hangs_while_it_is_enabled_can_be_disabled(world: World) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    await mounting.mount_volume(world.engine, "v", "web")
    await enable.disable(world.engine, "toy", force=True)
    world.host.behave(plugin.id, "hang=VolumeDriver.Mount")
    enabling = asyncio.ensure_future(enable.enable(world.engine, "toy", timeout=0))
    await until(lambda: called(world, plugin, "VolumeDriver.Mount"))
    async with asyncio.timeout(30):
        await enable.disable(world.engine, "toy", force=True)
        await enabling
    assert not world.host.is_running(plugin.id)
    assert world.entry(plugin).replays == 0


async def test_what_cannot_be_cleared_away_does_not_end_supervision(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = await world.running()
    entry = world.entry(plugin)
    world.machine.refuse_release = "cannot unmount /x: it is busy"
    world.host.kill(plugin.id)
    world.clock.advance(await world.clock.sleeper())
    await entry.settled.wait()
    assert entry.state is PluginState.RUNNING
    assert "cannot clear away what the plugin left: cannot unmount /x" in caplog.text
    world.machine.refuse_release = ""


def called(world: World, plugin: Plugin, method: str) -> bool:
    """True once the driver, since its last start, has been asked for `method`."""
    if not world.host.is_running(plugin.id):
        return False
    return method in [name for name, _ in world.host.calls(plugin.id)]


def mounted_again(world: World, plugin: Plugin, mount_id: str) -> bool:
    """True once the driver, since its last start, has been asked to mount under that id."""
    if not world.host.is_running(plugin.id):
        return False
    asked = [body for name, body in world.host.calls(plugin.id) if name == "VolumeDriver.Mount"]
    return mount_id in [body["ID"] for body in asked]


@pytest.mark.parametrize(
    ("status", "limit", "told"),
    [
        (137, 64 << 20, "killed: out of its memory limit of 64 MiB"),
        (137, None, "killed: the host was out of memory"),
        (1, 1 << 30, "one of its processes was killed: out of its memory limit of 1 GiB"),
    ],
)
async def test_a_death_for_want_of_memory_is_told_as_such(
    world: World, status: int, limit: int | None, told: str
) -> None:
    plugin = await world.running()
    entry = world.entry(plugin)
    world.host.kill(plugin.id, status, memory=MemoryKill(limit=limit))
    assert await world.clock.sleeper() == 0.1
    assert entry.last_error == told
    world.clock.advance(0.1)
    await entry.settled.wait()
    died, restarted = (await world.events())[-2:]
    assert died.attributes["reason"] == told
    assert (restarted.action, entry.last_error) == ("restarted", told)
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    assert entry.last_error == "", "the next death has another reason"


async def test_each_start_has_what_the_policy_says_of_the_plugin(tmp_path: Path) -> None:
    policy = Policy(general=Confinement(pids=50), plugins={"toy": {"memory": 64 << 20}})
    options = dataclasses.replace(OPTIONS, confinement=policy)
    async with World(tmp_path, options) as world:
        plugin = await world.running()
        linux = world.host.processes[plugin.id].spec["linux"]
        shown = describe.status(world.engine, plugin)["Confinement"]
    assert linux["resources"]["pids"] == {"limit": 50}
    assert linux["resources"]["memory"]["limit"] == 64 << 20
    assert "keyctl" in str(linux["seccomp"])
    assert shown == {"Seccomp": "default", "Memory": 64 << 20, "CPUs": 0, "Pids": 50}
