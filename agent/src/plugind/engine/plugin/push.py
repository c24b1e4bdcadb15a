# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Push a plugin to the registry that its name says."""

from __future__ import annotations

import asyncio
from typing import Any

from plugind import errors
from plugind.engine import lookup, ports
from plugind.engine.context import Engine
from plugind.model import manifest as manifest_
from plugind.model.credentials import Credentials
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Manifest
from plugind.model.plugin import Plugin


async def push(
    engine: Engine, text: str, *, credentials: Credentials | None, progress: ports.Progress
) -> Digest:
    """Upload config, layers and manifest; return the manifest's digest.

    The last line of progress carries `aux` with tag, digest and size, as clients expect.
    """
    plugin = lookup.find(engine, text)
    ref = plugin.reference
    with engine.pinned(plugin.blobs):
        manifest = await asyncio.to_thread(_load_manifest, engine, plugin)
        blobs = (manifest.config, *manifest.layers)
        progress({"status": f"The push refers to repository [{ref.repository}]"})
        for blob in blobs:
            _report(progress, blob, "Preparing")
        for blob in blobs:
            await _push_blob(engine, plugin, blob, credentials, progress)
        digest = await engine.registry.push_manifest(ref, manifest, credentials)
    aux = {"Tag": ref.tag, "Digest": str(digest), "Size": len(manifest.raw)}
    progress({"status": f"{ref.tag}: digest: {digest} size: {len(manifest.raw)}"})
    progress({"progressDetail": {}, "aux": aux})
    engine.events.plugin("push", plugin, digest=str(digest))
    return digest


def _load_manifest(engine: Engine, plugin: Plugin) -> Manifest:
    raw = engine.content.read(plugin.manifest_digest)
    parsed = manifest_.parse(raw, manifest_.DOCKER_MANIFEST, plugin.name)
    if not isinstance(parsed, Manifest):
        raise errors.System(f"cannot push {plugin.name}: {plugin.manifest_digest} is an index")
    return parsed


async def _push_blob(
    engine: Engine,
    plugin: Plugin,
    blob: Descriptor,
    credentials: Credentials | None,
    progress: ports.Progress,
) -> None:
    def uploaded(current: int) -> None:
        _report(progress, blob, "Uploading", current)

    sent = await engine.registry.push_blob(
        plugin.reference,
        blob,
        lambda: engine.content.open(blob.digest),
        credentials,
        uploaded,
    )
    _report(progress, blob, "Upload complete" if sent else "Layer already exists")


def _report(
    progress: ports.Progress, blob: Descriptor, status: str, current: int | None = None
) -> None:
    detail: dict[str, Any] = {} if current is None else {"current": current, "total": blob.size}
    progress({"status": status, "progressDetail": detail, "id": blob.digest.short})
