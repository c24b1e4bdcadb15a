# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Gates of batches, and what a roll-out's report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.plugind.engine.plugins.filter.fleet_report import fleet_report
from ansible_collections.plugind.engine.plugins.filter.report_html import report_html
from ansible_collections.plugind.engine.plugins.filter.rollout_gate import rollout_gate
from ansible_collections.plugind.engine.plugins.plugin_utils import _rollout
from support import fleet_results

SCHEMA = Path(__file__).parents[4] / "docs" / "fleet-report.schema.json"
FINE = {"changed": True, "failed": False, "steps": [{"status": "done"}]}
SAME = {"changed": False, "failed": False}
BAD = {"changed": False, "failed": True, "msg": "cannot install: no"}
GONE = {"unreachable": True, "changed": False, "msg": "no route"}


@pytest.mark.parametrize(
    ("applied", "limits", "reason"),
    [
        ({"a": FINE, "b": SAME}, {}, ""),
        ({"a": FINE, "b": BAD}, {}, "1 of 2 hosts failed: b: cannot install: no"),
        ({"a": FINE, "b": BAD}, {"max_fail": 50}, ""),
        ({"a": FINE, "b": BAD, "c": GONE}, {"max_fail": 49}, "1 of 2 hosts failed"),
        ({"a": {}}, {}, "1 of 1 host failed: a: it did not say why"),
        ({"a": {"skipped": True}}, {}, "1 of 1 host failed"),
        ({"a": FINE, "b": GONE}, {}, ""),
        ({"a": GONE}, {}, "none of 1 host could be reached: a"),
        ({"a": FINE, "b": GONE}, {"max_unreachable": 49.9}, "1 of 2 hosts could not be reached: b"),
        ({"a": FINE, "b": GONE}, {"max_unreachable": "50%"}, ""),
        ({}, {}, ""),
    ],
)
def test_gates(applied: Any, limits: Any, reason: str) -> None:
    gate = rollout_gate(applied, number="2", **limits)
    assert gate["reason"].startswith(reason)
    assert gate["passed"] is (not gate["reason"])
    assert (gate["number"], gate["hosts"]) == (2, list(applied))


def test_checks() -> None:
    applied = {"a": FINE, "b": FINE, "c": FINE, "d": BAD, "e": GONE}
    gate = rollout_gate(applied, {"a": "", "b": "check failed: x", "d": "", "e": ""}, max_fail=100)
    assert gate["failed"] == {"d": "cannot install: no", "b": "check failed: x"}
    assert gate["unreachable"] == ["e", "c"], "c is lost: its check has no end"
    assert gate["passed"]
    assert gate["changed"]
    assert not rollout_gate({"a": SAME}, {"a": ""})["changed"]


def test_a_reason_names_a_few() -> None:
    gate = rollout_gate({f"h{number}": BAD for number in range(9)})
    assert gate["reason"].endswith("h4: cannot install: no, and 4 more")


@pytest.mark.parametrize("limit", [-1, 101, "many", None])
def test_limits_are_percentages(limit: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="max_fail: want a percentage from 0 to 100"):
        rollout_gate({}, max_fail=limit)
    with pytest.raises(AnsibleFilterError, match="want a mapping"):
        rollout_gate(["a"])  # type: ignore[arg-type]


PASSED = {"number": 1, "hosts": ["a"], "failed": {}, "unreachable": [], "reason": ""}
STOPPED = {**PASSED, "failed": {"b": "why"}, "reason": "1 of 2 hosts failed"}
UNDONE = {"changed": True, "failed": False, "rolled_back": True, "steps": []}


@pytest.mark.parametrize(
    ("name", "applied", "undone", "gate", "outcome", "reason"),
    [
        ("a", FINE, {}, None, "not_reached", "not reached by the roll-out"),
        ("a", GONE, {}, PASSED, "unreachable", "no route"),
        ("a", FINE, {}, PASSED, "updated", ""),
        ("a", FINE, {"skipped": True}, PASSED, "updated", ""),
        ("a", {**FINE, "steps": [{"status": "planned"}]}, {}, PASSED, "planned", ""),
        ("a", SAME, {}, PASSED, "unchanged", ""),
        ("a", FINE, {}, {**PASSED, "unreachable": ["a"]}, "unreachable", _rollout.LOST),
        ("b", BAD, {}, STOPPED, "failed", "why"),
        ("b", {**BAD, "rolled_back": True}, {}, STOPPED, "rolled_back", "why"),
        ("b", FINE, UNDONE, STOPPED, "rolled_back", "why"),
        ("a", FINE, UNDONE, STOPPED, "rolled_back", "its batch did not pass: 1 of 2 hosts failed"),
        ("a", FINE, BAD, STOPPED, "failed", "could not be rolled back (cannot install: no)"),
        ("a", FINE, GONE, STOPPED, "unreachable", "could not be reached to roll it back (no route)"),
    ],
)  # fmt: skip
def test_outcomes(
    name: str, applied: Any, undone: Any, gate: Any, outcome: str, reason: str
) -> None:
    found = _rollout.outcome(applied, undone, gate, name)
    assert found[0] == outcome
    assert found[1].startswith(reason)


def test_a_stopped_rollout_in_a_report() -> None:
    applied, rollout = fleet_results.rolled_out(6)
    made = fleet_report(applied, rollout=rollout)
    jsonschema.validate(made, json.loads(SCHEMA.read_text()))
    assert [(host["state"], host["rollout"]["outcome"]) for host in made["hosts"]] == [
        ("changed", "updated"), ("drifted", "rolled_back"), ("failed", "rolled_back"),
        ("unreachable", "unreachable"), ("waiting", "not_reached"), ("waiting", "not_reached"),
    ]  # fmt: skip
    assert made["rollout"]["message"] == (
        "stopped at batch 2: 1 of 2 hosts failed; hosts: 1 unreachable, 2 rolled back, 2 not reached, 1 updated"
    )
    assert [batch["passed"] for batch in made["rollout"]["batches"]] == [True, False]
    assert made["summary"]["states"]["waiting"] == 2
    # What was undone is shown as it is now, with what was done and what undid it.
    back = made["hosts"][1]
    assert [plugin["source"] for plugin in back["plugins"]] == [
        "registry.example.com/plugins/sshfs:2"
    ]
    assert [change["action"] for change in back["changes"]] == ["plugin-upgrade", "plugin-upgrade"]
    page = report_html(made)
    assert 'data-find="batch:2"' in page
    assert "stopped at batch 2" in page
    assert "not reached yet" not in report_html(fleet_report(applied))


def test_what_is_no_rollout_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="rollout: want a mapping"):
        fleet_report({}, rollout=[])  # type: ignore[arg-type]
