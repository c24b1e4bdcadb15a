# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Delete the blobs that no installed plugin needs.

Collection follows the records, manifests included, so that a later push of a pulled plugin still
finds its layers (the original deletes them), and going back to the version before needs no registry.
What the undo log names stays for the same reason. Blobs of operations under way are pinned; while a
plugin is being created nothing is collected, as its digests are known only in the end; nor while
there are records that could not be read, as nobody knows what they need.
"""

from __future__ import annotations

import asyncio

from plugind import errors, log
from plugind.engine.context import Engine
from plugind.model.digest import Digest


async def collect(engine: Engine) -> None:
    """Delete every blob that is neither referenced nor pinned."""
    for digest in await asyncio.to_thread(engine.content.digests):
        if _is_needed(engine, digest):
            continue
        try:
            # Not in a thread: between looking and deleting, nobody may come to need it.
            engine.content.delete(digest)
        except errors.PlugindError as exc:
            log.warning(f"cannot delete unneeded blob {digest}: {exc}")


def _is_needed(engine: Engine, digest: Digest) -> bool:
    if engine.writers or engine.keep_blobs or digest in engine.pins or digest in engine.undo_blobs:
        return True
    return any(
        digest in version.kept_blobs
        for entry in engine.entries.values()
        for version in (entry.plugin, entry.previous)
        if version is not None
    )
