# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Pull an image: manifest, config, layers streamed into one staged rootfs, commit by one rename.

Layers are not kept: an image is never pushed from here, and its files are all that a container needs.
An image that is there already gets its names and digests, and nothing else is fetched.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from plugind import checkpoint, errors
from plugind.engine import ending, ports
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.engine.image import stage as image_stage
from plugind.model import manifest as manifest_
from plugind.model.credentials import Credentials
from plugind.model.digest import Digest
from plugind.model.images.image import Image
from plugind.model.manifest import Descriptor, Kind, Manifest, Platform
from plugind.model.reference import Reference
from plugind.store import pipeline
from plugind.store.content import Passing
from plugind.store.images import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pull:
    """One pull under way."""

    engine: Engine
    ref: Reference
    credentials: Credentials | None
    progress: ports.Progress

    def report(self, layer: Descriptor, status: str, current: int | None = None) -> None:
        detail: dict[str, Any] = {}
        if current is not None:
            detail = {"current": current, "total": layer.size}
        self.progress({"status": status, "progressDetail": detail, "id": layer.digest.short})


async def pull_image(
    engine: Engine,
    ref: Reference,
    *,
    platform: Platform | None = None,
    credentials: Credentials | None,
    progress: ports.Progress,
) -> Image:
    """Bring `ref` to this host for `platform` (None: the host's). A failure leaves nothing."""
    ref = ref.with_default_tag()
    pull = _Pull(engine=engine, ref=ref, credentials=credentials, progress=progress)
    async with engine.locks.holding(f"image-pull:{ref}"):
        manifest = await engine.registry.resolve(
            ref, credentials, kind=Kind.IMAGE, platform=platform
        )
        manifest_.require_image(manifest, ref.familiar)
        progress({"status": f"Pulling from {ref.path}", "id": ref.tag or str(ref.digest)})
        digest = manifest.index or manifest.digest
        references = [f"{ref.familiar_repository}@{digest}"]
        if ref.digest is None:
            references.append(ref.familiar)
        async with engine.locks.holding(f"image:{manifest.config.digest}"):
            image, fresh = await _bring(pull, manifest, references)
    status = "Downloaded newer image" if fresh else "Image is up to date"
    progress({"status": f"Digest: {digest}"})
    progress({"status": f"Status: {status} for {ref.familiar}"})
    engine.events.image("pull", image, name=ref.familiar_repository, id=ref.familiar)
    return image


async def _bring(pull: _Pull, manifest: Manifest, references: list[str]) -> tuple[Image, bool]:
    """Return the image under these references, and whether it was fetched."""
    engine = pull.engine
    present = await images.claim_present(engine, manifest.config.digest, *references)
    if present:
        return present, False
    raw = await engine.registry.fetch_bytes(pull.ref, manifest.config, pull.credentials)
    image = image_stage.parse_config(raw, pull.ref.familiar)
    if len(image.layers) != len(manifest.layers):
        raise errors.System(
            f"cannot use {pull.ref.familiar}: its config names {len(image.layers)} layers, "
            f"its manifest {len(manifest.layers)}"
        )
    for layer in manifest.layers:
        pull.report(layer, "Pulling fs layer")
    async with image_stage.staged(engine) as stage:
        for layer, diff_id in zip(manifest.layers, image.layers, strict=True):
            await _layer(pull, layer, diff_id, stage)
            checkpoint.checkpoint("image-pull:after-layer")
        return await image_stage.commit(engine, stage, image, *references), True


async def _layer(pull: _Pull, layer: Descriptor, diff_id: Digest, stage: Stage) -> None:
    unpacker = pipeline.LayerUnpacker(
        Passing(), layer, stage.rootfs, limits=pull.engine.options.limits
    )
    try:
        current = 0
        async with pull.engine.registry.open_blob(pull.ref, layer, pull.credentials) as chunks:
            async for chunk in chunks:
                await ending.to_the_end(asyncio.to_thread(unpacker.feed, chunk))
                current += len(chunk)
                pull.report(layer, "Downloading", current)
        pull.report(layer, "Verifying Checksum")
        pull.report(layer, "Download complete")
        pull.report(layer, "Extracting", layer.size)
        await ending.to_the_end(asyncio.to_thread(unpacker.finish))
        diff_id.require(unpacker.diff_id, f"layer {layer.digest}")
    except (errors.HostileArchive, errors.System) as exc:
        if str(layer.digest) in exc.message:
            raise
        raise type(exc)(f"failed to register layer {layer.digest}: {exc}") from exc
    finally:
        # Also when cancelled: the threads must be gone before the staged rootfs is deleted.
        await ending.to_the_end(asyncio.to_thread(unpacker.abort))
    pull.report(layer, "Pull complete")
