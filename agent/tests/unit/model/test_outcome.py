# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json

from fakes.world import plan_for, plugin, volume
from plugind.model import desired, outcome
from plugind.model.outcome import DONE, FAILED, PLANNED, SKIPPED

DECLARATION = {
    "plugins": [{"name": "x", "settings": {"env": {"PASSWORD": "hunter2"}}}],
    "volumes": [{"name": "v", "driver": "y"}],
}


def conclude(run: outcome.Run, *, dry_run: bool = False) -> outcome.Result:
    wanted = desired.parse_declaration(DECLARATION)
    documents = {
        "plugin/x:latest": plugin(env=("PASSWORD=hunter2",)),
        "volume/v": volume(Options={"token": "hunter2"}),
        "volume/other": volume("other"),
    }
    return outcome.conclude(wanted, "fake://", run, documents, ["beware"], dry_run=dry_run)


def test_a_plan_with_problems_is_refused_as_a_whole() -> None:
    made = plan_for(DECLARATION, plugin(enabled=False))
    run = outcome.refuse(made)
    assert [(o.resource, o.status) for o in run.outcomes] == [
        ("volume/v", FAILED),
        ("plugin/x:latest", SKIPPED),
        ("plugin/x:latest", SKIPPED),
    ]
    result = conclude(run)
    assert (result.changed, result.failed) == (False, True)
    assert result.before == result.after
    assert result.msg == 'cannot create volume "v": its driver y:latest is not installed'


def test_a_result_is_json() -> None:
    made = plan_for({"plugins": DECLARATION["plugins"]}, plugin())
    run = outcome.Run(made, [outcome.of_step(step, PLANNED) for step in made.steps])
    result = conclude(run, dry_run=True)
    assert result.msg == "3 steps to do"
    document = json.loads(json.dumps(result.to_json()))
    assert document["plugins"][0]["Name"] == "x:latest"
    assert [v["Name"] for v in document["volumes"]] == ["v"]
    assert document["warnings"] == ["beware"]
    assert set(document["steps"][0]) == {
        "resource", "action", "status", "description", "reason", "before", "after",
    }  # fmt: skip


def test_texts_of_others_are_gone_through() -> None:
    made = plan_for({"plugins": DECLARATION["plugins"]}, plugin())
    run = outcome.Run(made, [outcome.of_step(made.steps[0], FAILED, "it said hunter2")])
    run.notes.append("and hunter2 again")
    result = conclude(run).redacted(lambda text: text.replace("hunter2", "***"))
    assert result.msg.endswith("it said ***; and *** again")
    assert result.steps[0].reason == "it said ***"
    assert result.warnings[-1] == "and *** again"


def test_nothing_to_do() -> None:
    result = conclude(outcome.Run(plan_for({}), []))
    assert (result.changed, result.failed, result.msg) == (False, False, "nothing to do")


def test_what_was_undone_is_no_change_and_what_was_recreated_is() -> None:
    made = plan_for({"plugins": DECLARATION["plugins"]}, plugin())
    run = outcome.Run(made, [])
    run.after = dict(made.before)
    run.note(outcome.of_step(made.steps[0], DONE))
    assert run.has_stopped("plugin/x:latest")
    run.note(outcome.of_step(made.steps[1], FAILED, "no"))
    assert not run.has_changed("plugin/x:latest")
    run.after["plugin/x:latest"] = {"state": "disabled"}
    assert run.has_changed("plugin/x:latest")
    declared = {"volumes": [{"name": "v", "recreate": "always"}]}
    same = plan_for(declared, volume(driver="local"))
    run = outcome.Run(same, [outcome.of_step(step, DONE) for step in same.steps])
    assert same.before == same.after
    assert run.has_changed("volume/v")
