# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from fakes import world
from fakes.world import DIGEST, OTHER_DIGEST, kinds, plan_for, plugin, problem, volume
from plugind.model import desired, observed
from plugind.model.plans import plugins
from plugind.model.privileges import Privilege

P, U, S, E, D, R = (
    "plugin-install", "plugin-upgrade", "plugin-set", "plugin-enable", "plugin-disable",
    "plugin-remove",
)  # fmt: skip
ON, OFF = plugin(enabled=True), plugin(enabled=False)
V1, V2, SET = {"source": "x:1"}, {"source": "x:2"}, {"settings": {"env": {"DEBUG": 1}}}


def declare(**declared: Any) -> dict[str, Any]:
    return {"plugins": [{"name": "x", "grant": world.GRANT, **declared}]}


@pytest.mark.parametrize(
    ("have", "declared", "steps"),
    [
        # not installed
        (None, {"state": "absent"}, []),
        (None, V1, [P, E]),
        (None, {**V1, **SET}, [P, S, E]),
        (None, {**V1, "settings": {"env": {"DEBUG": 0}}}, [P, E]),
        (None, {**V1, **SET, "state": "present"}, [P, S]),
        (None, {**V1, "state": "disabled"}, [P]),
        # installed and enabled
        (ON, {}, []),
        (ON, V1, []),
        (ON, {"state": "present"}, []),
        (ON, {"state": "disabled"}, [D]),
        (ON, {"state": "absent"}, [D, R]),
        (ON, SET, [D, S, E]),
        (ON, {**SET, "state": "present"}, [D, S, E]),
        (ON, {**SET, "state": "disabled"}, [D, S]),
        (ON, V2, [D, U, E]),
        (ON, {**V2, **SET}, [D, U, S, E]),
        (ON, {**V2, "state": "present"}, [D, U, E]),
        (ON, {**V2, "state": "disabled"}, [D, U]),
        # installed and disabled
        (OFF, {}, [E]),
        (OFF, {"state": "present"}, []),
        (OFF, {"state": "disabled"}, []),
        (OFF, {"state": "absent"}, [R]),
        (OFF, SET, [S, E]),
        (OFF, {**SET, "state": "present"}, [S]),
        (OFF, {**V2, "state": "present"}, [U]),
        (OFF, {**V2, **SET}, [U, S, E]),
    ],
)
def test_steps(have: dict[str, Any] | None, declared: dict[str, Any], steps: list[str]) -> None:
    made = plan_for(declare(**declared), *([] if have is None else [have]))
    assert kinds(made) == steps
    assert (made.before == made.after) == (steps == [])


@pytest.mark.parametrize(
    ("have", "declared", "steps"),
    [
        (ON, V2, [U]),
        (ON, SET, [S]),
        (ON, {**V2, **SET}, [U]),
        (ON, {**V2, "state": "present"}, [U]),
        (ON, {**V2, "state": "disabled"}, [D, U]),
        (ON, {**SET, "state": "disabled"}, [D, S]),
        (OFF, V2, [U, E]),
        (OFF, {**V2, **SET}, [U, S, E]),
        (OFF, SET, [S, E]),
    ],
)
def test_steps_of_an_engine_that_upgrades_in_place(
    have: dict[str, Any], declared: dict[str, Any], steps: list[str]
) -> None:
    made = plan_for(declare(**declared), have, in_place=True)
    assert kinds(made) == steps
    for step in made.steps:
        assert step.in_place == (have is ON and D not in steps)
        assert step.describe().endswith(" in place") == step.in_place


def test_one_step_upgrades_and_sets() -> None:
    declared = declare(**V2, settings={"env": {"DEBUG": 1, "PASSWORD": "new"}})
    made = plan_for(declared, plugin(env=("PASSWORD=old",)), in_place=True)
    (step,) = made.steps
    assert step.arguments == ("DEBUG.value=1", "PASSWORD.value=new")
    assert step.describe() == (
        "upgrade plugin x:latest from x:1 to x:2 and set DEBUG, PASSWORD in place"
    )
    assert (step.before["state"], step.after["state"]) == ("enabled", "enabled")
    assert (step.before["source"], step.after["source"]) == ("x:1", "x:2")
    assert step.after["settings"] == {"env": {"DEBUG": "1", "PASSWORD": "******** (changed)"}}
    assert "new" not in repr(made)


