# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Upgrade a disabled plugin in place: same id, name, volumes and propagated mount.

Pull and extraction happen beside the old version; one rename swaps them. Settings are merged:
what the user changed is kept where the new version still has it, the rest are its new defaults.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from plugind import errors
from plugind.engine import ending, fetch, garbage, install, lookup, ports, publish, sealing
from plugind.engine.context import Engine, Entry
from plugind.model import privileges, settings
from plugind.model.credentials import Credentials
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference
from plugind.store.plugins import Stage


async def upgrade(
    engine: Engine,
    text: str,
    ref: Reference,
    *,
    accepted: privileges.Privileges,
    credentials: Credentials | None,
    progress: ports.Progress,
) -> Plugin:
    """Replace the version of plugin `text` by `ref`. On any failure the old one stays."""
    entry = lookup.entry(engine, text)
    async with entry.lock:
        require_disabled(engine, entry)
        resolved = await fetch.resolve(engine, ref, credentials)
        fetch.require_accepted(resolved, accepted)
        old = entry.plugin
        new = replace(
            old,
            config=resolved.config,
            settings=settings.merge_settings(old.config, old.settings, resolved.config),
            config_digest=resolved.manifest.config.digest,
            manifest_digest=resolved.manifest.digest,
            layers=tuple(layer.digest for layer in resolved.manifest.layers),
            remote=install.plugin_reference(resolved.ref),
        )
        try:
            with engine.pinned(new.blobs), engine.plugin_store.stage("upgrade") as stage:
                await fetch.fetch_and_extract(engine, resolved, stage.rootfs, credentials, progress)
                await ending.to_the_end(_swap(engine, entry, stage, new))
        finally:
            await ending.to_the_end(garbage.collect(engine))
    engine.events.publish_pull(new, resolved.ref.familiar)
    engine.events.plugin("upgrade", new, **{"from": old.remote, "to": new.remote})
    return new


def require_disabled(engine: Engine, entry: Entry) -> None:
    """Raise unless the plugin is installed, disabled and does not run."""
    if entry.plugin.id not in engine.entries:
        raise errors.NotFound(f'plugin "{entry.plugin.name}" not found')
    if entry.shown().enabled:
        name = entry.plugin.name
        raise errors.Conflict(f"plugin must be disabled before upgrading: plugin {name} is enabled")


async def _swap(engine: Engine, entry: Entry, stage: Stage, new: Plugin) -> None:
    await asyncio.to_thread(engine.plugin_store.swap, new.id, stage, new)
    await asyncio.to_thread(engine.plugin_store.discard_previous, new.id)
    entry.plugin = new
    sealing.admit_settings(engine, new)  # labels and defaults of the new version name others
    entry.scope = None
    await publish.publish(engine)
