# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The way back from the last change, on this engine's disk: `target.UndoLog`.

The blobs of the versions that it goes back to are kept for as long as it is there. There is one
record, so changes take turns (`turn`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from plugind import errors
from plugind.engine import ending, lookup
from plugind.engine.context import Engine
from plugind.engine.plugin import fetch, garbage
from plugind.engine.volume import listing
from plugind.model import event, reference, steps
from plugind.model.digest import Digest
from plugind.model.outcome import DONE, Outcome
from plugind.store import undo

_TURN = "apply"


def turn(engine: Engine) -> contextlib.AbstractAsyncContextManager[None]:
    """Let no other declaration change anything meanwhile.

    A plan is then carried out on what it was made from, pruning included, and a crash finds the way
    back from all that was under way.
    """
    return engine.locks.holding(_TURN)


def is_taken(engine: Engine) -> bool:
    """True if a declaration is being carried out."""
    return engine.locks.is_held(_TURN)


class UndoLog:
    """See `target.UndoLog` for what each method promises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = undo.of_layout(engine.layout)

    async def begin(self, document: Mapping[str, Any], *, rollback: bool) -> str:
        """Record how a change is undone."""
        engine, before = self._engine, self._engine.undo_blobs
        needed = await asyncio.to_thread(blobs_of, engine, document)
        time = listing.rfc3339(engine.clock.now_ns())
        engine.undo_blobs = before | needed  # whichever of the two is on disk if this is cancelled
        begun = await ending.to_the_end(
            asyncio.to_thread(self._file.begin, document, rollback=rollback, time=time)
        )
        engine.undo_blobs = needed
        return begun.id

    async def done(self, change: str) -> None:
        """Record that the change has come to its end; what the one before needed goes."""
        await ending.to_the_end(asyncio.to_thread(self._file.done, change))
        await ending.to_the_end(garbage.collect(self._engine))

    async def drop(self, change: str) -> None:
        """Forget the change, and what was kept for going back from it."""
        await ending.to_the_end(asyncio.to_thread(self._file.drop, change))
        await self.remember()
        await ending.to_the_end(garbage.collect(self._engine))

    async def forget(self, name: str) -> None:
        """Forget what plugin `name` was like, with its settings; the rest can be undone all the same."""
        await ending.to_the_end(asyncio.to_thread(self._file.forget, name))
        await self.remember()
        await ending.to_the_end(garbage.collect(self._engine))

    async def last(self) -> Mapping[str, Any] | None:
        """Return the record of the last change."""
        found = await asyncio.to_thread(self._file.load)
        return None if found is None else found.to_json()

    async def remember(self) -> None:
        """Know which blobs the record needs, so that they are not collected."""
        record = await self.last()
        document = {} if record is None else record["declaration"]
        self._engine.undo_blobs = await asyncio.to_thread(blobs_of, self._engine, document)


def blobs_of(engine: Engine, document: Mapping[str, Any]) -> frozenset[Digest]:
    """Return the blobs of the versions that a way back names by digest. Blocking."""
    found: set[Digest] = set()
    for plugin in document.get("plugins") or ():
        try:
            digest = reference.parse(plugin["source"]).digest
        except (KeyError, TypeError, errors.InvalidParameter):
            continue  # one that goes has no source; what is no reference keeps nothing
        manifest = None if digest is None else fetch.read_manifest(engine, digest)
        if manifest is not None:
            blobs = (manifest.config, *manifest.layers)
            found |= {manifest.digest, *(blob.digest for blob in blobs)}
    return frozenset(found)


def tell(engine: Engine, outcomes: Iterable[Outcome], why: str = "") -> None:
    """Publish of every plugin that was brought back, or removed again, that it was, and why.

    By default why is what each outcome says.
    """
    told: set[str] = set()
    for one in outcomes:
        kind, _, name = one.resource.partition("/")
        if one.status != DONE or kind != event.PLUGIN or one.action == steps.PLUGIN_VERIFY:
            continue
        if name in told:
            continue
        told.add(name)
        entry = lookup.by_name(engine, name)
        engine.events.publish(
            event.Event(
                type=event.PLUGIN,
                action="rolled back",
                id=name if entry is None else entry.plugin.id,
                attributes={"name": name, "error": engine.redact(why or one.reason)},
            )
        )
