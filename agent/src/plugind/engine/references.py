# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What uses what, derived from records on disk: no counters that can drift."""

from __future__ import annotations

from plugind import errors
from plugind.engine.context import Engine
from plugind.model.plugin import Plugin
from plugind.model.volume import Volume


def volumes_of(engine: Engine, plugin: Plugin) -> list[Volume]:
    """Return the volumes whose driver is this plugin, by name."""
    own = [volume for volume in engine.volumes.values() if volume.driver == plugin.name]
    return sorted(own, key=lambda volume: volume.name)


def require_unused(engine: Engine, plugin: Plugin) -> None:
    """Raise Conflict naming the volumes if there are any (one volume is use, as in Docker)."""
    used_by = [volume.name for volume in volumes_of(engine, plugin)]
    if used_by:
        shown = ", ".join(used_by[:10]) + (", ..." if len(used_by) > 10 else "")
        raise errors.Conflict(f"plugin {plugin.name} is in use: volumes {shown}")


def mounted(engine: Engine) -> dict[str, tuple[str, ...]]:
    """Return the mounted volumes of each driver, as `volume/<name>`. Blocking."""
    found: dict[str, tuple[str, ...]] = {}
    for volume in list(engine.volumes.values()):
        if engine.volume_store.mounts(volume.name):
            found[volume.driver] = (*found.get(volume.driver, ()), f"volume/{volume.name}")
    return found
