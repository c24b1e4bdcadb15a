# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Create a plugin from a tar with `config.json` and `rootfs/` (POST /plugins/create)."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

from plugind import errors
from plugind.engine import bridge, ending
from plugind.engine.context import Engine
from plugind.engine.plugin import garbage, install
from plugind.model import config as config_
from plugind.model import manifest as manifest_
from plugind.model import settings
from plugind.model.manifest import Descriptor, Manifest
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference
from plugind.store import context


async def create(engine: Engine, name: Reference, body: AsyncIterator[bytes]) -> Plugin:
    """Create plugin `name`, disabled, from the tar stream `body`. A failure leaves nothing."""
    if name.digest:
        raise errors.InvalidParameter("canonical references are not permitted")
    async with engine.locks.holding(f"name:{name.tagged().familiar}"):
        try:
            install.require_free(engine, name)
        except errors.InvalidParameter as exc:
            raise errors.Conflict(exc.message) from None
        try:
            with engine.writing(), engine.plugin_store.stage("create") as stage:
                config, manifest = await bridge.read_in_thread(
                    body, lambda reader: _read(engine, reader, stage.rootfs)
                )
                plugin = Plugin(
                    id=install.new_id(engine),
                    name=name.tagged().familiar,
                    config=config,
                    settings=settings.default_settings(config),
                    config_digest=manifest.config.digest,
                    manifest_digest=manifest.digest,
                    layers=tuple(layer.digest for layer in manifest.layers),
                    remote=str(name.tagged()),
                )
                await ending.to_the_end(install.commit_new(engine, stage.commit, plugin))
        finally:
            await ending.to_the_end(garbage.collect(engine))
    engine.events.plugin("create", plugin)
    return plugin


def _read(
    engine: Engine, reader: bridge.ThreadReader, rootfs: Path
) -> tuple[config_.PluginConfig, Manifest]:
    """Extract the rootfs, keep it as one gzip layer, and write config and manifest blobs."""
    stream = io.BufferedReader(reader, 1024 * 1024)
    with context.LayerWriter(engine.content) as writer:
        raw = context.read_context(stream, rootfs, writer, limits=engine.options.limits)
        config_.parse_config(raw)
        layer = writer.commit()
    document = {key: value for key, value in json.loads(raw).items() if key.lower() != "rootfs"}
    # OCI's meaning of diff_ids, which a pull verifies. Docker writes the blob's digest instead.
    document["rootfs"] = {"type": "layers", "diff_ids": [str(layer.diff_id)]}
    encoded = json.dumps(document).encode() + b"\n"
    config_digest = engine.content.put(encoded)
    manifest = manifest_.build(
        Descriptor(media_type=manifest_.PLUGIN_CONFIG, digest=config_digest, size=len(encoded)),
        (Descriptor(media_type=manifest_.DOCKER_LAYER_GZIP, digest=layer.digest, size=layer.size),),
    )
    engine.content.put(manifest.raw)
    return config_.parse_config(encoded), manifest
