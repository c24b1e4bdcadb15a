# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind.model import desired, steps
from plugind.model.observed import Observed


def test_a_draft_chains_the_steps_of_a_resource() -> None:
    draft = steps.Draft(desired.Desired(), Observed())
    draft.start("plugin/x", steps.GONE)
    draft.start("volume/v", steps.GONE)
    first = draft.add("a", "plugin/x", "do a", {"state": "disabled"})
    draft.add("b", "plugin/x", "do b", {"state": "enabled"})
    draft.add("c", "volume/v", "do c", {"state": "present"}, depends=(first,))
    plan = draft.finish()
    assert [step.depends for step in plan.steps] == [(), (0,), (0,)]
    assert [step.before for step in plan.steps][1] == {"state": "disabled"}
    assert plan.before == {"plugin/x": steps.GONE, "volume/v": steps.GONE}
    assert plan.after == {"plugin/x": {"state": "enabled"}, "volume/v": {"state": "present"}}
    assert [step.describe() for step in plan.steps] == ["do a", "do b", "do c"]


def test_problems_belong_to_resources() -> None:
    draft = steps.Draft(desired.Desired(), Observed())
    draft.problem("plugin/x", "no")
    assert draft.is_impossible("plugin/x")
    assert not draft.is_impossible("plugin/y")
    assert draft.finish().problems == (steps.Problem(resource="plugin/x", message="no"),)


def test_a_step_knows_what_it_is_about() -> None:
    step = steps.Step(kind="x", resource="r", text="t", before={}, after={})
    for attribute in ("wanted_plugin", "wanted_volume", "wanted_mount"):
        with pytest.raises(TypeError, match="is not a step of"):
            getattr(step, attribute)


def test_a_plugin_waits_for_all_that_it_requires() -> None:
    declared = {
        "plugins": [
            {"name": "a", "requires": ["b"]}, {"name": "b", "requires": ["c"]}, {"name": "c"},
            {"name": "d", "state": "absent", "requires": ["e"]}, {"name": "e", "state": "absent"},
        ]
    }  # fmt: skip
    draft = steps.Draft(desired.parse_declaration(declared), Observed())
    for name in "abcde":
        draft.start(f"plugin/{name}:latest", steps.GONE)
    for name in "cadeb":
        draft.add("x", f"plugin/{name}:latest", name, {})
    # `b` has no step before `a` has its own, and is waited for all the same by what it requires.
    assert [step.depends for step in draft.finish().steps] == [(), (0,), (), (2,), (0,)]


def test_a_plan_that_only_looks_changes_nothing() -> None:
    look = steps.Step(kind=steps.PLUGIN_VERIFY, resource="r", text="t", before={}, after={})
    make = steps.Step(kind=steps.PLUGIN_ENABLE, resource="r", text="t", before={}, after={})
    assert [step.changes for step in (look, make)] == [False, True]
    assert not steps.Plan(steps=(look,)).changes
    assert steps.Plan(steps=(look, make)).changes
