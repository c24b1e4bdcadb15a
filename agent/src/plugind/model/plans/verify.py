# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The verifications' part of a plan, and what has to wait for them.

A verification is a step that changes nothing. Once a plan has one, whatever cannot be undone comes
last, so that nothing is lost if it fails: volumes and plugins are removed after it, unless some
other step needs them gone.
"""

from __future__ import annotations

from dataclasses import replace

from plugind.model import desired as desired_
from plugind.model import requires, steps
from plugind.model import verify as verify_
from plugind.model.desired import DesiredPlugin
from plugind.model.steps import Draft, Plan, Step


def plan_verification(draft: Draft, wanted: DesiredPlugin) -> None:
    """Add the verification of a plugin, if there is anything to verify."""
    now = draft.now[wanted.resource]
    if wanted.verify is None or now["state"] != "enabled" or draft.is_impossible(wanted.resource):
        return
    have = draft.observed.plugins.get(wanted.name)
    needed = {plugin.name: plugin.requires for plugin in draft.desired.plugins}
    names = [wanted.name, *requires.reach(wanted.name, needed)]
    watches = tuple(f"plugin/{name}" for name in names)
    changed = any(step.changes and step.resource in watches for step in draft.steps)
    unverified = changed or (have is not None and have.unverified)
    if not unverified and wanted.verify.when != verify_.ALWAYS:
        return
    draft.add(
        steps.PLUGIN_VERIFY,
        wanted.resource,
        f"verify plugin {wanted.name}",
        now,
        plugin=wanted,
        watches=watches if changed else (),
        unverified=unverified,
    )


def defer_removals(made: Plan) -> Plan:
    """Return the plan with the removals that nothing waits for after the verifications."""
    checks = [n for n, step in enumerate(made.steps) if step.kind == steps.PLUGIN_VERIFY]
    if not checks:
        return made
    staying = {n for n, step in enumerate(made.steps) if not _is_removal(step)}
    # Backwards, because a step depends on earlier ones only.
    for position in reversed(range(len(made.steps))):
        if position in staying:
            staying.update(made.steps[position].depends)
    order = sorted(range(len(made.steps)), key=lambda n: n not in staying)
    place = {position: new for new, position in enumerate(order)}
    moved = []
    for position in order:
        step = made.steps[position]
        waits = step.depends if position in staying else (*step.depends, *checks)
        depends = tuple(sorted({place[other] for other in waits}))
        moved.append(replace(step, depends=depends))
    return replace(made, steps=tuple(moved))


def _is_removal(step: Step) -> bool:
    if step.kind == steps.PLUGIN_DISABLE:
        return step.wanted_plugin.state == desired_.ABSENT
    return step.kind in (steps.VOLUME_REMOVE, steps.PLUGIN_REMOVE)
