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
    for attribute in ("wanted_plugin", "wanted_volume"):
        with pytest.raises(TypeError, match="is not a step of"):
            getattr(step, attribute)
