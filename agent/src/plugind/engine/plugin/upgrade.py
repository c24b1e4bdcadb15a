# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Upgrade a plugin: same id, name, volumes and propagated mount.

Pull and extraction happen beside the old version; one rename swaps them. Settings are merged:
what the user changed is kept where the new version still has it, the rest are its new defaults.

    upgrade            Docker's: the plugin is disabled, before and afterwards
    upgrade_in_place   an enabled plugin runs until the new version is complete, and the old one runs
                       again if the new one does not; see `replacement`
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from plugind import errors
from plugind.engine import ending, lookup, ports, sealing
from plugind.engine.context import Engine, Entry
from plugind.engine.front import publish
from plugind.engine.plugin import fetch, garbage, install, replacement
from plugind.engine.volume import volumes
from plugind.model import privileges, settings
from plugind.model.credentials import Credentials
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference, parse
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
        new = _next_version(old, resolved)
        try:
            with engine.pinned(new.blobs), engine.plugin_store.stage("upgrade") as stage:
                await fetch.fetch_and_extract(engine, resolved, stage.rootfs, credentials, progress)
                await ending.to_the_end(_swap(engine, entry, stage, new))
        finally:
            await ending.to_the_end(garbage.collect(engine))
    _tell(engine, old, new, resolved)
    return new


async def upgrade_in_place(
    engine: Engine,
    text: str,
    ref: Reference,
    *,
    accepted: privileges.Privileges,
    credentials: Credentials | None,
    progress: ports.Progress,
    arguments: Iterable[str] = (),
    secret: frozenset[str] = frozenset(),
    timeout: float = 0.0,
) -> Plugin:
    """Replace the version of plugin `text` by `ref`, whether it runs or not; it runs on as before.

    `arguments` are those of `set`, for the new version; `secret` names settings that are secrets.
    `timeout` is how long the new version may take to answer, in seconds, 0 for the configured time.
    An error means that the old version is there as it was; if it had been stopped by then, the error
    says whether it runs again.
    """
    entry = lookup.entry(engine, text)
    arguments = tuple(arguments)
    async with engine.locks.holding(f"upgrade:{entry.plugin.id}"):
        resolved = await fetch.resolve(engine, ref, credentials)
        fetch.require_accepted(resolved, accepted)
        # Before any layer, and while the old version runs: can it be set like that at all?
        new = _set_version(engine, entry.plugin, resolved, arguments, secret)
        try:
            with engine.pinned(new.blobs), engine.plugin_store.stage("upgrade") as stage:
                await fetch.fetch_and_extract(engine, resolved, stage.rootfs, credentials, progress)
                await ending.to_the_end(asyncio.to_thread(stage.sync))
                async with lookup.held(engine, entry):
                    old = entry.plugin
                    # Its settings may have been changed meanwhile.
                    new = _set_version(engine, old, resolved, arguments, secret)
                    progress({"status": f"Replacing {old.remote or old.name}"})
                    await _replace(engine, entry, stage, new, timeout)
        finally:
            await ending.to_the_end(garbage.collect(engine))
    _tell(engine, old, new, resolved)
    return entry.plugin


async def _replace(engine: Engine, entry: Entry, stage: Stage, new: Plugin, timeout: float) -> None:
    if not entry.shown().enabled:
        await ending.to_the_end(_swap(engine, entry, stage, new))
        return

    def put() -> None:
        engine.plugin_store.swap(new.id, stage, new)

    deadline = timeout or engine.options.enable_timeout
    await replacement.replace(engine, entry, new, put, deadline=deadline)


def _next_version(old: Plugin, resolved: fetch.Resolved) -> Plugin:
    """Return the record of the new version, with the user's settings, and with the way back."""
    same = resolved.manifest.digest == old.manifest_digest
    return replace(
        old.confirmed(),
        config=resolved.config,
        settings=settings.merge_settings(old.config, old.settings, resolved.config),
        config_digest=resolved.manifest.config.digest,
        manifest_digest=resolved.manifest.digest,
        layers=tuple(layer.digest for layer in resolved.manifest.layers),
        remote=_reference(old, resolved),
        previous_version=old.previous_version if same else old.version,
    )


def _reference(old: Plugin, resolved: fetch.Resolved) -> str:
    """Return `PluginReference`; who goes back to the previous version gets back its tag, too."""
    before, ref = old.previous_version, resolved.ref
    if before is not None and before.remote and ref.digest == before.manifest_digest:
        same = parse(before.remote).repository == ref.repository
        return before.remote if same else install.plugin_reference(ref)
    return install.plugin_reference(ref)


def _set_version(
    engine: Engine,
    old: Plugin,
    resolved: fetch.Resolved,
    arguments: tuple[str, ...],
    secret: frozenset[str],
) -> Plugin:
    """Return the record of the new version, set as its caller wants it."""
    new = _next_version(old, resolved)
    new = replace(new, secret_settings=new.secret_settings | secret)
    sealing.admit_arguments(engine, new, arguments)
    policy = new.policy(engine.options.secrets)
    try:
        changed = settings.apply_assignments(new.config, new.settings, arguments, policy)
    except errors.PlugindError as exc:
        words = f"cannot upgrade plugin {old.name} to {new.remote}: {exc}"
        raise volumes.type_of(exc)(words) from exc
    return replace(new, settings=changed)


def _tell(engine: Engine, old: Plugin, new: Plugin, resolved: fetch.Resolved) -> None:
    engine.events.publish_pull(new, resolved.ref.familiar)
    engine.events.plugin("upgrade", new, **{"from": old.remote, "to": new.remote})


def require_disabled(engine: Engine, entry: Entry) -> None:
    """Raise unless the plugin is installed, disabled and does not run."""
    lookup.require_installed(engine, entry)
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
