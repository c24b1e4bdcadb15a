# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The way back: what it declares, and that it leads to what was, whatever a run has done by then."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import world
from fakes.target import FakeTarget, Remote
from fakes.undo_log import FakeUndoLog
from fakes.world import DIGEST, plugin, volume
from plugind import carry, errors
from plugind.model import desired, observed, undo
from plugind.model.desired import Desired
from plugind.model.observed import Observed
from plugind.model.plans import plan
from plugind.model.steps import Plan

MOUNT = {
    "Path": "/m", "Volume": "v", "ReadOnly": True, "Propagation": "rslave", "State": "mounted",
}  # fmt: skip
RUN = {
    "plugins": [
        {
            "name": "x", "source": "x:2", "grant": "all", "timeout": 7, "requires": ["y", "z"],
            "credentials": {"username": "me", "password": "hunter2"},
            "settings": {"env": {"PASSWORD": "hunter3"}}, "secret_settings": ["DEBUG"],
        },
        {"name": "y", "source": "y:1", "grant": "all", "requires": ["z"]},
        {"name": "z", "source": "z:1", "grant": "all", "credentials": {"username": "me"}},
        {"name": "same"},
    ],
    "volumes": [
        {"name": "new", "driver": "y"},
        {"name": "v", "driver": "x", "recreate": "always"},
        {"name": "old", "state": "absent"},
    ],
    "mounts": [{"path": "/m", "volume": "new"}, {"path": "/n", "volume": "new"}],
}  # fmt: skip


def read(*documents: dict[str, Any], **more: Any) -> Observed:
    seen = observed.read(
        observed.Observation(
            plugins=tuple(d for d in documents if "Id" in d),
            volumes=tuple(d for d in documents if "Id" not in d),
            **more,
        )
    )
    offers = {f"{name}:latest": world.offer() for name in ("x", "y", "z")}
    return Observed(
        plugins=seen.plugins, volumes=seen.volumes, mounts=seen.mounts, offers=offers, in_place=True
    )


def planned() -> tuple[Plan, Observed]:
    x = plugin(env=("DEBUG=5",))
    seen = read(
        x, plugin("z:latest", source="r.example/z:0", enabled=False), plugin("same:latest"),
        volume("v"), volume("old"), mounts=({**MOUNT},), digests={x["Id"]: DIGEST},
    )  # fmt: skip
    made = plan.plan(desired.parse_declaration(RUN), seen)
    assert made.problems == ()
    return made, seen


def way_back() -> Desired:
    return undo.undo(*planned())


def test_what_was_of_everything_that_the_plan_changes() -> None:
    back = way_back()
    assert [(p.name, p.state) for p in back.plugins] == [
        ("z:latest", "disabled"), ("y:latest", "absent"), ("x:latest", "enabled"),
    ]  # fmt: skip
    z, y, x = back.plugins
    assert str(x.source) == f"docker.io/library/x:1@{DIGEST}"
    assert str(z.source) == "r.example/z:0"
    assert (x.grant, x.timeout, x.force, y.force) == (None, 7, True, True)
    # DEBUG was set, PASSWORD had no value, FIXED cannot be set.
    assert x.settings.env == {"DEBUG": "5", "PASSWORD": "", "linode.token": ""}
    assert (x.settings.args, x.settings.mounts) == (("--a",), {"data": "/srv"})
    assert x.settings.devices == {"dev": "/dev/fuse"}
    assert x.secret_settings == {"DEBUG"}
    # What goes cannot be required by what stays.
    assert (x.requires, y.requires, z.requires) == (("z:latest",), ("z:latest",), ())
    assert [(v.name, v.state, v.force) for v in back.volumes] == [("new", "absent", True)]
    m, n = back.mounts
    assert (m.mount.volume, m.mount.read_only, m.mount.propagation) == ("v", True, "rslave")
    assert (m.state, m.allow_nonempty, n.state) == ("mounted", True, "absent")


def test_credentials_stay_in_memory_and_with_their_registry() -> None:
    back = way_back()
    z, _, x = back.plugins
    assert x.credentials is not None
    assert z.credentials is None
    assert "hunter" not in json.dumps(undo.to_document(back))


def test_a_way_back_can_be_kept() -> None:
    back = way_back()
    document = json.loads(json.dumps(undo.to_document(back)))
    assert desired.parse_declaration(document) == without_credentials(back)


