# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Carrying plans out: read once, plan, do each step, read back what changed.

    apply: observe -> read offers, compare options -> plan -> [steps] -> inspect -> Result

A failed step stops what depends on it; other resources go on. What a failure leaves behind:

* an install whose set or enable fails is removed again, so nothing is left;
* what an engine changes in place it puts back by itself, and its error says so;
* a plugin that was only to be stopped for a moment is enabled again, with its old version or
  settings, if the upgrade or the set failed;
* anything else is reported as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from plugind import errors, log
from plugind.model import (
    confidential,
    masking,
    observed,
    outcome,
    plan,
    plan_settings,
    reference,
    steps,
)
from plugind.model.desired import Desired, DesiredPlugin
from plugind.model.observed import Observation, Observed, Offer
from plugind.model.outcome import DONE, FAILED, PLANNED, SKIPPED, Outcome, Result
from plugind.model.reference import Reference
from plugind.model.steps import Plan, State, Step
from plugind.target import Progress, Target, ignore_progress


async def apply(
    desired: Desired, target: Target, *, dry_run: bool, progress: Progress = ignore_progress
) -> Result:
    """Make `desired` true on `target`, or, as a dry run, say how."""
    observation = await target.observe()
    world = await complete(desired, target, observed.read(observation))
    plan_ = plan.plan(desired, world)
    if plan_.problems:
        run = outcome.refuse(plan_)
    elif dry_run:
        run = outcome.Run(plan_, [outcome.of_step(step, PLANNED) for step in plan_.steps])
    else:
        run = await carry_out(plan_, target, progress)
    documents: dict[str, Mapping[str, Any]] = {
        f"plugin/{p['Name']}": p for p in observation.plugins
    }
    documents |= {f"volume/{v['Name']}": v for v in observation.volumes}
    documents |= {f"mount/{m['Path']}": m for m in observation.mounts or ()}
    if not dry_run:
        await read_back(target, run, documents)
    names = confidential.name_secrets(desired, world, documents)
    shown = confidential.mask_documents(desired, world, documents)
    result = outcome.conclude(
        desired, target.url, run, shown, observation.warnings, dry_run=dry_run
    )
    redact = confidential.redactor(desired, world, observation.plugins)
    return replace(result, secrets=names).redacted(redact)


async def complete(desired: Desired, target: Target, world: Observed) -> Observed:
    """Add what the registry offers and which options differ, as far as the plan needs it."""
    needs = plan.needs(desired, world)
    offers: dict[str, Offer] = {}
    refusals: dict[str, str] = {}
    drift: dict[str, tuple[str, ...]] = {}
    for plugin in needs.offers:
        try:
            offers[plugin.name] = await target.offer(_source(plugin), plugin.credentials)
        except errors.PlugindError as exc:
            refusals[plugin.name] = str(exc)  # becomes a problem of the plan
    for volume in needs.comparisons:
        drift[volume.name] = await target.differing_options(volume.name, volume.options or {})
    return replace(world, offers=offers, refusals=refusals, drift=drift)


async def carry_out(plan_: Plan, target: Target, progress: Progress) -> outcome.Run:
    """Do the steps in order; what depends on a failed one is skipped."""
    run = outcome.Run(plan_, [])
    run.after = dict(plan_.before)
    stopped: dict[int, str] = {}
    for position, step in enumerate(plan_.steps):
        blocker = next((d for d in step.depends if d in stopped), None)
        if blocker is not None:
            stopped[position] = stopped[blocker]
            run.note(outcome.of_step(step, SKIPPED, f"needs what failed: {stopped[blocker]}"))
            continue
        run.touched.add(step.resource)
        try:
            left = await do(step, target, progress)
        except Exception as exc:  # noqa: BLE001 - one resource's surprise must not hide what was done
            stopped[position] = step.describe()
            run.note(outcome.of_step(step, FAILED, _cause(step, exc)))
            await recover(run, step, target)
        else:
            run.note(outcome.of_step(step, DONE))
            run.notes += [left] if left else []
            run.after[step.resource] = step.after
    return run


async def do(step: Step, target: Target, progress: Progress) -> str:
    """Carry one step out; return what of it could not be done although it is done."""
    if step.kind == steps.MOUNT_REMOVE:
        wanted_mount = step.wanted_mount
        return await target.unmount(wanted_mount.mount.path, force=wanted_mount.force)
    if step.kind == steps.MOUNT_CREATE:
        wanted_mount = step.wanted_mount
        allow_nonempty = wanted_mount.allow_nonempty
        await target.mount(wanted_mount.mount, allow_nonempty=allow_nonempty)
        return ""
    if step.kind == steps.VOLUME_REMOVE:
        return await target.remove_volume(step.wanted_volume.name, force=step.wanted_volume.force)
    if step.kind == steps.VOLUME_CREATE:
        volume = step.wanted_volume
        options, labels = volume.options or {}, volume.labels or {}
        await target.create_volume(volume.name, step.driver, options, labels)
        return ""
    await _do_plugin(step, target, progress)
    return ""


