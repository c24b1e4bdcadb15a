# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Carrying declarations out: read once, plan, do each step, read back what changed.

    apply      observe -> prune -> read offers, compare options -> plan -> [steps] -> inspect -> Result
    roll_back  the same with the declaration that undoes the last change
    resume     the same for a run that was interrupted, as far as it is possible

`carry_steps` does the steps, `carry_rollback` undoes a run that fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from plugind import carry_rollback, carry_steps, errors
from plugind.carry_steps import Hands, SystemClock
from plugind.model import confidential, masking, observed, outcome, reference, undo
from plugind.model import desired as desired_
from plugind.model.desired import Desired
from plugind.model.observed import Observation, Observed
from plugind.model.outcome import PLANNED, Result, Run
from plugind.model.plans import plan, prune
from plugind.model.steps import Plan
from plugind.target import Clock, Progress, Target, UndoLog, ignore_progress

RUNNING = "running"
INTERRUPTED = "undoes a run that was interrupted"


async def apply(
    desired: Desired,
    target: Target,
    *,
    dry_run: bool,
    progress: Progress = ignore_progress,
    undo_log: UndoLog | None = None,
    clock: Clock | None = None,
) -> Result:
    """Make `desired` true on `target`, or, as a dry run, say how.

    With an `undo_log`, how the change is undone is on record before the first step.
    """
    observation = await target.observe()
    seen = observed.read(observation)
    desired = prune.extend(desired, seen)
    world = await carry_steps.complete(desired, target, seen)
    plan_ = plan.plan(desired, world)
    run = _unstarted(plan_, dry_run=dry_run)
    if run is None:
        hands = Hands(target=target, progress=progress, clock=clock or SystemClock())
        run = await carry_rollback.change(desired, world, plan_, hands, undo_log)
    return await _conclude(desired, world, observation, run, target, dry_run=dry_run)


def require_change(record: Mapping[str, Any] | None, change: str | None) -> Mapping[str, Any]:
    """Return the record of the last change of a host, if it is the one that is meant.

    NotFound if there is none; Conflict if it is another one than `change`, None being the last one.
    """
    if record is None:
        raise errors.NotFound("cannot roll back: there is no change to go back from")
    if change is not None and change != record["id"]:
        raise errors.Conflict(
            f"cannot roll back change {change}: the last change of this host is {record['id']}"
        )
    return record


def read_way_back(record: Mapping[str, Any]) -> Desired:
    """Return the declaration in the record of a change; System if it cannot be read."""
    try:
        return desired_.parse_declaration(record["declaration"])
    except errors.InvalidParameter as exc:
        raise errors.System(f"cannot roll back change {record['id']}: {exc}") from exc


async def roll_back(
    record: Mapping[str, Any],
    target: Target,
    *,
    undo_log: UndoLog,
    dry_run: bool,
    remove_volumes: bool = False,
    progress: Progress = ignore_progress,
) -> Result:
    """Undo the change on record because an operator asks for it, or, as a dry run, say how.

    It may be long ago, so what is in use is not taken away, and volumes that the change created go,
    with their data, only if `remove_volumes` says so. The record goes when all is undone.
    """
    observation = await target.observe()
    seen = observed.read(observation)
    wanted = undo.settle(undo.gently(read_way_back(record), seen), seen)
    kept: tuple[str, ...] = ()
    if not remove_volumes:
        wanted, kept = undo.without_volumes(wanted, seen)
    world = await carry_steps.complete(wanted, target, seen)
    plan_ = plan.plan(wanted, world)
    run = _unstarted(plan_, dry_run=dry_run)
    if run is None:
        hands = Hands(target=target, progress=progress, restores=True)
        run = await carry_steps.carry_out(plan_, hands)
        await _end(run, record, undo_log)
    else:
        run.change = record["id"]
    if kept:
        run.notes.append(
            f"{', '.join(kept)}, which this change created, stay with their data, unless volumes are to be removed"
        )
    return await _conclude(wanted, world, observation, run, target, dry_run=dry_run)