def test_what_is_set_in_place_after_an_upgrade_whose_config_is_not_known() -> None:
    offers = {"x:latest": world.offer(known=False)}
    made = plan_for(declare(**V2, **SET), ON, offers=offers, in_place=True)
    assert [(step.kind, step.in_place, step.arguments) for step in made.steps] == [
        (U, True, None), (S, True, None),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [V2, SET, {**V2, **SET}])
def test_what_is_mounted_needs_no_force_in_place(change: dict[str, Any]) -> None:
    busy = {"x:latest": ("volume/v",)}
    assert len(kinds(plan_for(declare(**change), ON, volume(), mounted=busy, in_place=True))) == 1
    disabled = declare(**change, state="disabled")
    text = problem(plan_for(disabled, ON, volume(), mounted=busy, in_place=True))
    assert "in use by volume/v" in text


def test_settings_are_set_after_an_upgrade_whose_config_is_not_known() -> None:
    offers = {"x:latest": world.offer(known=False)}
    declared = declare(**V2, settings={"env": {"DEBUG": 0}})
    made = plan_for(declared, OFF, offers=offers)
    assert kinds(made) == [U, S, E]
    assert made.steps[1].arguments is None
    assert kinds(plan_for(declare(**V2), OFF, offers=offers)) == [U, E]


@pytest.mark.parametrize(
    ("source", "reference", "digest", "current"),
    [
        ("x", "docker.io/library/x:latest", None, True),
        ("x:1", "x:1", DIGEST, True),
        ("x:1", "x:2", None, False),
        ("x:1", "y:1", None, False),
        ("x:1", f"x@{DIGEST}", None, False),
        (f"x@{DIGEST}", "x:1", DIGEST, True),
        (f"x:9@{DIGEST}", "x:1", DIGEST, True),
        (f"x@{DIGEST}", "x:1", OTHER_DIGEST, False),
        (f"x@{DIGEST}", "x:1", None, False),
        (f"x:1@{DIGEST}", f"x@{DIGEST}", None, True),
        (f"x@{DIGEST}", f"x@{OTHER_DIGEST}", None, False),
        (None, "y:2", None, True),
    ],
)
def test_what_is_current(
    source: str | None, reference: str, digest: str | None, current: bool
) -> None:
    document = {"plugins": [{"name": "x"} if source is None else {"name": "x", "source": source}]}
    wanted = desired.parse_declaration(document).plugins[0]
    have_document = plugin(source=reference)
    digests = {have_document["Id"]: digest} if digest else {}
    observation = observed.Observation(plugins=(have_document,), digests=digests)
    have = observed.read(observation).plugins["x:latest"]
    assert plugins.is_current(wanted, have) is current
    assert plugins.needs_offer(wanted, have) is not current


@pytest.mark.parametrize("state", ["enabled", "present", "disabled"])
def test_what_is_not_installed_needs_a_source(state: str) -> None:
    made = plan_for({"plugins": [{"name": "x", "state": state}]})
    assert problem(made) == (
        f'cannot make plugin "x:latest" {state}: '
        "it is not installed, and no source is declared to install it from"
    )


def test_privileges_that_are_not_granted_are_listed() -> None:
    text = problem(plan_for({"plugins": [{"source": "x:1", "name": "x"}]}))
    assert text == (
        'cannot install plugin "x:latest": x:1 asks for privileges that are not granted: '
        "network: [host], mount: [/srv], device: [/dev/fuse], capabilities: [CAP_SYS_ADMIN]"
    )
    some = {**world.GRANT, "capabilities": ["CAP_CHOWN"]}
    text = problem(plan_for(declare(**V2, grant=some), ON))
    assert text.startswith('cannot upgrade plugin "x:latest"')
    assert text.endswith("not granted: capabilities: [CAP_SYS_ADMIN]")


@pytest.mark.parametrize("grant", ["all", {**world.GRANT, "host ipc namespace": True}])
def test_granting_more_is_fine(grant: Any) -> None:
    assert kinds(plan_for(declare(**V1, grant=grant))) == [P, E]


def test_a_registry_that_cannot_be_read_is_a_problem() -> None:
    assert "the registry was not asked" in problem(plan_for(declare(**V1), offers={}))


