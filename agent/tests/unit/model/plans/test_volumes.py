# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from fakes import world
from fakes.world import kinds, plan_for, plugin, problem, volume

C, R = "volume-create", "volume-remove"
ON, OFF = plugin(enabled=True), plugin(enabled=False)


def declare(*plugins: dict[str, Any], **declared: Any) -> dict[str, Any]:
    return {"plugins": list(plugins), "volumes": [{"name": "v", "driver": "x", **declared}]}


@pytest.mark.parametrize(
    ("have", "declared", "steps"),
    [
        (None, {}, [C]),
        (None, {"state": "absent"}, []),
        (None, {"recreate": "always"}, [C]),
        (volume(), {}, []),
        (volume(), {"driver": "x:latest"}, []),
        (volume(), {"driver": "docker.io/library/x"}, []),
        (volume(), {"state": "absent"}, [R]),
        (volume(), {"recreate": "always"}, [R, C]),
        (volume(), {"recreate": "options-changed"}, []),
        (volume(Options={"a": "1"}), {}, []),
        (volume(Options={"a": "1"}), {"options": {"a": 1}}, []),
        (volume(Options={"a": "1"}), {"options": {"a": 2}, "recreate": "options-changed"}, [R, C]),
        (volume(Options={"a": "1"}), {"options": {}, "recreate": "options-changed"}, [R, C]),
        (volume(Labels={"l": "1", "m": "2"}), {"labels": {"l": 1}}, []),
        (volume(), {"labels": {"l": 1}, "recreate": "options-changed"}, [R, C]),
        (volume(driver="local"), {"recreate": "options-changed"}, [R, C]),
    ],
)
def test_steps(have: dict[str, Any] | None, declared: dict[str, Any], steps: list[str]) -> None:
    documents = [ON] if have is None else [ON, have]
    assert kinds(plan_for(declare(**declared), *documents)) == steps


@pytest.mark.parametrize(
    ("have", "declared", "words"),
    [
        (volume(Options={"a": "1", "password": "hunter2"}), {"options": {"password": "new"}},
         "other options (a, password)"),
        (volume(Labels={"l": "1"}), {"labels": {"l": 2, "m": 3}}, "other labels (l, m)"),
        (volume(driver="local"), {}, "other driver (local, not x:latest)"),
        (volume(driver="local"), {"options": {"a": 1}}, ") and other options (a)"),
    ],
)  # fmt: skip
def test_drift_is_an_error_that_names_what_differs(
    have: dict[str, Any], declared: dict[str, Any], words: str
) -> None:
    made = plan_for(declare(**declared), ON, have)
    text = problem(made)
    assert words in text
    assert "recreate: options-changed would remove it WITH ITS DATA" in text
    assert "hunter2" not in repr(made)
    assert "new" not in text


@pytest.mark.parametrize(
    ("plugins", "documents", "why"),
    [
        ([], [], "is not installed"),
        ([], [OFF], "is disabled"),
        ([{"name": "x", "state": "present"}], [OFF], "is disabled"),
        ([{"name": "x", "state": "disabled"}], [ON], "is declared disabled"),
        ([{"name": "x", "state": "absent"}], [ON], "is declared absent"),
    ],
)
def test_a_driver_that_will_not_be_there(
    plugins: list[dict[str, Any]], documents: list[dict[str, Any]], why: str
) -> None:
    text = problem(plan_for(declare(*plugins), *documents))
    assert text == f'cannot create volume "v": its driver x:latest {why}'


def test_a_volume_cannot_outlive_its_driver() -> None:
    absent = {"name": "x", "state": "absent", "force": True}
    text = problem(plan_for(declare(absent), ON, volume()))
    assert text == 'cannot keep volume "v": its driver x:latest is declared absent'


def test_a_driver_with_a_problem_is_not_reported_twice() -> None:
    made = plan_for(declare({"name": "x", "source": "x:1"}))
    assert [p.resource for p in made.problems] == ["plugin/x:latest"]


def test_nor_by_a_volume_that_has_to_go() -> None:
    broken = {"name": "x", "settings": {"env": {"NOBODY": 1}}}
    made = plan_for(declare(broken, state="absent"), OFF, volume())
    assert [p.resource for p in made.problems] == ["plugin/x:latest"]


def test_the_driver_that_a_volume_comes_from_is_needed_too() -> None:
    other = plugin("y:latest", enabled=False)
    text = problem(
        plan_for(declare(recreate="options-changed"), ON, other, volume(driver="y:latest"))
    )
    assert text.startswith('cannot recreate volume "v": its driver y:latest is ')
    text = problem(plan_for(declare(recreate="options-changed", driver="z"), ON, volume()))
    assert text == 'cannot recreate volume "v": its driver z:latest is not installed'


def test_a_volume_waits_for_its_driver() -> None:
    made = plan_for(declare({"name": "x", "source": "x:1", "grant": "all"}))
    assert kinds(made) == ["plugin-install", "plugin-enable", C]
    assert made.steps[2].depends == (1,)
    assert made.steps[2].driver == "x:latest"


def test_local_and_legacy_drivers_need_no_plugin() -> None:
    assert kinds(plan_for({"volumes": [{"name": "v"}]})) == [C]
    made = plan_for(declare(driver="old"), drivers=("local", "old"))
    assert made.steps[0].driver == "old"
    assert kinds(plan_for(declare(driver="old"), volume(driver="old"), drivers=("old",))) == []


def test_a_volume_of_a_disabled_driver_goes_after_it_was_enabled() -> None:
    made = plan_for(declare({"name": "x"}, state="absent"), OFF, volume())
    assert kinds(made) == ["plugin-enable", R]
    assert made.steps[1].depends == (0,)


def test_a_volume_of_a_disabled_driver_needs_force() -> None:
    assert "its driver x:latest is disabled (force" in problem(
        plan_for(declare(state="absent"), OFF, volume())
    )
    assert kinds(plan_for(declare(state="absent", force=True), OFF, volume())) == [R]
    assert kinds(plan_for(declare({"name": "x"}, state="absent", force=True), OFF, volume())) == [
        R,
        "plugin-enable",
    ]


def test_recreating_shows_a_secret_that_changed() -> None:
    declared = declare(options={"password": "new"}, recreate="options-changed")
    made = plan_for(declared, ON, volume(Options={"password": "old"}))
    assert made.before["volume/v"]["options"] == {"password": "********"}
    assert made.after["volume/v"]["options"] == {"password": "******** (changed)"}


def test_only_what_is_managed_is_shown() -> None:
    made = plan_for(declare(), ON, volume(Options={"a": "1"}, Labels={"l": "1"}))
    assert made.before["volume/v"] == {"state": "present", "driver": "x:latest"}
    made = plan_for(declare(labels={"l": 1}), ON, volume(Labels={"l": "1", "m": "2"}))
    assert made.before["volume/v"]["labels"] == {"l": "1"}
    assert world.kinds(made) == []
