# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The whole planner: its order, what it asks for, and that carrying a plan out leaves nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import world
from fakes.target import FakeTarget, Remote
from fakes.world import kinds, plan_for, plugin, volume
from plugind import carry
from plugind.model import desired, observed, steps
from plugind.model.plans import plan

VERSIONS = {
    "docker.io/library/x:1": Remote(world.CONFIG),
    "docker.io/library/x:2": Remote(
        {**world.CONFIG, "Env": [{"Name": "DEBUG", "Value": "5", "Settable": ["value"]}]}
    ),
    "docker.io/library/y:1": Remote({**world.CONFIG, "Network": {"Type": ""}}),
}


def test_the_order() -> None:
    declared = {
        "plugins": [
            {"name": "late"},
            {"name": "new", "source": "new:1", "grant": "all"},
            {"name": "old", "state": "absent"},
        ],
        "volumes": [
            {"name": "create", "driver": "new"},
            {"name": "old", "state": "absent"},
            {"name": "late", "state": "absent"},
        ],
    }
    made = plan_for(
        declared,
        plugin("old:latest"), plugin("late:latest", enabled=False),
        volume("old", "old:latest"), volume("late", "late:latest"),
        offers={"new:latest": world.offer()},
    )  # fmt: skip
    assert kinds(made)
    assert [(step.resource, step.kind) for step in made.steps] == [
        ("volume/old", "volume-remove"),
        ("plugin/old:latest", "plugin-disable"),
        ("plugin/old:latest", "plugin-remove"),
        ("plugin/late:latest", "plugin-enable"),
        ("plugin/new:latest", "plugin-install"),
        ("plugin/new:latest", "plugin-enable"),
        ("volume/late", "volume-remove"),
        ("volume/create", "volume-create"),
    ]


def test_a_fulfilled_declaration_needs_no_registry() -> None:
    document = {
        "plugins": [{"name": "x", "source": "x:1"}, {"name": "y", "source": "y:1"}],
        "volumes": [{"name": "v", "driver": "x", "options": {}}, {"name": "w", "driver": "x"}],
    }
    wanted = desired.parse_declaration(document)
    world_ = observed.read(
        observed.Observation(plugins=(plugin(),), volumes=(volume("v"), volume("w")))
    )
    needs = plan.needs(wanted, world_)
    assert [p.name for p in needs.offers] == ["y:latest"]
    assert [v.name for v in needs.comparisons] == ["v"]


def test_what_is_required_comes_first_and_goes_last() -> None:
    offers = {f"{name}:latest": world.offer() for name in "abcdef"}
    declared = {
        "plugins": [
            {"name": "a", "source": "x:1", "grant": "all", "state": "present", "requires": ["c"]},
            {"name": "b", "source": "x:1", "grant": "all", "state": "present"},
            {"name": "c", "source": "x:1", "grant": "all", "state": "present"},
            {"name": "d", "state": "absent"},
            {"name": "e", "state": "absent", "requires": ["d", "a"]},
            {"name": "f", "state": "absent"},
        ]
    }
    gone = [plugin(f"{name}:latest", enabled=False) for name in "def"]
    made = plan_for(declared, *gone, offers=offers)
    assert [step.resource for step in made.steps] == [f"plugin/{n}:latest" for n in "edfbca"]
    depends = {step.resource[7]: step.depends for step in made.steps}
    assert (depends["d"], depends["f"], depends["a"], depends["b"]) == ((0,), (), (4,), ())


def test_nothing_is_declared() -> None:
    made = plan_for({}, plugin(), volume())
    assert (made.steps, made.before, made.after) == ((), {}, {})


def plugins(name: str, sources: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "source": st.sampled_from(sources),
            "state": st.sampled_from(["enabled", "present", "disabled", "absent"]),
            "grant": st.just("all"),
            "force": st.booleans(),
        },
        optional={
            "settings": st.fixed_dictionaries(
                {},
                optional={
                    "env": st.fixed_dictionaries({"DEBUG": st.sampled_from([0, 1, "5", True])}),
                    "args": st.sampled_from(["", "--a", ["--b", "c"]]),
                },
            )
        },
    )


def volumes(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "driver": st.sampled_from(["local", "x", "y"]),
            "state": st.sampled_from(["present", "absent"]),
            "recreate": st.sampled_from(["never", "options-changed"]),
            "force": st.booleans(),
        },
        optional={
            "options": st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, "2"])),
            "labels": st.dictionaries(st.sampled_from("lm"), st.sampled_from([1, "2"])),
        },
    )


def connected(document: dict[str, Any], requires: bool, verify: bool) -> dict[str, Any]:
    """Let `x` require `y`, and verify both, as far as that can be declared."""
    x, y = document.get("plugins") or ({}, {})
    if requires and x and (y["state"] != "absent" or x["state"] == "absent"):
        x = {**x, "requires": ["y"]}
    chosen = [
        {**one, "verify": True} if verify and one["state"] in ("enabled", "present") else one
        for one in (x, y)
        if one
    ]
    return {**document, "plugins": chosen}


declarations = st.builds(
    connected,
    st.fixed_dictionaries(
        {},
        optional={
            "plugins": st.tuples(plugins("x", ["x:1", "x:2"]), plugins("y", ["y:1"])).map(list),
            "volumes": st.tuples(volumes("v"), volumes("w")).map(list),
            "prune": st.lists(st.sampled_from(["plugins", "volumes", "mounts"]), unique=True),
        },
    ),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(
    history=st.lists(declarations, min_size=1, max_size=4),
    in_place=st.booleans(),
    knows_config=st.booleans(),
)
def test_what_was_carried_out_needs_nothing_more(
    history: list[dict[str, Any]], in_place: bool, knows_config: bool
) -> None:
    """From any state: the dry run predicts the run, and afterwards there is nothing to do."""
    target = FakeTarget(registry=VERSIONS, in_place=in_place, knows_config=knows_config)

    async def work() -> None:
        for declaration in history:
            wanted = desired.parse_declaration(declaration)
            calls = len(target.names())
            predicted = await carry.apply(wanted, target, dry_run=True)
            assert len(target.names()) == calls, "a dry run changed something"
            result = await carry.apply(wanted, target, dry_run=False)
            assert (predicted.before, predicted.after) == (result.before, result.after)
            assert (predicted.changed, predicted.failed) == (result.changed, result.failed)
            assert [s.description for s in predicted.steps] == [s.description for s in result.steps]
            if result.failed:
                assert len(target.names()) == calls, "an impossible plan was begun"
                continue
            again = await carry.apply(wanted, target, dry_run=False)
            assert (again.changed, again.failed, again.steps) == (False, False, ())
            # What was pruned is not declared, and gone.
            assert again.before == again.after
            assert result.after == dict.fromkeys(result.after, steps.GONE) | again.after

    asyncio.run(work())