def without_credentials(back: Desired) -> Desired:
    from dataclasses import replace

    return replace(back, plugins=tuple(replace(p, credentials=None) for p in back.plugins))


def test_a_verification_is_nothing_to_undo() -> None:
    document = {"plugins": [{"name": "x", "verify": {"when": "always"}}]}
    seen = read(plugin())
    assert undo.undo(plan.plan(desired.parse_declaration(document), seen), seen) == Desired()


def test_an_unreadable_reference_is_left_alone() -> None:
    document = {"plugins": [{"name": "x", "state": "disabled"}]}
    seen = read(plugin(source="not a reference"))
    back = undo.undo(plan.plan(desired.parse_declaration(document), seen), seen)
    assert back.plugins[0].source is None
    assert desired.parse_declaration(undo.to_document(back)) == back


def test_what_cannot_be_declared_is_left_out() -> None:
    odd = plugin(env=("DEBUG=********",))
    mount = {**world.CONFIG["Mounts"][0], "Name": "a=b"}
    odd["Config"] = {**odd["Config"], "Mounts": [mount]}
    odd["Settings"] = {**odd["Settings"], "Args": ["--key=********"]}
    document = {"plugins": [{"name": "x", "state": "disabled"}]}
    seen = read(odd)
    back = undo.undo(plan.plan(desired.parse_declaration(document), seen), seen)
    settings_ = back.plugins[0].settings
    assert (settings_.env, settings_.args, settings_.mounts) == ({"linode.token": ""}, None, {})
    assert desired.parse_declaration(undo.to_document(back)) == back


def test_a_variable_without_a_value_is_not_emptied() -> None:
    back = way_back()
    was = undo.settle(back, read(plugin(env=("DEBUG=5",)))).plugins[2]
    assert was.settings.env == {"DEBUG": "5", "linode.token": ""}
    has = undo.settle(back, read(plugin(env=("PASSWORD=1",)))).plugins[2]
    assert has.settings.env == {"DEBUG": "5", "PASSWORD": "", "linode.token": ""}


def test_later_nothing_in_use_is_taken_away() -> None:
    back = way_back()
    z, y, x = undo.gently(back, read(plugin("z:latest"), volume("v", "z:latest"))).plugins
    assert (z.force, y.force, x.force) == (False, False, True)
    unused = observed.read(
        observed.Observation(
            plugins=(plugin("z:latest"),), volumes=(volume("v", "z:latest"),), mounted={}
        )
    )
    gentle = undo.gently(back, unused)
    assert gentle.plugins[0].force
    assert [entry.force for entry in (*gentle.volumes, *gentle.mounts)] == [False] * 3


def test_what_is_impossible_does_not_stop_the_rest() -> None:
    seen = observed.read(
        observed.Observation(plugins=(plugin(source="x:2"), plugin("y:latest")), mounts=())
    )
    made, problems = undo.possible(way_back(), seen)
    assert [p.resource for p in problems] == ["plugin/z:latest", "plugin/x:latest", "mount//m"]
    assert [step.kind for step in made.steps] == ["plugin-disable", "plugin-remove"]


def test_a_way_back_that_keeps_volumes_says_which() -> None:
    seen = read(volume("new", "y:latest"))
    back, kept = undo.without_volumes(way_back(), seen)
    assert (back.volumes, kept) == ((), ("new",))
    assert back.plugins == way_back().plugins
    assert undo.without_volumes(way_back(), read())[1] == ()


def test_what_is_lost() -> None:
    made, _ = planned()
    assert undo.lost(made.steps) == (
        "volume old was removed with its data, which cannot be undone",
        "volume v was removed with its data, which cannot be undone",
    )


# --------------------------------------------------------------------------------- there and back

REGISTRY = {
    "docker.io/library/x:1": Remote(world.CONFIG),
    "docker.io/library/x:2": Remote(
        {**world.CONFIG, "Env": [{"Name": "DEBUG", "Value": "5", "Settable": ["value"]}]}
    ),
    "docker.io/library/y:1": Remote({**world.CONFIG, "Network": {"Type": ""}}),
}
ENV = st.fixed_dictionaries(
    {}, optional={"DEBUG": st.sampled_from([0, 1, "5"]), "PASSWORD": st.sampled_from(["", "p"])}
)


