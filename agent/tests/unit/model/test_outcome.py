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


def undone(*statuses: str, left: tuple[str, ...] = ()) -> outcome.Undone:
    step = plan_for({"plugins": DECLARATION["plugins"]}, plugin()).steps[0]
    return outcome.Undone(
        outcomes=tuple(outcome.of_step(step, status, "stuck") for status in statuses), left=left
    )


def test_a_run_that_was_undone_says_what_the_host_is_like() -> None:
    made = plan_for({"plugins": DECLARATION["plugins"]}, plugin())

    def run_with(what: outcome.Undone) -> outcome.Run:
        run = outcome.Run(made, [])
        run.after = dict(made.before)
        run.note(outcome.of_step(made.steps[0], DONE))
        run.note(outcome.of_step(made.steps[1], FAILED, "no"))
        run.undone = what
        return run

    back = conclude(run_with(undone(DONE)))
    failed = f"cannot {made.steps[1].describe()}: no; "
    assert (back.changed, back.msg) == (False, f"{failed}what this run had done was undone")
    assert [step.status for step in back.steps] == [DONE, FAILED, DONE]
    nothing = conclude(run_with(undone()))
    assert (nothing.changed, nothing.msg) == (False, f"{failed}there was nothing to undo")
    partly = conclude(run_with(undone(DONE, FAILED, SKIPPED, left=("it is on fire",))))
    why = f"cannot {made.steps[0].describe()}: stuck"
    # The states may look the same, because secrets are masked: it is a change if it was not undone.
    assert (partly.changed, partly.msg) == (
        True, f"{failed}not everything could be undone: {why}; it is on fire",
    )  # fmt: skip


def test_what_cannot_come_back_is_a_change() -> None:
    again = plan_for({"volumes": [{"name": "v", "recreate": "always"}]}, volume(driver="local"))
    run = outcome.Run(again, [])
    run.note(outcome.of_step(again.steps[0], DONE))
    run.note(outcome.of_step(again.steps[1], FAILED, "no"))
    run.undone = undone()
    assert run.after["volume/v"] == again.before["volume/v"]
    assert run.has_changed("volume/v")
    assert [step.kind for step in run.done] == ["volume-remove"]


def test_a_verification_is_not_a_change_and_fails_a_run() -> None:
    declared = {"plugins": [{"name": "x", "verify": {"when": "always"}}]}
    made = plan_for(declared, plugin())
    run = outcome.Run(made, [outcome.of_step(made.steps[0], DONE)])
    passed = conclude(run)
    assert (passed.changed, passed.msg) == (False, "nothing to do, 1 verification passed")
    failed = conclude(outcome.Run(made, [outcome.of_step(made.steps[0], FAILED, "no")]))
    assert (failed.changed, failed.failed) == (False, True)
    assert failed.msg == "cannot verify plugin x:latest: no"


def test_how_a_change_is_called_in_json() -> None:
    run = outcome.Run(plan_for({}), [])
    assert (conclude(run).to_json()["undo"], conclude(run).to_json()["rolled_back"]) == (
        None,
        False,
    )
    run.change, run.rolled_back = "ab", True
    assert conclude(run).to_json()["undo"] == {"id": "ab"}
    assert conclude(run).to_json()["rolled_back"]


def test_a_state_in_words() -> None:
    state = {"state": "disabled", "source": "x:2"}
    assert outcome.describe_state("plugin/x:1", state) == "plugin x:1 is now disabled, at x:2"
    assert outcome.describe_state("mount//m", {"state": "absent"}) == "mount /m is now absent"