async def resume(record: Mapping[str, Any], target: Target, *, undo_log: UndoLog) -> Result | None:
    """Settle the record of a run that was interrupted, by a kill or a power cut.

    Undoes it if it was to be undone in case of a failure, and returns what became of that; otherwise
    leaves that to an operator and returns None.
    """
    if record["state"] != RUNNING:
        return None
    if not record["rollback"]:
        await undo_log.done(record["id"])
        return None
    observation = await target.observe()
    seen = observed.read(observation)
    wanted = undo.settle(read_way_back(record), seen)
    world = await carry_steps.complete(wanted, target, seen)
    run = await carry_rollback.go_back(wanted, world, Hands(target=target), INTERRUPTED)
    await _end(run, record, undo_log)
    if run.failures:
        await undo_log.done(record["id"])
    return await _conclude(wanted, world, observation, run, target, dry_run=False)


async def _end(run: Run, record: Mapping[str, Any], undo_log: UndoLog) -> None:
    """Remove the record of a change that was undone; keep it if some of it was not."""
    if run.failures:
        run.change = record["id"]
        return
    await undo_log.drop(record["id"])
    run.rolled_back = bool(run.done)


def _unstarted(plan_: Plan, *, dry_run: bool) -> Run | None:
    """Return the run of a plan that is not carried out, None of one that is."""
    if plan_.problems:
        return outcome.refuse(plan_)
    if dry_run:
        return Run(plan_, [outcome.of_step(step, PLANNED) for step in plan_.steps])
    return None


async def _conclude(
    desired: Desired,
    world: Observed,
    observation: Observation,
    run: Run,
    target: Target,
    *,
    dry_run: bool,
) -> Result:
    """Read back what the run has touched, and return the result, without secrets."""
    documents: dict[str, Mapping[str, Any]] = {
        f"plugin/{p['Name']}": p for p in observation.plugins
    }
    documents |= {f"volume/{v['Name']}": v for v in observation.volumes}
    documents |= {f"mount/{m['Path']}": m for m in observation.mounts or ()}
    if not dry_run:
        await _read_back(target, run, documents)
    names = confidential.name_secrets(desired, world, documents)
    shown = confidential.mask_documents(desired, world, documents)
    result = outcome.conclude(
        desired, target.url, run, shown, observation.warnings, dry_run=dry_run
    )
    redact = confidential.redactor(desired, world, observation.plugins)
    return replace(result, secrets=names).redacted(redact)


async def _read_back(target: Target, run: Run, documents: dict[str, Mapping[str, Any]]) -> None:
    """Replace the documents of what this run touched by what the engine says now."""
    for resource in sorted(run.touched):
        kind, _, name = resource.partition("/")
        inspect = {
            "plugin": target.inspect_plugin,
            "volume": target.inspect_volume,
            "mount": target.inspect_mount,
        }[kind]
        try:
            found = await inspect(name)
        except errors.PlugindError as exc:
            run.notes.append(f"cannot read {resource} back: {exc}")
            continue
        documents.pop(resource, None)
        if found is not None:
            documents[resource] = found


async def query(target: Target, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plugins and volumes asked for; `null` asks for all, a missing one is left out.

    `mounts` are the host mounts of the volumes that are returned.
    """
    unknown = sorted(document.keys() - {"plugins", "volumes"})
    if unknown:
        raise errors.InvalidParameter(f"invalid query: unknown key {', '.join(unknown)}")
    plugins = _wanted_names(document.get("plugins"), "plugins")
    if plugins is not None:
        plugins = {reference.canonical_name(name) for name in plugins}
    volumes = _wanted_names(document.get("volumes"), "volumes")
    observation = await target.observe()
    chosen = [
        volume
        for volume in sorted(observation.volumes, key=lambda v: str(v["Name"]))
        if volumes is None or volume["Name"] in volumes
    ]
    shown = {volume["Name"] for volume in chosen}
    return {
        "plugins": [
            masking.mask_plugin(plugin, observation.policy)
            for plugin in sorted(observation.plugins, key=lambda p: str(p["Name"]))
            if plugins is None or plugin["Name"] in plugins
        ],
        "volumes": [masking.mask_volume(volume, observation.policy) for volume in chosen],
        "mounts": [dict(m) for m in observation.mounts or () if m["Volume"] in shown],
        "warnings": list(observation.warnings),
        "engine": target.url,
        "info": dict(await target.info()),
    }


def _wanted_names(names: object, what: str) -> set[str] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise errors.InvalidParameter(f"invalid query: .{what} is neither null nor a list of names")
    return set(names)
