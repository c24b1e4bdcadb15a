# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Make an image of a root file system's tar (`docker import -`)."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from plugind.engine import bridge
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.engine.image import stage as image_stage
from plugind.model.digest import Digest
from plugind.model.images.image import Image
from plugind.model.manifest import Platform
from plugind.model.reference import Reference
from plugind.store import pipeline, untar
from plugind.store.images import Stage


async def import_image(
    engine: Engine,
    body: AsyncIterator[bytes],
    *,
    name: Reference | None,
    config: Mapping[str, Any],
    message: str = "",
    platform: Platform | None = None,
) -> Image:
    """Make an image of one layer, the tar `body` (gzip and zstd too), with `config` as its config.

    Without a name it has none. A failure leaves nothing.
    """
    async with image_stage.staged(engine) as stage:
        diff_id = await bridge.read_in_thread(body, lambda reader: _unpack(engine, reader, stage))
        raw = _render_config(
            diff_id,
            config,
            created=images.now(engine),
            message=message,
            platform=platform or image_stage.host_platform(),
        )
        image = await asyncio.to_thread(image_stage.parse_config, raw, "the imported image")
        references = (name.tagged().familiar,) if name else ()
        image = await image_stage.commit(engine, stage, image, *references)
    engine.events.image("import", image, name=str(image.id))
    return image


def _unpack(engine: Engine, reader: bridge.ThreadReader, stage: Stage) -> Digest:
    chunks = untar.read_chunks(io.BufferedReader(reader, untar.CHUNK))
    return pipeline.unpack_chunks(
        chunks, stage.rootfs, limits=engine.options.limits, what="the imported archive"
    )


def _render_config(
    diff_id: Digest,
    config: Mapping[str, Any],
    *,
    created: str,
    message: str,
    platform: Platform,
) -> bytes:
    document: dict[str, Any] = {
        "architecture": platform.architecture,
        "config": dict(config),
        "created": created,
        "history": [{"created": created, "comment": message}],
        "os": platform.os,
        "rootfs": {"type": "layers", "diff_ids": [str(diff_id)]},
    }
    if platform.variant:
        document["variant"] = platform.variant
    return json.dumps(document).encode()
