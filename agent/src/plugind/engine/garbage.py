# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Garbage collection of blobs: what no plugin's manifest, config or layers need is deleted.

Collection follows the records, manifests included, so that a later push of a pulled plugin still
finds its layers (the original deletes them). Blobs of operations under way are pinned.
"""

from __future__ import annotations

import asyncio

from plugind import log
from plugind.engine.context import Engine


async def collect(engine: Engine) -> None:
    """Delete every blob that is neither referenced nor pinned."""
    needed = {digest for e in engine.entries.values() for digest in e.plugin.blobs}
    needed |= set(engine.pins)
    stored = await asyncio.to_thread(engine.content.digests)
    for digest in stored - needed:
        if digest in engine.pins:
            continue  # pinned while we were deleting others
        try:
            await asyncio.to_thread(engine.content.delete, digest)
        except OSError as exc:
            log.warning(f"cannot delete unneeded blob {digest}: {exc}")
