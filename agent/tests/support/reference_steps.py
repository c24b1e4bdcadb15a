# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Steps that tests of references share."""

from __future__ import annotations

from plugind.engine.volume import volumes
from plugind.model.plugin import Plugin
from support.engine import World, until

CONTAINER = "c0ffee" + "0" * 58


async def make(world: World, *names: str, driver: str = "toy") -> None:
    for name in names:
        await volumes.create_volume(
            world.engine, name=name, driver=driver, options=None, labels=None
        )


async def reboot(world: World) -> None:
    """Lose every process and every mount, and start again."""
    await world.drop()
    await world.host.close()
    world.host.processes.clear()
    world.machine.reboot()
    await world.open()


async def restart(world: World, plugin: Plugin) -> None:
    """Let the plugin come back."""
    world.clock.advance(await world.clock.sleeper())
    await world.entry(plugin).settled.wait()


async def in_background(world: World) -> None:
    """Wait for what the start left to be done in the background."""
    await until(lambda: not world.engine.background)


def holders(world: World, name: str = "v") -> list[str]:
    return [ref.holder for ref in world.engine.volume_store.mounts(name)]


def methods(world: World, plugin: Plugin) -> list[str]:
    return [name.rpartition(".")[2] for name, _ in world.host.calls(plugin.id)]
