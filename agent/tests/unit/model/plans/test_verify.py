# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import itertools
from typing import Any

import pytest

from fakes import world
from fakes.world import plan_for, plugin, volume
from plugind.model.steps import PLUGIN_VERIFY, Plan

OFFERS = {f"{name}:latest": world.offer() for name in ("x", "y", "z")}


def declared(name: str, source: str = "x:1", **more: Any) -> dict[str, Any]:
    return {"name": name, "source": source, "grant": "all", **more}


def order(made: Plan) -> list[str]:
    assert made.problems == ()
    return [f"{step.kind} {step.resource.partition('/')[2]}" for step in made.steps]


def unverified(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "Unverified": True}


@pytest.mark.parametrize(
    ("verify", "document", "expected"),
    [
        (True, plugin(), False),
        (True, plugin(source="x:0"), True),
        (True, unverified(plugin()), True),
        ({"when": "always"}, plugin(), True),
        (False, unverified(plugin()), False),
    ],
)
def test_when(verify: object, document: dict[str, Any], expected: bool) -> None:
    made = plan_for({"plugins": [declared("x", verify=verify)]}, document)
    checks = [step for step in made.steps if step.kind == PLUGIN_VERIFY]
    assert bool(checks) == expected
    for check in checks:
        assert check.before == check.after
        assert check.unverified == (document != plugin())
        assert bool(check.watches) == (document == plugin(source="x:0"))
        assert not check.changes
    assert made.changes == any(step.kind != PLUGIN_VERIFY for step in made.steps)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_plugin_whose_state_is_left_alone_is_verified_if_it_runs(enabled: bool) -> None:
    one = declared("x", state="present", verify={"when": "always"})
    made = plan_for({"plugins": [one]}, plugin(enabled=enabled))
    assert order(made) == ([f"{PLUGIN_VERIFY} x:latest"] if enabled else [])
    assert not made.changes


def test_a_plugin_is_verified_after_a_change_of_what_it_requires() -> None:
    chain = [
        declared("x", requires=["y"], verify=True),
        declared("y", requires=["z"]),
        declared("z", "x:2"),
    ]
    made = plan_for(
        {"plugins": chain}, plugin(), plugin("y:latest"), plugin("z:latest"),
        offers=OFFERS, in_place=True,
    )  # fmt: skip
    assert order(made) == ["plugin-upgrade z:latest", f"{PLUGIN_VERIFY} x:latest"]
    assert made.steps[1].depends == (0,)
    assert set(made.steps[1].watches) == {"plugin/x:latest", "plugin/y:latest", "plugin/z:latest"}


def test_what_cannot_be_undone_waits_for_the_verifications() -> None:
    document = {
        "plugins": [declared("x", "x:2", verify=True), {"name": "old", "state": "absent"}],
        "volumes": [
            {"name": "gone", "state": "absent"},
            {"name": "v", "state": "absent"},
            {"name": "new", "driver": "x"},
            {"name": "again", "driver": "x", "recreate": "always"},
        ],
        "mounts": [{"path": "/m", "state": "absent"}, {"path": "/n", "volume": "new"}],
    }
    mounts = tuple(
        {
            "Path": path,
            "Volume": name,
            "ReadOnly": False,
            "Propagation": "rprivate",
            "State": "mounted",
        }
        for path, name in (("/m", "v"), ("/n", "again"))
    )
    made = plan_for(
        document, plugin(), plugin("old:latest"),
        volume("gone", "old:latest"), volume("v"), volume("again"), in_place=True, mounts=mounts,
    )  # fmt: skip
    assert order(made) == [
        "mount-remove /m",
        "mount-remove /n",
        "plugin-upgrade x:latest",
        "volume-create new",
        "volume-remove again",
        "volume-create again",
        "mount-create /n",
        f"{PLUGIN_VERIFY} x:latest",
        "volume-remove gone",
        "volume-remove v",
        "plugin-disable old:latest",
        "plugin-remove old:latest",
    ]
    check = 7
    assert all(check in step.depends for step in made.steps[check + 1 :])
    require_backwards(made)


def test_a_removal_goes_first_if_a_plugin_has_to_be_released() -> None:
    document = {
        "plugins": [declared("x", "x:2", verify=True)],
        "volumes": [{"name": "v", "state": "absent"}],
    }
    made = plan_for(document, plugin(), volume("v"))
    assert order(made) == [
        "volume-remove v",
        "plugin-disable x:latest",
        "plugin-upgrade x:latest",
        "plugin-enable x:latest",
        f"{PLUGIN_VERIFY} x:latest",
    ]
    require_backwards(made)


def test_with_nothing_verified_removals_come_first() -> None:
    document = {
        "plugins": [declared("x", verify=True), declared("y")],
        "volumes": [{"name": "v", "state": "absent"}],
    }
    made = plan_for(document, plugin(), volume("v"), offers=OFFERS)
    assert order(made) == ["volume-remove v", "plugin-install y:latest", "plugin-enable y:latest"]


def test_no_verification_of_what_cannot_be_made() -> None:
    made = plan_for({"plugins": [declared("x", "x:2", verify=True)]}, plugin(), offers={})
    assert made.problems
    assert made.steps == ()


def require_backwards(made: Plan) -> None:
    """Fail if a step depends on a later one, or does not on the resource's step before."""
    for position, step in enumerate(made.steps):
        assert all(other < position for other in step.depends)
    for resource in made.before:
        own = [n for n, step in enumerate(made.steps) if step.resource == resource]
        assert all(first in made.steps[second].depends for first, second in itertools.pairwise(own))
        states = [made.before[resource], *(made.steps[n].after for n in own)]
        assert states[-1] == made.after[resource]
