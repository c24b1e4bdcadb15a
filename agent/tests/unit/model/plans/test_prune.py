# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from fakes.world import kinds, plugin, problem, volume
from plugind.model import desired, observed
from plugind.model.plans import plan, prune
from plugind.model.steps import Plan

MOUNT = {
    "Path": "/m", "Volume": "v", "ReadOnly": False, "Propagation": "rprivate", "State": "mounted",
}  # fmt: skip
HOST = (plugin(), volume("v"), volume("other"), volume("container", "local"))


def pruned(document: dict[str, object], *documents: dict[str, object], mounts: object = ()) -> Plan:
    world = observed.read(
        observed.Observation(
            plugins=tuple(d for d in documents if "Id" in d),
            volumes=tuple(d for d in documents if "Id" not in d),
            mounts=mounts,
        )
    )
    return plan.plan(prune.extend(desired.parse_declaration(document), world), world)


def test_without_prune_nothing_is_added() -> None:
    wanted = desired.parse_declaration({"volumes": [{"name": "v"}]})
    assert prune.extend(wanted, observed.read(observed.Observation(plugins=(plugin(),)))) == wanted


def test_what_is_not_declared_is_removed_in_the_order_of_the_plan() -> None:
    made = pruned({"prune": ["mounts", "volumes", "plugins"]}, *HOST, mounts=(MOUNT,))
    assert [(s.resource, s.kind) for s in made.steps] == [
        ("mount//m", "mount-remove"),
        ("volume/other", "volume-remove"),
        ("volume/v", "volume-remove"),
        ("plugin/x:latest", "plugin-disable"),
        ("plugin/x:latest", "plugin-remove"),
    ]
    assert [s.resource for s in made.steps if (s.plugin or s.volume or s.mount).force] == []


def test_what_is_declared_stays() -> None:
    declared = {
        "plugins": [{"name": "x"}],
        "volumes": [{"name": "v", "driver": "x"}],
        "mounts": [{"path": "/m", "volume": "v"}],
        "prune": ["mounts", "volumes", "plugins"],
    }
    made = pruned(declared, *HOST, mounts=(MOUNT,))
    assert [(s.resource, s.kind) for s in made.steps] == [("volume/other", "volume-remove")]


def test_nothing_is_forced() -> None:
    everything = ["mounts", "volumes", "plugins"]
    assert "it is in use by volume/other, volume/v" in problem(
        pruned({"prune": ["plugins"]}, *HOST)
    )
    assert 'cannot remove volume "v": it is mounted at /m' in problem(
        pruned({"prune": ["volumes"]}, plugin(), volume("v"), mounts=(MOUNT,))
    )
    keeps = {"volumes": [{"name": "v", "driver": "x"}], "prune": ["plugins"]}
    assert "it is in use by volume/v" in problem(pruned(keeps, plugin(), volume("v")))
    made = pruned({"prune": everything}, plugin(enabled=False), volume("v"))
    assert [p.resource for p in made.problems] == ["volume/v", "plugin/x:latest"]
    assert "its driver x:latest is disabled" in made.problems[0].message


def test_an_engine_without_mounts_has_none_to_prune() -> None:
    assert kinds(pruned({"prune": ["mounts"]}, *HOST, mounts=None)) == []
