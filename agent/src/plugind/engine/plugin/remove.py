# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Remove a plugin: stop it if forced, rename it away, delete what was renamed in the background."""

from __future__ import annotations

import asyncio

from plugind import errors
from plugind.engine import ending, lookup
from plugind.engine.context import Engine, Entry
from plugind.engine.front import publish
from plugind.engine.plugin import enable, garbage
from plugind.engine.volume import host_mounts, references
from plugind.model.plugin import Plugin
from plugind.store import records


async def remove(engine: Engine, text: str, *, force: bool) -> Plugin:
    """Remove plugin `text`; without `force` it must be disabled and unused.

    With `force` its volumes' records stay, so that a reinstall under the same name has them; what
    they show at paths of the host is unmounted.
    """
    entry = lookup.entry(engine, text)
    async with lookup.held(engine, entry):
        plugin = entry.plugin
        if not force:
            await references.require_unused(engine, plugin)
            if entry.shown().enabled:
                raise errors.Conflict(f"plugin {plugin.name} is enabled")
        await ending.to_the_end(_remove(engine, entry))
    engine.events.plugin("remove", plugin)
    return plugin


async def _remove(engine: Engine, entry: Entry) -> None:
    if entry.plugin.enabled:
        await enable.stop_and_record(engine, entry)
    plugin = entry.plugin
    # Before anything is renamed or deleted, so that nobody is left in a tree that goes.
    await host_mounts.detach_all(engine, plugin)
    await asyncio.to_thread(engine.host.release, engine.dirs(plugin.id))
    gone = await asyncio.to_thread(engine.plugin_store.take_out, plugin.id)
    del engine.entries[plugin.id]
    # Removed is what it is; nobody has to wait until the bytes are gone. A crash leaves them to the
    # sweep at boot.
    emptying = asyncio.to_thread(records.empty_trash, gone)
    engine.spawn(ending.to_the_end(emptying), f"empty {gone.name}")
    await publish.publish(engine)
    for path in (engine.log_path(plugin.id), engine.log_path(plugin.id).with_suffix(".log.1")):
        path.unlink(missing_ok=True)
    engine.spawn(garbage.collect(engine), "empty blobs")
