# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from fakes import world
from fakes.target import FakeTarget, Remote
from plugind import carry, errors
from plugind.model import desired
from plugind.model.outcome import Result

NEW = {**world.CONFIG, "Description": "new"}
DECLARATION: dict[str, Any] = {
    "plugins": [
        {
            "name": "x", "source": "x:1", "grant": "all", "timeout": 7,
            "settings": {"env": {"DEBUG": 1, "PASSWORD": "hunter2"}},
        },
    ],
    "volumes": [{"name": "v", "driver": "x"}, {"name": "w"}],
}  # fmt: skip
UPGRADE = {
    "plugins": [{**DECLARATION["plugins"][0], "source": "x:2", "settings": {"env": {"DEBUG": 2}}}]
}


@pytest.fixture
def target() -> FakeTarget:
    registry = {
        "docker.io/library/x:1": Remote(world.CONFIG),
        "docker.io/library/x:2": Remote(NEW),
        "docker.io/library/y:1": Remote(world.CONFIG),
    }
    return FakeTarget(registry=registry)


async def apply(target: FakeTarget, declaration: Any, **more: Any) -> Result:
    wanted = desired.parse_declaration(declaration)
    return await carry.apply(wanted, target, dry_run=False, **more)


def statuses(result: Result) -> list[tuple[str, str]]:
    return [(step.action, step.status) for step in result.steps]


async def test_a_whole_declaration(target: FakeTarget) -> None:
    lines: list[dict[str, Any]] = []
    result = await apply(target, DECLARATION, progress=lines.append)
    assert target.names() == ["install", "set", "enable", "create_volume", "create_volume"]
    assert ("enable", "x:latest", 7.0) in target.calls
    assert lines == [{"status": "Pulling", "id": "x:latest"}]
    assert (result.changed, result.failed, result.msg) == (True, False, "5 steps done")
    assert [p["Name"] for p in result.plugins] == ["x:latest"]
    assert result.plugins[0]["Enabled"] is True
    assert [v["Name"] for v in result.volumes] == ["v", "w"]
    assert result.engine == "fake://engine"


async def test_mounts_are_carried_out_and_what_force_left_is_noted(target: FakeTarget) -> None:
    mount = {"path": "/m", "volume": "w", "allow_nonempty": True}
    made = await apply(target, {"volumes": [{"name": "w"}], "mounts": [mount]})
    assert statuses(made) == [("volume-create", "done"), ("mount-create", "done")]
    assert ("mount", "/m", "w", True) in target.calls
    assert made.to_json()["mounts"] == [target.mounts["/m"]]
    target.left = "but the driver was not asked"
    gone = [{"path": "/m", "state": "absent", "force": True}]
    volumes = [{"name": "w", "state": "absent", "force": True}]
    left = await apply(target, {"volumes": volumes, "mounts": gone})
    assert statuses(left) == [("mount-remove", "done"), ("volume-remove", "done")]
    assert left.warnings == (target.left, target.left)
    assert left.mounts == ()
    assert target.mounts == {}


async def test_one_read_at_the_start_and_one_of_what_changed(target: FakeTarget) -> None:
    await apply(target, DECLARATION)
    reads = [call[0] for call in target.calls if call[0] in ("observe", "offer")]
    assert reads == ["observe", "offer"]
    inspected = [call[1] for call in target.calls if call[0].startswith("inspect")]
    assert inspected == ["x:latest", "v", "w"]
    target.calls.clear()
    result = await apply(target, DECLARATION)
    assert [call[0] for call in target.calls] == ["observe"]
    assert result.plugins[0]["Name"] == "x:latest"


@pytest.mark.parametrize("step", ["set", "enable"])
async def test_a_failed_install_leaves_nothing(target: FakeTarget, step: str) -> None:
    target.fail[step] = errors.PluginFailed("the plugin died", last_lines=("boom",))
    result = await apply(target, DECLARATION)
    assert target.plugins == {}
    assert target.names()[-2:] == ["remove", "create_volume"]
    assert result.failed
    assert "the plugin died" in result.msg
    assert "boom" in result.msg
    assert result.after["plugin/x:latest"] == {"state": "absent"}
    undone = next(s for s in result.steps if s.action == "plugin-remove")
    assert undone.status == "done"
    assert "undoes, because this failed" in undone.reason
    # what depends on it is skipped, what does not is done, and only that is a change
    by_resource = {s.resource: s.status for s in result.steps if s.action == "volume-create"}
    assert by_resource == {"volume/v": "skipped", "volume/w": "done"}
    assert result.changed
    alone = await apply_failing(target, step, {"plugins": DECLARATION["plugins"]})
    assert not alone.changed


