# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A run with a way back.

    record how it is undone -> [steps] -> ended: the record stays, for an operator
                                  `-----> failed: undo what was done -> the record goes

The way back is a declaration (`model.undo`), carried out like any other, on what the host is like by
then. So it undoes what was really done, whatever became of the step that failed, and can be carried
out again. It is undone as far as possible: what cannot be does not stop the rest.

A caller that is cancelled stops in the middle, as a kill does: the record is still `running`, and
whoever finds it so goes back or asks an operator (`carry.resume`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from plugind import carry_steps, errors, log
from plugind.carry_steps import Hands
from plugind.model import observed, outcome, undo
from plugind.model.desired import Desired
from plugind.model.observed import Observed
from plugind.model.outcome import CHECK, DONE, FAILED, Outcome, Run, Undone
from plugind.model.plans import plan
from plugind.model.steps import Plan
from plugind.target import UndoLog


async def change(
    desired: Desired, world: Observed, plan_: Plan, hands: Hands, undo_log: UndoLog | None
) -> Run:
    """Carry a plan out; if it fails and the declaration says so, undo what was done of it."""
    way_back = undo.undo(plan_, world)
    begun = None
    if undo_log is not None and plan_.changes:
        begun = await undo_log.begin(undo.to_document(way_back), rollback=desired.rollback)
    run = await carry_steps.carry_out(plan_, hands, stop=desired.rollback)
    if run.failures and desired.rollback:
        run.undone = await _undo(run, desired, way_back, hands)
        run.rolled_back = run.undone.acted and not run.undone.failures
    if undo_log is not None and begun is not None:
        await _close(run, begun, undo_log)
    return run


async def go_back(wanted: Desired, world: Observed, hands: Hands, reason: str) -> Run:
    """Carry out what can be done of a way back; the outcomes have what cannot be, and `reason`."""
    plan_, problems = undo.possible(wanted, world)
    run = await carry_steps.carry_out(plan_, replace(hands, restores=True))
    before = plan.plan(wanted, world).before
    run.outcomes = [
        *(outcome.of_problem(problem, before[problem.resource]) for problem in problems),
        *(replace(o, reason=reason) if o.status == DONE else o for o in run.outcomes),
    ]
    return run


async def _undo(run: Run, desired: Desired, way_back: Desired, hands: Hands) -> Undone:
    reason = outcome.undoes(run.failures[0].description)
    try:
        seen = observed.read(await hands.target.observe())
        wanted = undo.settle(way_back, seen)
        world = await carry_steps.complete(wanted, hands.target, seen)
        back = await go_back(wanted, world, hands, reason)
    except errors.PlugindError as exc:
        log.error("cannot undo a run", exc=exc)
        return Undone(outcomes=(_blind(str(exc)),), left=undo.lost(run.done))
    run.notes += back.notes
    run.touched |= back.touched
    await _look_again(run, desired, hands)
    return Undone(outcomes=tuple(back.outcomes), left=tuple(_left(run)))


def _blind(why: str) -> Outcome:
    """Return the outcome of a way back that could not be begun."""
    reason = f"cannot read what the host is like: {why}"
    return Outcome(
        resource="", action=CHECK, status=FAILED, description="undo this run", reason=reason
    )


async def _look_again(run: Run, desired: Desired, hands: Hands) -> None:
    """Take down what the declared resources are like after a way back."""
    try:
        seen = observed.read(await hands.target.observe())
    except errors.PlugindError as exc:
        run.notes.append(f"cannot read what the host is like now: {exc}")
        return
    run.after = dict(plan.plan(desired, seen).before)


def _left(run: Run) -> Iterable[str]:
    yield from undo.lost(run.done)
    for resource, state in run.after.items():
        if state != run.plan.before[resource]:
            yield outcome.describe_state(resource, state)


async def _close(run: Run, begun: str, undo_log: UndoLog) -> None:
    """Bring the record to its end: it stays as long as there is something to undo."""
    is_undone = run.undone is not None and not run.undone.failures
    try:
        if is_undone or not run.changed:
            await undo_log.drop(begun)
        else:
            await undo_log.done(begun)
            run.change = begun
    except errors.PlugindError as exc:
        run.notes.append(f"cannot record the end of this run, so it cannot be rolled back: {exc}")
        await _give_up(run, begun, undo_log)


async def _give_up(run: Run, begun: str, undo_log: UndoLog) -> None:
    """Remove a record that would have a finished run undone."""
    try:
        await undo_log.drop(begun)
    except errors.PlugindError as exc:
        run.notes.append(f"the agent may undo this run when it starts next: {exc}")
