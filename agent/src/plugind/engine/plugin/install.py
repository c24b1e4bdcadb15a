# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Install a plugin from a registry: privileges, pull, verify, extract, commit."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from plugind import errors
from plugind.engine import ending, lookup, ports, sealing
from plugind.engine.context import Engine, Entry
from plugind.engine.front import publish
from plugind.engine.plugin import fetch, garbage
from plugind.model import plugin as plugin_
from plugind.model import privileges, settings
from plugind.model.credentials import Credentials
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference


async def fetch_privileges(
    engine: Engine, ref: Reference, credentials: Credentials | None
) -> privileges.Privileges:
    """Return what the plugin at `ref` asks for; a registry's error is an error."""
    resolved = await fetch.resolve(engine, ref, credentials)
    return privileges.compute_privileges(resolved.config)


async def install(
    engine: Engine,
    ref: Reference,
    *,
    name: Reference,
    accepted: privileges.Privileges,
    credentials: Credentials | None,
    progress: ports.Progress,
    restored: bool = False,
) -> Plugin:
    """Install `ref` under the local `name`, disabled. A failure leaves nothing.

    `restored`: it was there before, by the tag of `ref` if that has one, and is again.
    """
    async with engine.locks.holding(f"name:{name.tagged().familiar}"):
        require_free(engine, name)
        resolved = await fetch.resolve(engine, ref, credentials)
        fetch.require_accepted(resolved, accepted)
        plugin = Plugin(
            id=new_id(engine),
            name=name.tagged().familiar,
            config=resolved.config,
            settings=settings.default_settings(resolved.config),
            config_digest=resolved.manifest.config.digest,
            manifest_digest=resolved.manifest.digest,
            layers=tuple(layer.digest for layer in resolved.manifest.layers),
            remote=plugin_reference(resolved.ref, restored=restored),
        )
        try:
            with engine.pinned(plugin.blobs), engine.plugin_store.stage("install") as stage:
                await fetch.fetch_and_extract(engine, resolved, stage.rootfs, credentials, progress)
                await ending.to_the_end(commit_new(engine, stage.commit, plugin))
        except BaseException:
            await ending.to_the_end(garbage.collect(engine))
            raise
    engine.events.publish_pull(plugin, resolved.ref.familiar)
    return plugin


def require_free(engine: Engine, name: Reference) -> None:
    """Raise unless no plugin has that local name."""
    if lookup.by_name(engine, name.familiar) is not None:
        raise errors.InvalidParameter(f"plugin {name.tagged().familiar} already exists")


def plugin_reference(ref: Reference, *, restored: bool = False) -> str:
    """Return `PluginReference`: with a digest, the tag is not part of it (as in the original).

    A way back names both only if the plugin came by its tag; then it is `restored` to that.
    """
    by_digest = ref.digest and not (restored and ref.tag)
    return str(ref.without_tag()) if by_digest else str(ref.tagged())


def new_id(engine: Engine) -> str:
    """Return a random id that nobody takes for a number and no other plugin has."""
    while True:
        candidate = secrets.token_hex(32)
        if plugin_.is_plausible_id(candidate) and candidate not in engine.entries:
            return candidate


async def commit_new(engine: Engine, commit: Callable[[Plugin], None], plugin: Plugin) -> None:
    """Commit a staged plugin to disk and then to memory; its front opens."""
    await asyncio.to_thread(commit, plugin)
    entry = Entry(plugin)
    entry.settled.set()
    engine.entries[plugin.id] = entry
    sealing.admit_settings(engine, plugin)
    await publish.publish(engine)
