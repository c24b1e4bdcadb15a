# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Change the settings of a disabled plugin (`docker plugin set`)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from plugind import errors
from plugind.engine import ending, lookup, sealing
from plugind.engine.context import Engine, Entry
from plugind.model import settings
from plugind.model.plugin import Plugin


async def configure(
    engine: Engine, text: str, arguments: list[str], *, secret: frozenset[str] = frozenset()
) -> Plugin:
    """Apply `NAME[.FIELD]=VALUE` arguments: all of them, or none.

    `secret` names settings that are secrets, from now on and for good.
    """
    entry = lookup.entry(engine, text)
    named = _naming(entry.plugin, secret)
    sealing.admit_arguments(engine, named, arguments)
    async with entry.lock:
        if entry.shown().enabled:
            raise errors.System("cannot set on an active plugin, disable plugin before setting")
        policy = named.policy(engine.options.secrets)
        changed = settings.apply_assignments(
            entry.plugin.config, entry.plugin.settings, arguments, policy
        )
        plugin = replace(_naming(entry.plugin, secret), settings=changed)
        await ending.to_the_end(save(engine, entry, plugin))
    engine.events.plugin("set", plugin)
    return plugin


async def name_secrets(engine: Engine, text: str, secret: frozenset[str]) -> None:
    """Remember that settings of a plugin are secrets, whatever it is doing."""
    entry = lookup.entry(engine, text)
    async with entry.lock:
        plugin = _naming(entry.plugin, secret)
        if plugin != entry.plugin:
            sealing.admit_settings(engine, plugin)
            await ending.to_the_end(save(engine, entry, plugin))


def _naming(plugin: Plugin, secret: frozenset[str]) -> Plugin:
    return replace(plugin, secret_settings=plugin.secret_settings | secret)


async def save(engine: Engine, entry: Entry, plugin: Plugin) -> None:
    """Write a plugin's record, then remember it."""
    await asyncio.to_thread(engine.plugin_store.save, plugin)
    entry.plugin = plugin
