# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A roll-out: whether a batch passes its gate, and what became of each host. Pure.

PRIVATE to this collection.

    results of a batch -> judge -> gate: the roll-out goes on, or the batch goes back and it stops
    gates, results of all hosts -> outcome of each host, and one message

A host's check is "" if it passed, a text that says what failed, or absent if it did not come to its end: the host
was lost on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

UPDATED, UNCHANGED, PLANNED = "updated", "unchanged", "planned"
ROLLED_BACK, FAILED, UNREACHABLE, NOT_REACHED = (
    "rolled_back",
    "failed",
    "unreachable",
    "not_reached",
)
#: Worst first.
OUTCOMES = (FAILED, UNREACHABLE, ROLLED_BACK, NOT_REACHED, PLANNED, UPDATED, UNCHANGED)
#: Those after which a host is as declared, or would be.
FINE = frozenset((PLANNED, UPDATED, UNCHANGED))
LOST = "lost in its check: it has what was declared"
# Names in a message; the report has all of them.
_MOST = 5

Result = Mapping[str, Any]
Texts = Mapping[str, Any]


def judge(
    applied: Mapping[str, Any],
    checks: Texts | None,
    *,
    number: int,
    max_fail: float,
    max_unreachable: float,
) -> dict[str, Any]:
    """Return the gate of a batch: whether it `passed`, the `reason` if not, and what that is made of.

    `applied` holds results by host, `checks` what came of the users' checks, None before they are made. The limits are
    percentages that may be reached and not be exceeded: of hosts that could be reached, and of all.
    """
    unreachable = [name for name in applied if is_unreachable(_result(applied, name))]
    failed = {
        name: message(_result(applied, name))
        for name in applied
        if is_failed(_result(applied, name))
    }
    if checks is not None:
        asked = [name for name in applied if name not in failed and name not in unreachable]
        unreachable += [name for name in asked if checks.get(name) is None]
        failed.update((name, str(checks[name])) for name in asked if checks.get(name))
    gate: dict[str, Any] = {
        "number": number,
        "hosts": list(applied),
        "changed": any(_result(applied, name).get("changed") for name in applied),
        "failed": failed,
        "unreachable": unreachable,
    }
    gate["reason"] = _reason(gate, max_fail, max_unreachable)
    gate["passed"] = not gate["reason"]
    return gate


def _reason(gate: Mapping[str, Any], max_fail: float, max_unreachable: float) -> str:
    """Say why a batch does not pass, or nothing."""
    failed, lost, count = gate["failed"], gate["unreachable"], len(gate["hosts"])
    reached = count - len(lost)
    if failed and 100 * len(failed) > max_fail * reached:
        return f"{len(failed)} of {_hosts(reached)} failed: {_listed(failed)}"
    if count and not reached:
        return f"none of {_hosts(count)} could be reached: {_named(lost)}"
    if lost and 100 * len(lost) > max_unreachable * count:
        return f"{len(lost)} of {_hosts(count)} could not be reached: {_named(lost)}"
    return ""


def outcome(
    applied: Result, undone: Result, gate: Mapping[str, Any] | None, name: str
) -> tuple[str, str]:
    """Return what became of a host, and why. Without a gate, it has not been reached."""
    if gate is None:
        return NOT_REACHED, "not reached by the roll-out"
    if is_unreachable(applied):
        return UNREACHABLE, message(applied)
    why = gate["failed"].get(name, "")
    if undone and not undone.get("skipped"):
        return _undone(undone, why or f"its batch did not pass: {gate['reason']}")
    if why and applied.get("rolled_back"):
        return ROLLED_BACK, why
    if why:
        return FAILED, why
    if name in gate["unreachable"]:
        return UNREACHABLE, LOST
    if not applied.get("changed"):
        return UNCHANGED, ""
    steps = applied.get("steps") or ()
    planned = any(step.get("status") == "planned" for step in steps)
    return (PLANNED if planned else UPDATED), ""


def _undone(undone: Result, why: str) -> tuple[str, str]:
    if is_unreachable(undone):
        return (
            UNREACHABLE,
            f"could not be reached to roll it back ({message(undone)}), because {why}",
        )
    if is_failed(undone):
        return FAILED, f"could not be rolled back ({message(undone)}), because {why}"
    return ROLLED_BACK, why


def summary(outcomes: Iterable[str]) -> dict[str, int]:
    """Return the number of hosts by outcome."""
    listed = list(outcomes)
    return {name: listed.count(name) for name in OUTCOMES}


def closing(stopped: str, counts: Mapping[str, int]) -> str:
    """Return one line about the whole roll-out."""
    told = ", ".join(
        f"{counts[name]} {name.replace('_', ' ')}" for name in OUTCOMES if counts[name]
    )
    return f"{stopped or 'all batches done'}; hosts: {told or 'none'}"


def is_unreachable(result: Result) -> bool:
    """True if nobody was reached."""
    return bool(result.get("unreachable"))


def is_failed(result: Result) -> bool:
    """True if the task failed or was not carried out."""
    return not is_unreachable(result) and bool(
        not result or result.get("failed") or result.get("skipped")
    )


def message(result: Result) -> str:
    """Return what a result says in words."""
    return str(result.get("msg") or "it did not say why")


def _result(results: Mapping[str, Any], name: str) -> Result:
    found = results[name]
    return found if isinstance(found, Mapping) else {}


def _hosts(number: int) -> str:
    return f"{number} host" if number == 1 else f"{number} hosts"


def _listed(texts: Mapping[str, str]) -> str:
    shown = [f"{name}: {text}" for name, text in texts.items()]
    return _more("; ".join(shown[:_MOST]), len(shown))


def _named(names: list[str]) -> str:
    return _more(", ".join(names[:_MOST]), len(names))


def _more(text: str, number: int) -> str:
    return text if number <= _MOST else f"{text}, and {number - _MOST} more"
