# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What became of a declaration: one outcome a step, and the result that clients get.

planned    dry run: would be done       done     carried out
failed     tried, or checked and found  skipped  needs something that failed
           to be impossible

A verification is a step that changes nothing: it fails a run, and makes none that has nothing to do
one that has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind.model import steps
from plugind.model.desired import Desired
from plugind.model.steps import Plan, Problem, State, Step

DONE, FAILED, SKIPPED, PLANNED = "done", "failed", "skipped", "planned"
#: the action of an outcome that says why a declaration is not carried out at all
CHECK = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one step."""

    resource: str
    action: str
    status: str
    description: str
    reason: str = ""
    before: State = field(default_factory=dict)
    after: State = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as results spell it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `plugind apply` answers.

    `plugins` and `volumes` are Engine API objects with their secrets masked. `secrets` has, by
    resource, the declared names whose values are secrets: what a client must not show either.

    rolled_back  all that this run had done, and it had done something, was undone
    undo         the id under which the change can be rolled back; None if there is nothing to undo
    """

    changed: bool
    failed: bool
    msg: str
    engine: str
    steps: tuple[Outcome, ...] = ()
    before: Mapping[str, State] = field(default_factory=dict)
    after: Mapping[str, State] = field(default_factory=dict)
    plugins: tuple[Mapping[str, Any], ...] = ()
    volumes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rolled_back: bool = False
    undo: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as clients get it."""
        return {
            "changed": self.changed,
            "failed": self.failed,
            "msg": self.msg,
            "engine": self.engine,
            "steps": [outcome.to_json() for outcome in self.steps],
            "diff": {"before": dict(self.before), "after": dict(self.after)},
            "plugins": [dict(plugin) for plugin in self.plugins],
            "volumes": [dict(volume) for volume in self.volumes],
            "mounts": [dict(mount) for mount in self.mounts],
            "warnings": list(self.warnings),
            "secrets": {name: list(names) for name, names in self.secrets.items()},
            "rolled_back": self.rolled_back,
            "undo": None if self.undo is None else {"id": self.undo},
        }

    def redacted(self, redact: Callable[[str], str]) -> Result:
        """Return the result with every text that an engine or a plugin wrote gone through."""
        return replace(
            self,
            msg=redact(self.msg),
            steps=tuple(replace(step, reason=redact(step.reason)) for step in self.steps),
            warnings=tuple(redact(warning) for warning in self.warnings),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What became of undoing a run that failed; `left` says where the host is not as before."""

    outcomes: tuple[Outcome, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def failures(self) -> list[Outcome]:
        """What could not be undone."""
        return [outcome for outcome in self.outcomes if outcome.status != DONE]

    @property
    def acted(self) -> bool:
        """True if anything was undone."""
        return any(outcome.status == DONE for outcome in self.outcomes)


class Run:
    """A plan on its way: the outcomes so far, and the state that each resource is in.

    `change` is the id under which what was done can be undone.
    """

    def __init__(self, plan_: Plan, outcomes: list[Outcome]) -> None:
        self.plan = plan_
        self.outcomes = outcomes
        self.after: dict[str, State] = dict(plan_.after)
        self.by_step: list[Outcome] = []
        self.touched: set[str] = set()
        self.marked: set[str] = set()
        self.notes: list[str] = []
        self.undone: Undone | None = None
        self.rolled_back = False
        self.change: str | None = None

    def has_changed(self, resource: str) -> bool:
        """True if the resource is, or in a dry run would be, another one than before.

        A volume that was recreated looks the same, and is not; what a failed run undid looks the
        same, and is.
        """
        if self.undone is not None:
            mine = [step for step in self.done if step.resource == resource and step.changes]
            for_good = self.undone.failures or any(_is_for_good(step) for step in mine)
            differs = self.after[resource] != self.plan.before[resource]
            return differs or bool(mine and for_good)
        statuses = {
            outcome.status
            for outcome in self.outcomes
            if outcome.resource == resource and outcome.action != steps.PLUGIN_VERIFY
        }
        acted = DONE in statuses or PLANNED in statuses
        failed = FAILED in statuses
        return acted and (not failed or self.after[resource] != self.plan.before[resource])

    @property
    def changed(self) -> bool:
        """True if any resource has changed."""
        return any(self.has_changed(resource) for resource in self.plan.before)

    @property
    def done(self) -> list[Step]:
        """The steps of the plan that were done."""
        pairs = zip(self.plan.steps, self.by_step, strict=False)
        return [step for step, outcome in pairs if outcome.status == DONE]

    def note(self, outcome: Outcome) -> None:
        """Take down what became of the next step of the plan."""
        self.outcomes.append(outcome)
        self.by_step.append(outcome)

    def has_stopped(self, resource: str) -> bool:
        """True if this run disabled the plugin for a moment only."""
        return any(step.resource == resource and step.temporary for step in self.done)

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes that failed."""
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]


def refuse(plan_: Plan) -> Run:
    """Return the run of a plan with problems: nothing is done."""
    run = Run(plan_, [])
    run.after = dict(plan_.before)
    for problem in plan_.problems:
        run.outcomes.append(of_problem(problem, plan_.before[problem.resource]))
    why = "nothing was done, because something else in the declaration cannot be done"
    run.outcomes += [of_step(step, SKIPPED, why) for step in plan_.steps]
    return run


def of_problem(problem: Problem, state: State) -> Outcome:
    """Return why a resource, which is in that state, cannot become what is declared."""
    return Outcome(
        resource=problem.resource,
        action=CHECK,
        status=FAILED,
        description=f"check {problem.resource}",
        reason=problem.message,
        before=state,
        after=state,
    )


def undoes(failed: str) -> str:
    """Return the reason of what undoes something, because a step has failed."""
    return f"undoes, because this failed: {failed}"


def of_step(step: Step, status: str, reason: str = "") -> Outcome:
    """Return what became of a step of the plan."""
    return Outcome(
        resource=step.resource,
        action=step.kind,
        status=status,
        description=step.describe(),
        reason=reason,
        before=step.before,
        after=step.after if status in (DONE, PLANNED) else step.before,
    )


def conclude(
    desired: Desired,
    engine: str,
    run: Run,
    documents: Mapping[str, Mapping[str, Any]],
    warnings: Iterable[str],
    *,
    dry_run: bool,
) -> Result:
    """Return the result of a run; `documents` are the Engine API objects by resource, masked."""
    plugins = [plugin.resource for plugin in desired.plugins]
    volumes = [volume.resource for volume in desired.volumes]
    mounts = [mount.resource for mount in desired.mounts]
    return Result(
        changed=run.changed,
        failed=bool(run.failures),
        msg=_message(run, dry_run=dry_run),
        engine=engine,
        steps=(*run.outcomes, *(run.undone.outcomes if run.undone else ())),
        before=run.plan.before,
        after=dict(sorted(run.after.items())),
        plugins=tuple(documents[name] for name in plugins if name in documents),
        volumes=tuple(documents[name] for name in volumes if name in documents),
        mounts=tuple(documents[name] for name in mounts if name in documents),
        warnings=(*warnings, *run.plan.warnings, *run.notes),
        rolled_back=run.rolled_back,
        undo=run.change,
    )


def describe_state(resource: str, state: State) -> str:
    """Say what a resource is like, for somebody who expected something else."""
    kind, _, name = resource.partition("/")
    where = f", at {state['source']}" if "source" in state else ""
    return f"{kind} {name} is now {state['state']}{where}"


def _message(run: Run, *, dry_run: bool) -> str:
    if run.failures:
        texts = [_why(failure) for failure in run.failures]
        if run.undone is not None:
            texts.append(_ending(run.undone))
        return "; ".join([*texts, *run.notes])
    checks = sum(outcome.action == steps.PLUGIN_VERIFY for outcome in run.outcomes)
    count = len(run.outcomes) - checks
    done = f"{_count(count, 'step')} {'to do' if dry_run else 'done'}" if count else "nothing to do"
    if checks:
        return f"{done}, {_count(checks, 'verification')} {'to do' if dry_run else 'passed'}"
    return done


def _why(failure: Outcome) -> str:
    if failure.action == CHECK:
        return failure.reason
    return f"cannot {failure.description}: {failure.reason}"


def _ending(undone: Undone) -> str:
    if undone.failures:
        why = "; ".join(_why(o) for o in undone.failures if o.status == FAILED)
        return "; ".join([f"not everything could be undone: {why}", *undone.left])
    if undone.acted:
        return "; ".join(["what this run had done was undone", *undone.left])
    return "; ".join(["there was nothing to undo", *undone.left])


def _count(count: int, what: str) -> str:
    return f"{count} {what if count == 1 else what + 's'}"


def _is_for_good(step: Step) -> bool:
    return step.kind in (steps.VOLUME_REMOVE, steps.PLUGIN_REMOVE)
