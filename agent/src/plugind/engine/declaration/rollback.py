# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Going back from the last change: because an operator asks, or because it was interrupted.

A kill in the middle of a declaration leaves a host that is neither as before nor as declared. If the
declaration is one that is undone when it fails, the next start undoes it. That may take as long as a
plugin takes to start, so it goes on in the background: whoever reads, or uses volumes, is served, and
the next declaration waits for its turn. Yet who is started after the agent expects the host as it was,
so the start waits a moment for it (`undo_patience`), which is enough for most.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from plugind import carry, errors, log
from plugind.engine import sealing
from plugind.engine.context import Engine, Entry
from plugind.engine.declaration import apply, undo_log
from plugind.engine.declaration.undo_log import UndoLog
from plugind.engine.plugin import remove
from plugind.model.outcome import Result
from plugind.model.plugin import Plugin


async def roll_back(
    engine: Engine, change: str | None, *, dry_run: bool, remove_volumes: bool = False
) -> dict[str, Any]:
    """Undo the last change, or only say how; return the result document.

    `remove_volumes`: volumes that it created go, too, with their data. NotFound if there is no
    change, Conflict if it is another one than `change`.
    """
    record_log = UndoLog(engine)
    async with contextlib.AsyncExitStack() as held:
        if not dry_run:
            await held.enter_async_context(undo_log.turn(engine))
        record = carry.require_change(await record_log.last(), change)
        target = _target(engine, record)
        result = await carry.roll_back(
            record, target, undo_log=record_log, dry_run=dry_run, remove_volumes=remove_volumes
        )
        if not dry_run:
            await target.name_secrets()
            undo_log.tell(engine, result.steps, f"change {record['id']} was rolled back")
    return result.redacted(engine.redact).to_json()


async def remove_for_good(engine: Engine, text: str, *, force: bool) -> Plugin:
    """Remove a plugin as an operator does, who wants neither it nor its settings back."""
    plugin = await remove.remove(engine, text, force=force)
    try:
        await UndoLog(engine).forget(plugin.name)
    except errors.PlugindError as exc:
        log.warning(
            f"the way back from the last change still has its settings: {exc}", plugin=plugin.id
        )
    return plugin


async def load(engine: Engine) -> None:
    """At boot, before anything is collected: keep what the way back needs."""
    try:
        await UndoLog(engine).remember()
    except errors.PlugindError as exc:
        log.error(f"cannot tell what the way back from the last change needs: {exc}")
        engine.keep_blobs = True


async def recover(engine: Engine) -> None:
    """At boot: go back from a change that was interrupted."""
    try:
        record = await UndoLog(engine).last()
    except errors.PlugindError as exc:
        log.error(f"cannot tell whether a change was interrupted: {exc}")
        return
    if record is None or record["state"] != carry.RUNNING:
        return
    work = engine.spawn(_resume(engine, record), f"undo change {record['id']}")
    await asyncio.wait({work}, timeout=engine.options.undo_patience)


async def _resume(engine: Engine, record: Mapping[str, Any]) -> None:
    async with undo_log.turn(engine):
        # What a replacement has left is put right first: only then it is known what there is.
        await asyncio.gather(*(_settled(engine, entry) for entry in engine.entries.values()))
        try:
            target = _target(engine, record)
            result = await carry.resume(record, target, undo_log=UndoLog(engine))
            if result is not None:
                await target.name_secrets()
        except errors.PlugindError as exc:
            log.error(f"cannot undo change {record['id']}, which was interrupted: {exc}")
            return
    if result is not None:
        _say(engine, record["id"], result)


async def _settled(engine: Engine, entry: Entry) -> None:
    with contextlib.suppress(errors.Unavailable):
        await entry.wait_settled(engine.patience(entry))


def _say(engine: Engine, change: str, result: Result) -> None:
    words = f"change {change} was interrupted"
    undo_log.tell(engine, result.steps, words)
    if result.failed:
        log.error(f"{words}, and not all of it could be undone: {engine.redact(result.msg)}")
    else:
        log.warning(f"{words} and is undone: {result.msg}")


def _target(engine: Engine, record: Mapping[str, Any]) -> apply.EngineTarget:
    wanted = carry.read_way_back(record)
    sealing.admit_declaration(engine, wanted)
    return apply.EngineTarget(engine, wanted)
