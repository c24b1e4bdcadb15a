# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An enabled plugin `toy` that is about to be replaced, in tests: by which version, and what must hold."""

from __future__ import annotations

from typing import Any

from plugind.engine.plugin import upgrade
from plugind.engine.volume import mounting, volumes
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference
from support import content, invariants
from support.engine import World

SETTINGS = ("DEBUG", "PLUGIN_OUTPUT", "PLUGIN_BEHAVIOUR")


async def do_upgrade(world: World, ref: Reference, *arguments: str, timeout: float = 0) -> Plugin:
    return await upgrade.upgrade_in_place(
        world.engine, "toy", ref, accepted=(), credentials=None, progress=world.lines.append,
        arguments=arguments, timeout=timeout,
    )  # fmt: skip


def env(behaviour: str = "", output: str = "", debug: str = "0") -> list[dict[str, Any]]:
    values = zip(SETTINGS, (debug, output, behaviour), strict=True)
    return [content.env(name, value) for name, value in values]


async def with_mounted_volume(world: World) -> Plugin:
    plugin = await world.running(env=env())
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    await mounting.mount_volume(world.engine, "v", "web")
    return plugin


def mount_calls(world: World, plugin: Plugin) -> list[Any]:
    return [body for method, body in world.host.calls(plugin.id) if method.endswith(".Mount")]


def require_old(world: World, plugin: Plugin) -> None:
    """Assert that everything is as it was before, and that the plugin runs."""
    entry = world.entry(plugin)
    assert entry.plugin == plugin
    assert (entry.state, entry.previous, entry.holds) == (PluginState.RUNNING, None, 0)
    assert world.engine.plugin_store.load(plugin.id) == plugin
    assert (world.layout.rootfs(plugin.id) / "version").read_bytes() == b"latest"
    invariants.check(world.layout.root)
