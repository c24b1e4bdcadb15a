# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Change the settings of a disabled plugin (`docker plugin set`)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from plugind import errors
from plugind.engine import ending, lookup
from plugind.engine.context import Engine, Entry
from plugind.model import settings
from plugind.model.plugin import Plugin


async def configure(engine: Engine, text: str, arguments: list[str]) -> Plugin:
    """Apply `NAME[.FIELD]=VALUE` arguments: all of them, or none."""
    entry = lookup.entry(engine, text)
    async with entry.lock:
        if entry.shown().enabled:
            raise errors.System("cannot set on an active plugin, disable plugin before setting")
        changed = settings.apply_assignments(entry.plugin.config, entry.plugin.settings, arguments)
        plugin = replace(entry.plugin, settings=changed)
        await ending.to_the_end(save(engine, entry, plugin))
    engine.events.plugin("set", plugin)
    return plugin


async def save(engine: Engine, entry: Entry, plugin: Plugin) -> None:
    """Write a plugin's record, then remember it."""
    await asyncio.to_thread(engine.plugin_store.save, plugin)
    entry.plugin = plugin