async def apply_failing(target: FakeTarget, step: str, declaration: Any) -> Result:
    target.fail[step] = errors.System("no")
    return await apply(target, declaration)


async def test_a_rollback_that_fails_is_reported_beside_the_cause(target: FakeTarget) -> None:
    target.fail["remove"] = errors.Conflict("plugin x:latest is in use")
    result = await apply_failing(target, "enable", {"plugins": DECLARATION["plugins"]})
    assert statuses(result)[-2:] == [("plugin-enable", "failed"), ("plugin-remove", "failed")]
    assert result.after["plugin/x:latest"]["state"] == "disabled"
    assert result.changed
    assert "is in use" in result.msg


@pytest.mark.parametrize("step", ["upgrade", "set"])
async def test_a_plugin_stopped_for_a_moment_runs_again(target: FakeTarget, step: str) -> None:
    await apply(target, {"plugins": DECLARATION["plugins"]})
    result = await apply_failing(target, step, UPGRADE)
    assert target.plugins["x:latest"].enabled
    assert ("plugin-enable", "done") in statuses(result)
    assert statuses(result)[-1] == ("plugin-enable", "skipped")
    state = result.after["plugin/x:latest"]
    assert state["source"] == ("x:1" if step == "upgrade" else "x:2")
    assert f"plugin x:latest is now enabled, at {state['source']}" in result.msg
    assert result.changed == (step == "set")


async def test_an_enabled_plugin_is_upgraded_and_set_by_one_call(target: FakeTarget) -> None:
    target.in_place = True
    await apply(target, {"plugins": DECLARATION["plugins"]})
    target.calls.clear()
    result = await apply(target, UPGRADE)
    (call,) = [call for call in target.calls if call[0] in target.names()]
    ref = "docker.io/library/x:2"
    assert call == ("upgrade_in_place", "x:latest", ref, ("DEBUG.value=2",), 7.0)
    assert statuses(result) == [("plugin-upgrade", "done")]
    assert not (await apply(target, UPGRADE)).changed
    target.calls.clear()
    again = {"plugins": [{**UPGRADE["plugins"][0], "settings": {"env": {"DEBUG": 3}}}]}
    await apply(target, again)
    assert ("set_in_place", "x:latest", ("DEBUG.value=3",), 7.0) in target.calls


@pytest.mark.parametrize("call", ["upgrade_in_place", "set_in_place"])
async def test_what_fails_in_place_is_as_it_was(target: FakeTarget, call: str) -> None:
    target.in_place = True
    await apply(target, {"plugins": DECLARATION["plugins"]})
    plugins = UPGRADE["plugins"]
    if call == "set_in_place":
        plugins = [{**plugins[0], "source": "x:1"}]
    target.calls.clear()
    result = await apply_failing(target, call, {"plugins": plugins})
    assert target.names() == [call]
    assert (result.failed, result.changed) == (True, False)
    assert result.after == result.before
    noted = "plugin x:latest is now enabled, at x:1" in result.msg
    assert noted == (call == "upgrade_in_place")


async def test_an_upgrade_that_does_not_start_is_reported_as_it_is(target: FakeTarget) -> None:
    await apply(target, {"plugins": DECLARATION["plugins"]})
    result = await apply_failing(target, "enable", UPGRADE)
    assert "plugin x:latest is now disabled, at x:2" in result.msg
    assert result.after["plugin/x:latest"]["state"] == "disabled"


async def test_an_unexpected_error_is_one_steps_failure(target: FakeTarget) -> None:
    target.fail["create_volume"] = ValueError("oops")
    result = await apply(target, DECLARATION)
    assert "ValueError: oops" in result.msg
    assert statuses(result)[-2:] == [("volume-create", "failed"), ("volume-create", "done")]