def plugins(name: str, sources: list[str], more: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "source": st.sampled_from(sources),
            "grant": st.just("all"),
            "state": st.sampled_from(["enabled", "present", "disabled"]),
            "force": st.just(True),
            **{key: st.just(value) for key, value in more.items()},
        },
        optional={
            "settings": st.fixed_dictionaries(
                {},
                optional={
                    "args": st.sampled_from(["", "--b c"]),
                    "mounts": st.sampled_from([{"data": "/a"}, {"data": "/b"}]),
                    "devices": st.sampled_from([{"dev": "/dev/a"}]),
                },
            )
        },
    )


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {
        "plugins": [
            draw(plugins("x", ["x:1", "x:2"], {"requires": ["y"]})),
            draw(plugins("y", ["y:1"], {})),
        ],
        "rollback": True,
    }
    if draw(st.booleans()):
        env = draw(ENV)
        if document["plugins"][0]["source"] == "x:2":
            env.pop("PASSWORD", None)
        document["plugins"][0].setdefault("settings", {})["env"] = env
    if draw(st.booleans()):
        document["volumes"] = [
            {"name": name, "driver": driver}
            for name, driver in draw(
                st.dictionaries(st.sampled_from("vw"), st.sampled_from("xy"))
            ).items()
        ]
        names = [declared["name"] for declared in document["volumes"]]
        if names:
            document["mounts"] = [
                {"path": f"/{path}", "volume": draw(st.sampled_from(names))}
                for path in draw(st.lists(st.sampled_from("mn"), unique=True))
            ]
    return document


def snapshot(target: FakeTarget) -> dict[str, Any]:
    """Return what can be seen of an engine; an empty variable is as good as none."""

    def shown(one: Any) -> dict[str, Any]:
        kept = one.to_record()
        kept["settings"]["env"] = sorted(e for e in kept["settings"]["env"] if not e.endswith("="))
        return {key: value for key, value in kept.items() if key != "id"}

    return copy.deepcopy(
        {
            "plugins": {name: shown(one) for name, one in target.plugins.items()},
            "volumes": target.volumes,
            "mounts": target.mounts,
        }
    )


@settings(max_examples=300, deadline=None)
@given(
    history=st.lists(declarations(), max_size=2),
    last=declarations(),
    in_place=st.booleans(),
    knows_config=st.booleans(),
    failing=st.integers(min_value=1, max_value=9),
    ends=st.sampled_from(["fails", "is killed", "is rolled back by hand"]),
)
def test_there_and_back(
    history: list[dict[str, Any]],
    last: dict[str, Any],
    in_place: bool,
    knows_config: bool,
    failing: int,
    ends: str,
) -> None:
    """Whatever a run has done, its way back leads to what was: at once, after a kill, or later."""
    target = FakeTarget(
        registry=dict(REGISTRY), in_place=in_place, knows_config=knows_config, mounted={}
    )
    log = FakeUndoLog()

    async def work() -> None:
        for document in history:
            await carry.apply(desired.parse_declaration(document), target, dry_run=False)
        if knows_config:
            target.registry.pop("docker.io/library/x:1")  # a way back needs no registry
        before = snapshot(target)
        wanted = desired.parse_declaration(last)
        begun = len(target.names())
        kill = asyncio.CancelledError()
        failure = errors.System("no") if ends == "fails" else kill
        if ends != "is rolled back by hand":
            target.fail_at[begun + failing] = failure
        try:
            result = await carry.apply(wanted, target, dry_run=False, undo_log=log)
        except asyncio.CancelledError:
            record = log.record
            assert record is not None
            undone = await carry.resume(record, target, undo_log=log)
            assert undone is not None
            assert not undone.failed, undone.msg
            require_back(target, log, before)
            return
        target.fail_at.clear()
        if log.record is not None:
            assert not result.failed
            assert result.undo == log.record["id"]
            back = await carry.roll_back(
                log.record, target, undo_log=log, dry_run=False, remove_volumes=True
            )
            assert not back.failed, back.msg
            assert back.rolled_back == back.changed
        elif result.failed:
            assert result.undo is None
        require_back(target, log, before)

    asyncio.run(work())


def require_back(target: FakeTarget, log: FakeUndoLog, before: dict[str, Any]) -> None:
    for kind, found in snapshot(target).items():
        assert found == before[kind]
    assert log.record is None
