# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""References that cannot be read: one volume's take nothing else along."""

from __future__ import annotations

import pytest

from plugind import errors
from plugind.engine.plugin import enable
from plugind.engine.volume import host_mounts, mounting, volumes
from plugind.model.host_mount import HostMount
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from support.engine import World, until
from support.reference_steps import CONTAINER, holders, in_background, make, reboot, restart


async def with_broken_references(world: World) -> Plugin:
    """Let a plugin have two volumes that are held, and lose the references of one."""
    plugin = await world.running()
    await make(world, "v", "w")
    for name in ("v", "w"):
        await mounting.mount_volume(world.engine, name, "web")
        wanted = HostMount(path=str(world.layout.root.parent / name), volume=name)
        await host_mounts.mount_on_host(world.engine, wanted)
    (world.layout.volume_dir("v") / "mounts.json").write_text("[{")
    return plugin


async def test_one_volume_s_broken_references_take_nothing_else_along(world: World) -> None:
    plugin = await with_broken_references(world)
    await world.reopen()
    assert world.entry(plugin).state is PluginState.RUNNING
    states = {m["Volume"]: m["State"] for m in await host_mounts.list_host_mounts(world.engine)}
    assert states["w"] == "mounted"
    world.host.kill(plugin.id)
    await restart(world, plugin)
    await until(lambda: not world.entry(plugin).replays)
    assert {body["Name"] for name, body in world.host.calls(plugin.id) if "Mount" in name} == {"w"}
    world.host.kill(plugin.id)  # and it is supervised still
    await restart(world, plugin)
    assert world.entry(plugin).state is PluginState.RUNNING
    listed, _ = await volumes.list_volumes(world.engine, dangling=False)
    assert [volume["Name"] for volume in listed] == ["v", "w"]
    with pytest.raises(errors.System, match=r"mounts\.json"):
        await enable.disable(world.engine, "toy", force=False)


async def test_a_reboot_gets_past_references_that_cannot_be_read(world: World) -> None:
    await with_broken_references(world)
    await mounting.mount_volume(world.engine, "w", CONTAINER)
    await reboot(world)
    assert CONTAINER not in holders(world, "w")
    await in_background(world)
