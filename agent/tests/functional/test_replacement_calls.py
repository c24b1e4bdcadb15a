# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who asks while a plugin is replaced waits; what nobody confirmed is tried at the next boot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from plugind import checkpoint, errors
from plugind.engine.front import front
from plugind.engine.plugin import enable, rpc_call
from plugind.engine.volume import mounting, volumes
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from support import content, invariants
from support.engine import World, until
from support.upgrades import do_upgrade, env, mount_calls, with_mounted_volume

Ask = Callable[[World], Awaitable[object]]


async def _inspect(world: World) -> object:
    return await volumes.inspect_volume(world.engine, "v")


async def _mount(world: World) -> object:
    return await mounting.mount_volume(world.engine, "v", "other")


async def _create(world: World) -> object:
    return await volumes.create_volume(
        world.engine, name="new", driver="toy", options=None, labels=None
    )


async def _unrecorded(world: World) -> object:
    return await volumes.inspect_volume(world.engine, "backends")


async def _front(world: World) -> object:
    found = world.engine.fronts["toy:latest"]
    asked = json.dumps({"Name": "v"}).encode()
    reply = await front.answer(world.engine, found, "VolumeDriver.Get", asked, "podman")
    assert reply.is_success, reply
    return reply


async def _rpc(world: World) -> object:
    return await rpc_call.call(world.engine, "toy", "VolumeDriver.List", {})


async def _disable(world: World) -> object:
    return await enable.disable(world.engine, "toy", force=True)


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize(
    "ask",
    [_inspect, _mount, _create, _unrecorded, _front, _rpc, _disable],
    ids=lambda ask: ask.__name__,
)
async def test_calls_wait_meanwhile(world: World, ask: Ask, bad: bool) -> None:
    plugin = await with_mounted_volume(world)
    world.host.volumes[plugin.id]["backends"] = {}
    newer = world.publish(tag="v2", env=env("exit=1" if bad else ""))
    asked: list[asyncio.Future[object]] = []

    def begin(point: str) -> None:
        if point == "replace:after-stop":
            asked.append(loop.create_future())
            loop.call_soon_threadsafe(start)

    def start() -> None:
        task = asyncio.ensure_future(ask(world))
        task.add_done_callback(asked[0].set_result)

    loop = asyncio.get_running_loop()
    checkpoint.hook = begin
    try:
        work = asyncio.ensure_future(do_upgrade(world, newer))
        await asyncio.wait([work])
    finally:
        checkpoint.hook = None
    assert isinstance(work.exception(), errors.System if bad else type(None))
    task = await asked[0]
    assert isinstance(task, asyncio.Task)
    task.result()


async def test_a_call_under_way_ends_before_the_plugin_is_stopped(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        plugin = await world.running(env=env())
        world.engine.options = replace(world.options, stop_grace=20.0)
        old = world.host.processes[plugin.id].plugin
        old.behaviour = "wait=VolumeDriver.Create"
        call = asyncio.ensure_future(_create(world))
        await until(lambda: old.waiting)
        work = asyncio.ensure_future(do_upgrade(world, world.publish(tag="v2", env=env())))
        await until(lambda: world.entry(plugin).state is PluginState.STOPPING)
        old.go_on()
        await call
        await work
        assert "new" in world.engine.volumes


async def test_a_caller_that_goes_away_after_the_stop_changes_nothing(world: World) -> None:
    plugin = await world.running(env=env())
    newer = world.publish(tag="v2", env=env())
    work: list[asyncio.Task[Plugin]] = []
    loop = asyncio.get_running_loop()

    def leave(point: str) -> None:
        if point == "replace:after-stop":
            loop.call_soon_threadsafe(work[0].cancel)

    checkpoint.hook = leave
    try:
        work.append(asyncio.ensure_future(do_upgrade(world, newer)))
        await asyncio.wait(work)
    finally:
        checkpoint.hook = None
    assert work[0].cancelled()
    entry = world.entry(plugin)
    assert (entry.plugin.remote, entry.state) == (str(newer), PluginState.RUNNING)
    invariants.check(world.layout.root)


# --------------------------------------------------------------------------------------------- boot


async def at_boot(world: World, plugin: Plugin, new: Plugin) -> Plugin:
    """Die with `new` put in place and not confirmed, start again; return what is there then."""
    with world.engine.plugin_store.stage("upgrade") as stage:
        (stage.rootfs / "version").write_bytes(b"v2")
        (stage.rootfs / "plugin").write_bytes(content.program())
        (stage.rootfs / "plugin").chmod(0o755)
        world.engine.plugin_store.swap(plugin.id, stage, new)
    await world.reopen()
    await world.swept()
    invariants.check(world.layout.root)
    return world.entry(plugin).plugin


@pytest.mark.parametrize("bad", [False, True])
async def test_a_boot_tries_what_nobody_confirmed(world: World, bad: bool) -> None:
    plugin = await with_mounted_volume(world)
    behaviour = "exit=1" if bad else ""
    settings = replace(plugin.settings, env=(f"PLUGIN_BEHAVIOUR={behaviour}", "DEBUG=9"))
    new = replace(plugin, settings=settings)
    assert await at_boot(world, plugin, new) == (plugin if bad else new)
    assert world.entry(plugin).state is PluginState.RUNNING
    assert len(mount_calls(world, plugin)) == 1
    rolled_back = [e for e in await world.events() if e.action == "rolled back"]
    assert len(rolled_back) == bad


async def test_an_upgrade_of_a_disabled_plugin_is_confirmed_at_boot(world: World) -> None:
    plugin = await world.install(world.publish(env=env()))
    settings = replace(plugin.settings, env=("PLUGIN_BEHAVIOUR=exit=1",))
    new = replace(plugin, settings=settings)
    assert await at_boot(world, plugin, new) == new
    assert world.host.starts == []


async def test_a_way_back_that_is_broken_is_no_way_back(world: World) -> None:
    plugin = await world.running(env=env())
    previous = world.layout.plugin_dir(plugin.id) / "previous"
    previous.mkdir()
    (previous / "plugin.json").write_text("no JSON")
    await world.reopen()
    assert world.entry(plugin).state is PluginState.RUNNING
    assert not previous.exists()
