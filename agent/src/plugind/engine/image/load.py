# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Load images from an archive (`docker load`): what `docker save` writes, or an OCI image layout."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace

from plugind import checkpoint, errors
from plugind.engine import bridge, ending, ports
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.engine.image import stage as image_stage
from plugind.model import manifest as manifest_
from plugind.model.digest import Digest
from plugind.model.images import archive as image_archive
from plugind.model.images.archive import Saved
from plugind.model.images.image import Image
from plugind.model.manifest import Index, Platform
from plugind.store import archive, pipeline, untar
from plugind.store.archive import Archive
from plugind.store.images import Stage

# An OCI layout may hold indexes of indexes.
_DEEPEST = 3


async def load_images(
    engine: Engine,
    body: AsyncIterator[bytes],
    *,
    platform: Platform | None = None,
    progress: ports.Progress,
) -> list[Image]:
    """Load every image of the archive `body`, one after the other.

    The one that fails leaves nothing; those before it are there. Progress has `Loaded image: ...`.
    """
    context = archive.directory(engine.layout)
    directory = await asyncio.to_thread(context.__enter__)
    try:
        staged = await bridge.read_in_thread(
            body,
            lambda reader: archive.stage(
                untar.read_chunks(io.BufferedReader(reader, untar.CHUNK)),
                directory,
                limits=engine.options.limits,
            ),
        )
        found = await asyncio.to_thread(read_saved, staged, platform or image_stage.host_platform())
        return [await _load(engine, staged, saved, progress) for saved in found]
    finally:
        await ending.to_the_end(asyncio.to_thread(context.__exit__, None, None, None))


def read_saved(staged: Archive, platform: Platform) -> tuple[Saved, ...]:
    """Return the images of an archive. Blocking."""
    if image_archive.MANIFEST in staged:
        return image_archive.parse_manifest(staged.read(image_archive.MANIFEST))
    if image_archive.INDEX not in staged:
        raise errors.InvalidParameter(
            f"invalid archive: neither {image_archive.MANIFEST} nor {image_archive.INDEX} is in it"
        )
    raw = staged.read(image_archive.INDEX)
    index = _parse_index(raw)
    names = image_archive.entry_names(raw)
    return tuple(
        replace(_read_oci(staged, entry.digest, platform), names=names[str(entry.digest)])
        for entry in index.manifests
    )


def _parse_index(raw: bytes) -> Index:
    parsed = manifest_.parse(raw, manifest_.OCI_INDEX, "the archive")
    if not isinstance(parsed, Index) or not parsed.manifests:
        raise errors.InvalidParameter(f"invalid archive: {image_archive.INDEX} names no image")
    return parsed


def _read_oci(staged: Archive, digest: Digest, platform: Platform) -> Saved:
    what = f"{digest} of the archive"
    for _ in range(_DEEPEST):
        raw = staged.read(image_archive.blob_path(digest))
        digest.verify(raw, what)
        parsed = manifest_.parse(raw, "", what)
        if isinstance(parsed, Index):
            digest = parsed.select(platform, what).digest
            continue
        manifest_.require_image(parsed, what)
        return Saved(
            config=image_archive.blob_path(parsed.config.digest),
            layers=tuple(image_archive.blob_path(layer.digest) for layer in parsed.layers),
        )
    raise errors.InvalidParameter(f"invalid archive: {what} is an index of indexes of indexes")


async def _load(engine: Engine, staged: Archive, saved: Saved, progress: ports.Progress) -> Image:
    raw = await asyncio.to_thread(staged.read, saved.config)
    image = image_stage.parse_config(raw, f'"{saved.config}" of the archive')
    if len(image.layers) != len(saved.layers):
        raise errors.InvalidParameter(
            f"invalid manifest, layers length mismatch: expected {len(saved.layers)}, "
            f"got {len(image.layers)}"
        )
    async with engine.locks.holding(f"image:{image.id}"):
        present = await images.claim_present(engine, image.id, *saved.names)
        image = present or await _unpack(engine, staged, saved, image, progress)
    for name in saved.names:
        progress({"stream": f"Loaded image: {name}\n"})
    if not saved.names:
        progress({"stream": f"Loaded image ID: {image.id}\n"})
    engine.events.image("load", image, name=str(image.id))
    return image


async def _unpack(
    engine: Engine, staged: Archive, saved: Saved, image: Image, progress: ports.Progress
) -> Image:
    async with image_stage.staged(engine) as stage:
        for path, diff_id in zip(saved.layers, image.layers, strict=True):
            await ending.to_the_end(
                asyncio.to_thread(_unpack_layer, engine, staged, path, diff_id, stage)
            )
            progress({"status": "Loading layer", "progressDetail": {}, "id": diff_id.short})
            checkpoint.checkpoint("image-load:after-layer")
        return await image_stage.commit(engine, stage, image, *saved.names)


def _unpack_layer(
    engine: Engine, staged: Archive, path: str, diff_id: Digest, stage: Stage
) -> None:
    with staged.open(path) as stream:
        found = pipeline.unpack_chunks(
            untar.read_chunks(stream), stage.rootfs, limits=engine.options.limits, what=path
        )
    diff_id.require(found, f'layer "{path}"')