def test_settings_that_cannot_be_set_are_a_problem_before_anything_is_pulled() -> None:
    bad = {"settings": {"env": {"FIXED": 2}}}
    for have in ([], [ON]):
        text = problem(plan_for(declare(**V1, **bad), *have))
        assert text == 'cannot set plugin "x:latest": "FIXED.value" is not settable'


@pytest.mark.parametrize("declared", [{"state": "disabled"}, {"state": "absent"}, SET, V2])
def test_a_plugin_in_use_needs_force(declared: dict[str, Any]) -> None:
    text = problem(plan_for(declare(**declared), ON, volume("a"), volume("b")))
    assert text.endswith("it is in use by volume/a, volume/b (force: true does it anyway)")
    assert kinds(plan_for(declare(**declared, force=True), ON, volume("a")))


def test_a_plugin_in_use_is_upgraded_in_place() -> None:
    assert kinds(plan_for(declare(**V2), ON, volume(), in_place=True)) == [U]


def test_a_disabled_plugin_in_use_is_not_removed_either() -> None:
    assert "in use by volume/v" in problem(plan_for(declare(state="absent"), OFF, volume()))


def test_volumes_that_go_do_not_hold_their_plugin() -> None:
    declared = declare(state="absent") | {"volumes": [{"name": "v", "state": "absent"}]}
    made = plan_for(declared, ON, volume())
    assert kinds(made) == ["volume-remove", D, R]
    assert made.steps[1].depends == (0,)
    assert made.steps[2].depends == (0, 1)


def test_a_disable_for_a_moment_says_so() -> None:
    made = plan_for(declare(**V2, **SET), ON)
    assert made.steps[0].describe() == (
        "disable plugin x:latest, so that it can be upgraded and its settings can be changed"
    )
    assert made.steps[0].temporary
    assert not plan_for(declare(state="disabled", **SET), ON).steps[0].temporary


def test_states() -> None:
    made = plan_for(
        declare(**V2, settings={"env": {"PASSWORD": "new"}}), plugin(env=("PASSWORD=old",))
    )
    before, after = made.before["plugin/x:latest"], made.after["plugin/x:latest"]
    assert (before["state"], after["state"]) == ("enabled", "enabled")
    assert (before["source"], after["source"]) == ("x:1", "x:2")
    assert before["privileges"] == {
        "capabilities": ["CAP_SYS_ADMIN"], "device": ["/dev/fuse"], "mount": ["/srv"],
        "network": ["host"],
    }  # fmt: skip
    assert before["settings"] == {"env": {"PASSWORD": "********"}}
    assert after["settings"] == {"env": {"PASSWORD": "******** (changed)"}}
    assert "new" not in repr(made)


def test_more_privileges_than_are_granted_are_warned_about() -> None:
    grant = {"network": "host", "mount": "/srv", "device": "/dev/fuse"}
    made = plan_for(declare(grant=grant), ON)
    (warning,) = made.warnings
    assert warning == (
        "plugin/x:latest was installed with privileges that are not granted: "
        "capabilities: [CAP_SYS_ADMIN]"
    )
    assert plan_for({"plugins": [{"name": "x"}]}, ON).warnings == ()
    assert plan_for(declare(), ON).warnings == ()
    # Where a mount is, is a setting, and granted with it.
    grant = {"network": "host", "device": "/dev/fuse", "capabilities": "CAP_SYS_ADMIN"}
    made = plan_for(declare(grant=grant, settings={"mounts": {"data": "/srv"}}), ON)
    assert (kinds(made), made.warnings) == ([], ())


def test_the_offer_is_what_is_accepted() -> None:
    step = plan_for(declare(**V1)).steps[0]
    assert step.offer is not None
    assert (
        Privilege(name="network", value=("host",), description="permissions to access a network")
        in step.offer.privileges
    )


@pytest.mark.parametrize("change", [SET, V2])
def test_a_short_stop_needs_force_only_for_mounted_volumes(change: dict[str, Any]) -> None:
    declared = declare(**change)
    assert D in kinds(plan_for(declared, ON, volume(), mounted={}))
    busy = {"x:latest": ("volume/v",)}
    assert "in use by volume/v" in problem(plan_for(declared, ON, volume(), mounted=busy))
    assert D in kinds(plan_for(declare(**change, force=True), ON, volume(), mounted=busy))
    removal = declare(state="absent")
    assert "in use by volume/v" in problem(plan_for(removal, ON, volume(), mounted={}))
