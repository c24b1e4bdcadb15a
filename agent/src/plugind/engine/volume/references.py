# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What uses what, derived from records on disk: no counters that can drift."""

from __future__ import annotations

from plugind import errors
from plugind.engine.context import Engine
from plugind.engine.volume import volumes
from plugind.model import holder as holder_
from plugind.model.plugin import Plugin
from plugind.model.volume import Volume

_SHOWN = 10


def volumes_of(engine: Engine, plugin: Plugin) -> list[Volume]:
    """Return the volumes whose driver is this plugin, by name."""
    own = [volume for volume in engine.volumes.values() if volume.driver == plugin.name]
    return sorted(own, key=lambda volume: volume.name)


async def require_unused(engine: Engine, plugin: Plugin) -> None:
    """Raise Conflict if the plugin has volumes (one is use, as in Docker), naming their holders."""
    used_by = volumes_of(engine, plugin)
    if used_by:
        shown = ", ".join([await _show(engine, volume.name) for volume in used_by[:_SHOWN]])
        more = ", ..." if len(used_by) > _SHOWN else ""
        raise errors.Conflict(f"plugin {plugin.name} is in use: volumes {shown}{more}")


async def _show(engine: Engine, name: str) -> str:
    refs = await volumes.mounts(engine, name)
    holders = sorted(holder_.show(ref.holder) for ref in refs)
    return f"{name} (mounted by {', '.join(holders)})" if holders else name


async def mounted(engine: Engine) -> dict[str, tuple[str, ...]]:
    """Return the mounted volumes of each driver, as `volume/<name>`."""
    found: dict[str, tuple[str, ...]] = {}
    for volume in list(engine.volumes.values()):
        if await volumes.known_mounts(engine, volume.name):
            found[volume.driver] = (*found.get(volume.driver, ()), f"volume/{volume.name}")
    return found


async def held(engine: Engine, plugin: Plugin) -> set[tuple[str, str]]:
    """Return the volumes of the plugin that are held, each with who holds it."""
    found: set[tuple[str, str]] = set()
    for volume in volumes_of(engine, plugin):
        refs = await volumes.known_mounts(engine, volume.name)
        found.update((volume.name, ref.holder) for ref in refs)
    return found
