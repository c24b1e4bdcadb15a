# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What became of a declaration: one outcome a step, and the result that clients get.

planned    dry run: would be done       done     carried out
failed     tried, or checked and found  skipped  needs something that failed
           to be impossible
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind.model.desired import Desired
from plugind.model.steps import Plan, State, Step

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
        }

    def redacted(self, redact: Callable[[str], str]) -> Result:
        """Return the result with every text that an engine or a plugin wrote gone through."""
        return replace(
            self,
            msg=redact(self.msg),
            steps=tuple(replace(step, reason=redact(step.reason)) for step in self.steps),
            warnings=tuple(redact(warning) for warning in self.warnings),
        )


class Run:
    """A plan on its way: the outcomes so far, and the state that each resource is in."""

    def __init__(self, plan_: Plan, outcomes: list[Outcome]) -> None:
        self.plan = plan_
        self.outcomes = outcomes
        self.after: dict[str, State] = dict(plan_.after)
        self.by_step: list[Outcome] = []
        self.touched: set[str] = set()
        self.notes: list[str] = []

    def has_changed(self, resource: str) -> bool:
        """True if the resource is, or in a dry run would be, another one than before.

        A volume that was recreated looks the same, and is not; what a failed run undid looks the
        same, and is.
        """
        mine = [outcome for outcome in self.outcomes if outcome.resource == resource]
        acted = any(outcome.status in (DONE, PLANNED) for outcome in mine)
        failed = any(outcome.status == FAILED for outcome in mine)
        return acted and (not failed or self.after[resource] != self.plan.before[resource])

    def note(self, outcome: Outcome) -> None:
        """Take down what became of the next step of the plan."""
        self.outcomes.append(outcome)
        self.by_step.append(outcome)

    def has_stopped(self, resource: str) -> bool:
        """True if this run disabled the plugin for a moment only."""
        return any(
            step.resource == resource and step.temporary and outcome.status == DONE
            for step, outcome in zip(self.plan.steps, self.by_step, strict=False)
        )

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes that failed."""
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]


def refuse(plan_: Plan) -> Run:
    """Return the run of a plan with problems: nothing is done."""
    run = Run(plan_, [])
    run.after = dict(plan_.before)
    for problem in plan_.problems:
        state = plan_.before[problem.resource]
        run.outcomes.append(
            Outcome(
                resource=problem.resource,
                action=CHECK,
                status=FAILED,
                description=f"check {problem.resource}",
                reason=problem.message,
                before=state,
                after=state,
            )
        )
    why = "nothing was done, because something else in the declaration cannot be done"
    run.outcomes += [of_step(step, SKIPPED, why) for step in plan_.steps]
    return run


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
    changed = any(run.has_changed(resource) for resource in run.plan.before)
    plugins = [plugin.resource for plugin in desired.plugins]
    volumes = [volume.resource for volume in desired.volumes]
    mounts = [mount.resource for mount in desired.mounts]
    return Result(
        changed=changed,
        failed=bool(run.failures),
        msg=_message(run, dry_run=dry_run),
        engine=engine,
        steps=tuple(run.outcomes),
        before=run.plan.before,
        after=dict(sorted(run.after.items())),
        plugins=tuple(documents[name] for name in plugins if name in documents),
        volumes=tuple(documents[name] for name in volumes if name in documents),
        mounts=tuple(documents[name] for name in mounts if name in documents),
        warnings=(*warnings, *run.plan.warnings, *run.notes),
    )


def _message(run: Run, *, dry_run: bool) -> str:
    if run.failures:
        texts = []
        for failure in run.failures:
            checked = failure.action == CHECK
            text = f"cannot {failure.description}: {failure.reason}"
            texts.append(failure.reason if checked else text)
        return "; ".join([*texts, *run.notes])
    count = len(run.outcomes)
    if not count:
        return "nothing to do"
    return f"{count} {'step' if count == 1 else 'steps'} {'to do' if dry_run else 'done'}"
