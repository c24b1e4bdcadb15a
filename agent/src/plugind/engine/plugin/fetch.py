# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Fetching a plugin's content: manifest, config, layers into a staged rootfs.

Privileges are compared before any layer moves. Download, hashing, decompression and extraction of
a layer overlap; nothing is read twice. What is named by the digest of a manifest and is in the store
with all its blobs comes from there, so that going back needs no registry: a digest means the same
content wherever it lies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plugind import checkpoint, errors, log
from plugind.engine import ending, ports
from plugind.engine.context import Engine
from plugind.model import config as config_
from plugind.model import manifest as manifest_
from plugind.model import privileges
from plugind.model.credentials import Credentials
from plugind.model.digest import Digest
from plugind.model.manifest import Descriptor, Manifest
from plugind.model.reference import Reference
from plugind.store import pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A plugin in a registry, before its layers are fetched."""

    ref: Reference
    manifest: Manifest
    config: config_.PluginConfig
    config_raw: bytes


async def resolve(engine: Engine, ref: Reference, credentials: Credentials | None) -> Resolved:
    """Return manifest and config of `ref`; an ordinary image is refused."""
    ref = ref.with_default_tag()
    manifest = await asyncio.to_thread(_find_stored, engine, ref)
    if manifest is not None:
        raw = await asyncio.to_thread(engine.content.read, manifest.config.digest)
    else:
        manifest = await engine.registry.resolve(ref, credentials)
        manifest_.require_plugin(manifest, str(ref))
        raw = await engine.registry.fetch_bytes(ref, manifest.config, credentials)
    config = config_.parse_config(raw)
    return Resolved(ref=ref, manifest=manifest, config=config, config_raw=raw)


def read_manifest(engine: Engine, digest: Digest) -> Manifest | None:
    """Return a plugin's manifest that the store has; None if it has none under that digest.

    One that is there and cannot be read, or is not a plugin's, counts as none. Blocking.
    """
    if not engine.content.has(digest):
        return None
    try:
        raw = engine.content.read(digest)
        manifest = manifest_.parse(raw, manifest_.DOCKER_MANIFEST, str(digest))
        if isinstance(manifest, Manifest):
            manifest_.require_plugin(manifest, str(digest))
            return manifest
    except errors.PlugindError as exc:
        log.warning(f"cannot use what is stored: {exc}", digest=digest)
    return None


def _find_stored(engine: Engine, ref: Reference) -> Manifest | None:
    """Return the manifest that `ref` pins by digest, if nothing of it has to be fetched."""
    manifest = None if ref.digest is None else read_manifest(engine, ref.digest)
    if manifest is None:
        return None
    blobs = (manifest.config, *manifest.layers)
    return manifest if all(engine.content.has(blob.digest) for blob in blobs) else None


def require_accepted(resolved: Resolved, accepted: privileges.Privileges) -> None:
    """Raise unless exactly what the plugin asks for was accepted."""
    privileges.require_accepted(privileges.compute_privileges(resolved.config), accepted)


def announce(resolved: Resolved, progress: ports.Progress) -> None:
    """Report what is about to be pulled, as Docker does."""
    ref = resolved.ref
    progress(
        {
            "status": f"Pulling from {ref.familiar_repository}",
            "id": ref.tag or str(ref.digest),
        }
    )
    progress({"status": f"Digest: {resolved.manifest.digest}"})
    for layer in resolved.manifest.layers:
        progress({"status": "Waiting", "progressDetail": {}, "id": layer.digest.short})


async def fetch_and_extract(
    engine: Engine,
    resolved: Resolved,
    rootfs: Path,
    credentials: Credentials | None,
    progress: ports.Progress,
) -> None:
    """Bring every layer to `rootfs`, in manifest order, and every blob into the store."""
    announce(resolved, progress)
    diff_ids = resolved.config.diff_ids or ()
    # They wait for the disk several times, and meanwhile the layers come in.
    documents = asyncio.ensure_future(asyncio.to_thread(_put_documents, engine, resolved))
    try:
        for position, layer in enumerate(resolved.manifest.layers):
            diff_id = diff_ids[position] if len(diff_ids) == len(resolved.manifest.layers) else None
            with _named(layer):
                await _layer(engine, resolved.ref, layer, diff_id, rootfs, credentials, progress)
            checkpoint.checkpoint("pull:after-layer")
    except BaseException:
        await ending.wait_done(documents)
        raise
    await ending.to_the_end(documents)


def _put_documents(engine: Engine, resolved: Resolved) -> None:
    engine.content.put(resolved.config_raw)
    engine.content.put(resolved.manifest.raw)


@contextlib.contextmanager
def _named(layer: Descriptor) -> Iterator[None]:
    """Let errors of the archive say which layer it was, in Docker's words."""
    try:
        yield
    except errors.System as exc:
        if str(layer.digest) in exc.message:
            raise
        hostile = isinstance(exc, errors.HostileArchive)
        kind = errors.HostileArchive if hostile else errors.System
        raise kind(f"error applying layer for digest {layer.digest}: {exc}") from exc


async def _layer(
    engine: Engine,
    ref: Reference,
    layer: Descriptor,
    diff_id: str | None,
    rootfs: Path,
    credentials: Credentials | None,
    progress: ports.Progress,
) -> None:
    name = layer.digest.short

    def report(status: str, current: int | None = None) -> None:
        detail = {} if current is None else {"current": current, "total": layer.size}
        progress({"status": status, "progressDetail": detail, "id": name})

    if engine.content.has(layer.digest):
        report("Already exists")
        report("Extracting", layer.size)
        await ending.to_the_end(
            asyncio.to_thread(
                pipeline.unpack_stored,
                engine.content,
                layer,
                rootfs,
                limits=engine.options.limits,
                diff_id=diff_id,
            )
        )
        report("Complete")
        return
    report("Pulling fs layer")
    unpacker = pipeline.LayerUnpacker(
        engine.content,
        layer,
        rootfs,
        limits=engine.options.limits,
        diff_id=diff_id,
    )
    try:
        current = 0
        async with engine.registry.open_blob(ref, layer, credentials) as chunks:
            async for chunk in chunks:
                await ending.to_the_end(asyncio.to_thread(unpacker.feed, chunk))
                current += len(chunk)
                report("Downloading", current)
        report("Download complete")
        report("Extracting", layer.size)
        await ending.to_the_end(asyncio.to_thread(unpacker.finish))
    except BaseException:
        # Also when cancelled: the threads must be gone before the staged rootfs is deleted.
        await ending.to_the_end(asyncio.to_thread(unpacker.abort))
        raise
    report("Complete")
