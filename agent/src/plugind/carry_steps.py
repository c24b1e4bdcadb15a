# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The steps of a plan, one after the other, on a target.

A failed step stops what depends on it; other resources go on. What a failure leaves behind:

* an install whose set or enable fails is removed again, so nothing is left;
* what an engine changes in place it puts back by itself, and its error says so;
* a plugin that was only to be stopped for a moment is enabled again, with its old version or
  settings, if the upgrade or the set failed;
* anything else is reported as it is.

A run that is undone as a whole stops at the first failure, and leaves all that to `carry_rollback`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace

from plugind import errors, log
from plugind.model import observed, outcome, steps
from plugind.model.desired import Desired, DesiredPlugin
from plugind.model.observed import Observation, Observed, Offer
from plugind.model.outcome import DONE, FAILED, SKIPPED, Outcome
from plugind.model.plans import plan, settings
from plugind.model.reference import Reference
from plugind.model.steps import Plan, State, Step
from plugind.model.verify import Verify
from plugind.target import Clock, Progress, Target, ignore_progress

#: Seconds between the tries of a verification: doubled from the first to the last.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class SystemClock:
    """The clock of this host."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What carries a plan out; `restores` if it is a way back."""

    target: Target
    progress: Progress = ignore_progress
    clock: Clock = SystemClock()  # noqa: RUF009 - it has no state
    restores: bool = False


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


async def carry_out(plan_: Plan, hands: Hands, *, stop: bool = False) -> outcome.Run:
    """Do the steps in order; what depends on a failed one is skipped; all the rest, if `stop`."""
    run = outcome.Run(plan_, [])
    run.after = dict(plan_.before)
    stopped: dict[int, str] = {}
    for position, step in enumerate(plan_.steps):
        blocker = next((d for d in step.depends if d in stopped), None)
        if blocker is not None:
            stopped[position] = stopped[blocker]
            run.note(outcome.of_step(step, SKIPPED, f"needs what failed: {stopped[blocker]}"))
            continue
        if stop and stopped:
            failed = next(iter(stopped.values()))
            run.note(outcome.of_step(step, SKIPPED, f"this run is undone: {failed} failed"))
            continue
        run.touched.add(step.resource)
        try:
            await _mark_unverified(run, step, hands.target)
            left = await do(step, hands)
        except Exception as exc:  # noqa: BLE001 - one resource's surprise must not hide what was done
            stopped[position] = step.describe()
            run.note(outcome.of_step(step, FAILED, _cause(step, exc)))
            if not stop:
                await recover(run, step, hands.target)
        else:
            run.note(outcome.of_step(step, DONE))
            run.notes += [left] if left else []
            run.after[step.resource] = step.after
    return run


async def _mark_unverified(run: outcome.Run, step: Step, target: Target) -> None:
    """Before a plugin is changed, put on record that it has to be verified.

    What this run installs is marked before its next step, because there is no record before that.
    """
    for check in run.plan.steps:
        name = check.resource
        if step.resource not in check.watches or name in run.marked:
            continue
        if run.after[name] != steps.GONE:
            await target.set_unverified(check.wanted_plugin.name, True)
            run.marked.add(name)


async def do(step: Step, hands: Hands) -> str:
    """Carry one step out; return what of it could not be done although it is done."""
    target = hands.target
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
    if step.kind == steps.PLUGIN_VERIFY:
        await _verify(step, hands)
    else:
        await _do_plugin(step, hands)
    return ""


async def _do_plugin(step: Step, hands: Hands) -> None:
    target, wanted = hands.target, step.wanted_plugin
    if step.kind in (steps.PLUGIN_INSTALL, steps.PLUGIN_UPGRADE):
        await _pull(step, hands)
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


async def _pull(step: Step, hands: Hands) -> None:
    target, wanted = hands.target, step.wanted_plugin
    granted = step.offer.privileges if step.offer else ()
    what = (wanted.name, _source(wanted), granted, wanted.credentials, hands.progress)
    if step.in_place:
        arguments = step.arguments or ()
        await target.upgrade_in_place(*what, arguments=arguments, timeout=wanted.timeout)
    elif step.kind == steps.PLUGIN_UPGRADE:
        await target.upgrade(*what)
    else:
        await target.install(*what, restored=hands.restores)


async def _verify(step: Step, hands: Hands) -> None:
    """Probe the plugin until that succeeds, or its time is over; then take it off the record."""
    name, verify = step.wanted_plugin.name, step.wanted_plugin.verify or Verify()
    deadline = hands.clock.monotonic() + verify.timeout
    pause = FIRST_PAUSE
    while True:
        try:
            await hands.target.probe(name, verify)
            break
        except errors.Unsupported:
            raise  # it will not be otherwise later
        except errors.PlugindError:
            left = deadline - hands.clock.monotonic()
            if left <= 0:
                raise
        await hands.clock.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)
    if step.unverified:
        await hands.target.set_unverified(name, False)


async def recover(run: outcome.Run, failed: Step, target: Target) -> None:
    """Undo what a failed step's predecessors did, where leaving it would be wrong."""
    if failed.plugin is None or not failed.changes:
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
        run.notes.append(outcome.describe_state(resource, state))


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
        reason=outcome.undoes(failed.describe()),
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


async def _arguments(wanted: DesiredPlugin, target: Target) -> tuple[str, ...]:
    """Compute what to set on a plugin whose config could not be read before it was pulled."""
    document = await target.inspect_plugin(wanted.name)
    if document is None:
        raise errors.NotFound(f'cannot set: plugin "{wanted.name}" not found')
    plugin = observed.read(Observation(plugins=(document,))).plugins[wanted.name]
    return settings.require_changes(plugin.config, plugin.settings, wanted.settings)


def _source(wanted: DesiredPlugin) -> Reference:
    if wanted.source is None:
        raise TypeError(f"{wanted.resource} has no source")  # the planner saw to that
    return wanted.source


def _cause(step: Step, exc: Exception) -> str:
    if isinstance(exc, errors.PlugindError):
        return str(exc)
    log.error("a step failed with an unexpected error", exc=exc, step=step.describe())
    return f"{type(exc).__name__}: {exc}"
