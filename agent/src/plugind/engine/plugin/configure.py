# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Change the settings of a plugin.

configure     `docker plugin set`: the plugin is disabled
reconfigure   an enabled plugin is started anew with them, and goes back to the old ones if it does
              not answer; see `replacement`
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from plugind import errors
from plugind.engine import ending, lookup, sealing
from plugind.engine.context import Engine, Entry
from plugind.engine.plugin import replacement
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
    async with lookup.held(engine, entry):
        if entry.shown().enabled:
            raise errors.Conflict("cannot set on an active plugin, disable plugin before setting")
        plugin = _set(engine, _naming(entry.plugin, secret), arguments)
        await ending.to_the_end(save(engine, entry, plugin))
    engine.events.plugin("set", plugin)
    return plugin


async def reconfigure(
    engine: Engine,
    text: str,
    arguments: list[str],
    *,
    secret: frozenset[str] = frozenset(),
    timeout: float = 0.0,
) -> Plugin:
    """Apply arguments as `configure` does, whether the plugin runs or not; it runs on as before.

    `timeout` is how long it may take to answer, in seconds, 0 for the configured time. An error
    means that its settings are as they were; if it had been stopped by then, the error says whether
    it runs again.
    """
    entry = lookup.entry(engine, text)
    sealing.admit_arguments(engine, _naming(entry.plugin, secret), arguments)
    async with lookup.held(engine, entry):
        old = _naming(entry.plugin, secret)
        plugin = _set(engine, old, arguments)
        if plugin.settings == old.settings or not entry.shown().enabled:
            await ending.to_the_end(save(engine, entry, plugin))
        else:
            new = replace(plugin, settings_before=old.settings)
            deadline = timeout or engine.options.enable_timeout

            def put() -> None:
                engine.plugin_store.change(new)

            await replacement.replace(engine, entry, new, put, deadline=deadline)
    engine.events.plugin("set", entry.plugin)
    return entry.plugin


def _set(engine: Engine, plugin: Plugin, arguments: list[str]) -> Plugin:
    policy = plugin.policy(engine.options.secrets)
    changed = settings.apply_assignments(plugin.config, plugin.settings, arguments, policy)
    return replace(plugin, settings=changed)


async def name_secrets(engine: Engine, text: str, secret: frozenset[str]) -> None:
    """Remember that settings of a plugin are secrets, whatever it is doing."""
    entry = lookup.entry(engine, text)
    async with lookup.held(engine, entry):
        plugin = _naming(entry.plugin, secret)
        if plugin != entry.plugin:
            sealing.admit_settings(engine, plugin)
            await ending.to_the_end(save(engine, entry, plugin))


async def mark_unverified(engine: Engine, text: str, flag: bool) -> None:
    """Remember that a plugin was changed and not verified since, or that it was verified."""
    entry = lookup.entry(engine, text)
    async with lookup.held(engine, entry):
        plugin = replace(entry.plugin, unverified=flag)
        if plugin != entry.plugin:
            await ending.to_the_end(save(engine, entry, plugin))


def _naming(plugin: Plugin, secret: frozenset[str]) -> Plugin:
    return replace(plugin, secret_settings=plugin.secret_settings | secret)


async def save(engine: Engine, entry: Entry, plugin: Plugin) -> None:
    """Write a plugin's record, then remember it."""
    await asyncio.to_thread(engine.plugin_store.save, plugin)
    entry.plugin = plugin