async def test_settings_of_an_unknown_config_are_checked_after_the_pull(target: FakeTarget) -> None:
    target.knows_config = False
    declared = {**DECLARATION["plugins"][0], "settings": {"env": {"NONE": 1}}}
    result = await apply(target, {"plugins": [declared]})
    assert 'setting "NONE' in result.msg
    assert target.plugins == {}
    equal = {**declared, "settings": {"env": {"DEBUG": 0}}}
    await apply(target, {"plugins": [equal]})
    assert "set" not in target.names()


async def test_a_registry_error_fails_the_dry_run_too(target: FakeTarget) -> None:
    document = {"plugins": [{"source": "gone:1"}, DECLARATION["plugins"][0]]}
    wanted = desired.parse_declaration(document)
    result = await carry.apply(wanted, target, dry_run=True)
    assert result.failed
    assert "cannot resolve docker.io/library/gone:1: not found" in result.msg
    assert target.names() == []


async def test_what_cannot_be_read_back_is_a_warning(target: FakeTarget) -> None:
    target.fail["inspect_plugin"] = errors.Unavailable("gone")
    result = await apply(target, {"plugins": DECLARATION["plugins"]})
    assert result.warnings == ("cannot read plugin/x:latest back: gone",)


async def test_query(target: FakeTarget) -> None:
    await apply(target, DECLARATION)
    everything = await carry.query(target, {"plugins": None, "volumes": None})
    assert [p["Name"] for p in everything["plugins"]] == ["x:latest"]
    assert [v["Name"] for v in everything["volumes"]] == ["v", "w"]
    assert everything["info"]["Name"] == "fake"
    assert "hunter2" not in str(everything)
    some = await carry.query(target, {"plugins": ["x", "none"], "volumes": []})
    assert [p["Name"] for p in some["plugins"]] == ["x:latest"]
    assert (some["volumes"], some["mounts"]) == ([], [])


async def test_a_query_shows_the_mounts_of_its_volumes(target: FakeTarget) -> None:
    await apply(target, DECLARATION)
    for volume in ("v", "w"):
        target.mounts[f"/srv/{volume}"] = {"Path": f"/srv/{volume}", "Volume": volume}
    shown = await carry.query(target, {"plugins": [], "volumes": ["v"]})
    assert shown["mounts"] == [{"Path": "/srv/v", "Volume": "v"}]


@pytest.mark.parametrize("document", [{"plugin": []}, {"plugins": "x"}, {"volumes": [1]}])
async def test_a_query_that_cannot_be_meant(target: FakeTarget, document: Any) -> None:
    with pytest.raises(errors.InvalidParameter, match="invalid query"):
        await carry.query(target, document)


async def test_nothing_secret_is_in_a_result(target: FakeTarget) -> None:
    declaration = {
        "plugins": [
            {
                **DECLARATION["plugins"][0],
                "settings": {"env": {"DEBUG": "named-1", "PASSWORD": "hunter2"}},
                "secret_settings": ["DEBUG"],
            }
        ],
        "volumes": [
            {
                "name": "v",
                "driver": "x",
                "options": {"token": "hunter3", "sesame": "named-2"},
                "secret_options": ["sesame"],
            }
        ],
    }
    secrets = ("named-1", "hunter2", "hunter3", "named-2")
    target.fail["create_volume"] = errors.System("said: hunter2 named-1 hunter3 named-2")
    failed = await apply(target, declaration)
    assert failed.msg.endswith("said: ******** ******** ******** ********")
    done = await apply(target, declaration)
    assert target.volumes["v"]["Options"] == {"token": "hunter3", "sesame": "named-2"}
    assert "PASSWORD=hunter2" in target.plugins["x:latest"].settings.env
    assert done.secrets == {
        "plugin/x:latest": ("DEBUG", "PASSWORD"),
        "volume/v": ("sesame", "token"),
    }
    again = await apply(target, declaration)
    assert not again.changed
    queried = await carry.query(target, {"plugins": None, "volumes": None})
    for shown in (failed.to_json(), done.to_json(), again.to_json()):
        assert [secret for secret in secrets if secret in str(shown)] == []
    # What only the declaration named is not known to a query of an engine that keeps no names.
    assert [s for s in secrets if s in str(queried)] == ["named-1", "named-2"]