async def _do_plugin(step: Step, target: Target, progress: Progress) -> None:
    wanted = step.wanted_plugin
    if step.kind in (steps.PLUGIN_INSTALL, steps.PLUGIN_UPGRADE):
        pull = target.install if step.kind == steps.PLUGIN_INSTALL else target.upgrade
        if step.in_place:
            pull = functools.partial(
                target.upgrade_in_place, arguments=step.arguments or (), timeout=wanted.timeout
            )
        granted = step.offer.privileges if step.offer else ()
        await pull(wanted.name, _source(wanted), granted, wanted.credentials, progress)
    elif step.kind == steps.PLUGIN_SET:
        arguments = step.arguments
        if arguments is None:
            arguments = await _arguments(wanted, target)
        if arguments and step.in_place:
            await target.set_in_place(wanted.name, arguments, wanted.timeout)
        elif arguments:
            await target.set(wanted.name, arguments)
    elif step.kind == steps.PLUGIN_ENABLE:
        await target.enable(wanted.name, wanted.timeout)
    elif step.kind == steps.PLUGIN_DISABLE:
        # What a short stop disturbs is the plan's to weigh, and it has; an engine counts every volume.
        await target.disable(wanted.name, force=wanted.force or step.temporary)
    else:
        await target.remove(wanted.name, force=wanted.force)


async def recover(run: outcome.Run, failed: Step, target: Target) -> None:
    """Undo what a failed step's predecessors did, where leaving it would be wrong."""
    if failed.plugin is None:
        return
    name, resource = failed.plugin.name, failed.resource
    done = {o.action for o in run.outcomes if o.resource == resource and o.status == DONE}
    if steps.PLUGIN_INSTALL in done:
        text = f"remove plugin {name}, which this run had installed"
        undo = Undo(steps.PLUGIN_REMOVE, text, steps.GONE)
        await _attempt(run, failed, undo, target.remove(name, force=True))
        return
    if failed.kind in (steps.PLUGIN_UPGRADE, steps.PLUGIN_SET) and run.has_stopped(resource):
        again: State = {**run.after[resource], "state": "enabled"}
        undo = Undo(steps.PLUGIN_ENABLE, f"enable plugin {name} again", again)
        await _attempt(run, failed, undo, target.enable(name, failed.plugin.timeout))
    if failed.kind == steps.PLUGIN_UPGRADE or steps.PLUGIN_UPGRADE in done:
        state = run.after[resource]
        run.notes.append(f"plugin {name} is now {state['state']}, at {state['source']}")


@dataclass(frozen=True, slots=True)
class Undo:
    """A call that undoes something: what it is called in the result, and where it leads."""

    action: str
    text: str
    after: State


async def _attempt(run: outcome.Run, failed: Step, undo: Undo, call: Awaitable[None]) -> None:
    noted = Outcome(
        resource=failed.resource,
        action=undo.action,
        status=DONE,
        description=undo.text,
        reason=f"undoes, because this failed: {failed.describe()}",
        before=run.after[failed.resource],
        after=undo.after,
    )
    try:
        await call
    except Exception as exc:  # noqa: BLE001 - the first failure stays the one that is reported
        log.error("cannot undo", exc=exc, resource=failed.resource, action=undo.action)
        noted = replace(noted, status=FAILED, reason=str(exc), after=noted.before)
    else:
        run.after[failed.resource] = undo.after
    run.outcomes.append(noted)


async def read_back(
    target: Target, run: outcome.Run, documents: dict[str, Mapping[str, Any]]
) -> None:
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


async def _arguments(wanted: DesiredPlugin, target: Target) -> tuple[str, ...]:
    """Compute what to set on a plugin whose config could not be read before it was pulled."""
    document = await target.inspect_plugin(wanted.name)
    if document is None:
        raise errors.NotFound(f'cannot set: plugin "{wanted.name}" not found')
    plugin = observed.read(Observation(plugins=(document,))).plugins[wanted.name]
    return plan_settings.require_changes(plugin.config, plugin.settings, wanted.settings)


def _source(wanted: DesiredPlugin) -> Reference:
    if wanted.source is None:
        raise TypeError(f"{wanted.resource} has no source")  # the planner saw to that
    return wanted.source


def _cause(step: Step, exc: Exception) -> str:
    if isinstance(exc, errors.PlugindError):
        return str(exc)
    log.error("a step failed with an unexpected error", exc=exc, step=step.describe())
    return f"{type(exc).__name__}: {exc}"
