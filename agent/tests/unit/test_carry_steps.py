# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Verifications: how long they are tried, what they mark; and what a required plugin holds up."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import world
from fakes.target import FakeTarget, Remote
from plugind import carry, errors
from plugind.model import desired
from plugind.model.outcome import Result

X = {"name": "x", "source": "x:1", "grant": "all", "verify": True}
Y = {"name": "y", "source": "y:1", "grant": "all"}
VERIFIED = {"plugins": [X], "rollback": False}


class TickingClock:
    """Time that passes while somebody sleeps, and only then; `after` says what happens then."""

    def __init__(self, **after: Any) -> None:
        self.slept: list[float] = []
        self.after = after

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        if len(self.slept) == self.after.get("sleeps"):
            self.after["then"]()


@pytest.fixture
def target() -> FakeTarget:
    names = ("x:1", "x:2", "y:1")
    registry = {
        f"docker.io/library/{name}": Remote({**world.CONFIG, "Description": name}) for name in names
    }
    return FakeTarget(registry=registry, in_place=True)


async def apply(target: FakeTarget, declaration: Any, clock: Any = None, **more: Any) -> Result:
    wanted = desired.parse_declaration(declaration)
    return await carry.apply(wanted, target, dry_run=False, clock=clock or TickingClock(), **more)


def statuses(result: Result) -> list[tuple[str, str]]:
    return [(step.action, step.status) for step in result.steps]


def marks(target: FakeTarget) -> list[Any]:
    return [
        call for call in target.calls if call[0] in ("set_unverified", "probe", "upgrade_in_place")
    ]


async def test_a_verification_is_tried_until_it_passes(target: FakeTarget) -> None:
    target.broken["x:latest"] = errors.Unavailable("not yet")
    clock = TickingClock(sleeps=7, then=target.broken.clear)
    result = await apply(target, VERIFIED, clock)
    assert clock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert statuses(result)[-1] == ("plugin-verify", "done")
    assert (result.failed, result.msg) == (False, "2 steps done, 1 verification passed")
    assert target.unverified == set()


async def test_the_last_error_is_the_reason_when_the_time_is_over(target: FakeTarget) -> None:
    target.broken["x:latest"] = errors.Unavailable("nobody listens")
    clock = TickingClock()
    declared = {"plugins": [{**X, "verify": {"timeout": 1}}], "rollback": False}
    result = await apply(target, declared, clock)
    assert clock.slept == [0.1, 0.2, 0.4, 0.3]
    assert result.msg == "cannot verify plugin x:latest: nobody listens"
    assert statuses(result)[-1] == ("plugin-verify", "failed")
    # It stays, is marked, and is verified again although nothing else is to be done.
    assert (result.changed, target.plugins["x:latest"].enabled) == (True, True)
    assert result.plugins[0]["Unverified"] is True
    again = await apply(target, declared)
    assert statuses(again) == [("plugin-verify", "failed")]
    assert (again.changed, again.failed) == (False, True)
    target.broken.clear()
    passed = await apply(target, declared)
    assert (passed.changed, passed.msg) == (False, "nothing to do, 1 verification passed")
    assert (await apply(target, declared)).msg == "nothing to do"


@pytest.mark.parametrize("error", [errors.Unsupported("not here"), ValueError("oops")])
async def test_what_no_time_mends_is_not_tried_again(target: FakeTarget, error: Exception) -> None:
    target.broken["x:latest"] = error
    clock = TickingClock()
    result = await apply(target, VERIFIED, clock)
    assert clock.slept == []
    assert str(error) in result.msg


async def test_a_gate_looks_and_writes_nothing(target: FakeTarget) -> None:
    declared = {"plugins": [{**X, "verify": {"when": "always"}}]}
    await apply(target, declared)
    target.calls.clear()
    planned = await carry.apply(desired.parse_declaration(declared), target, dry_run=True)
    assert statuses(planned) == [("plugin-verify", "planned")]
    assert (planned.changed, planned.msg) == (False, "nothing to do, 1 verification to do")
    result = await apply(target, declared)
    assert (result.changed, result.failed, result.undo) == (False, False, None)
    assert marks(target) == [("probe", "x:latest")]
    assert target.names() == []


async def test_a_plugin_is_marked_before_it_is_changed(target: FakeTarget) -> None:
    await apply(target, VERIFIED)
    assert marks(target) == [
        ("set_unverified", "x:latest", True),
        ("probe", "x:latest"),
        ("set_unverified", "x:latest", False),
    ]
    installs = [
        call[0] for call in target.calls if call[0] in ("install", "set_unverified", "enable")
    ]
    assert installs[:3] == ["install", "set_unverified", "enable"]
    target.calls.clear()
    await apply(target, {**VERIFIED, "plugins": [{**X, "source": "x:2"}]})
    assert [call[0] for call in marks(target)] == [
        "set_unverified", "upgrade_in_place", "probe", "set_unverified",
    ]  # fmt: skip


async def test_a_plugin_is_marked_before_what_it_requires_is_changed(target: FakeTarget) -> None:
    both = {
        "plugins": [{**X, "source": "y:1", "name": "y", "requires": ["x"]}, {**X, "verify": False}]
    }
    await apply(target, both)
    target.calls.clear()
    both["plugins"][1] = {**X, "source": "x:2", "verify": False}
    await apply(target, both)
    assert [call[:2] for call in marks(target)] == [
        ("set_unverified", "y:latest"),
        ("upgrade_in_place", "x:latest"),
        ("probe", "y:latest"),
        ("set_unverified", "y:latest"),
    ]


async def test_a_mark_that_cannot_be_written_fails_the_step(target: FakeTarget) -> None:
    await apply(target, VERIFIED)
    target.calls.clear()
    target.fail["set_unverified"] = errors.System("no space left")
    result = await apply(target, {**VERIFIED, "plugins": [{**X, "source": "x:2"}]})
    assert target.names() == []
    assert "no space left" in result.msg
    assert not result.changed


async def test_a_plugin_that_was_not_enabled_is_not_verified(target: FakeTarget) -> None:
    target.fail["enable"] = errors.PluginFailed("it died")
    result = await apply(target, VERIFIED)
    assert statuses(result) == [
        ("plugin-install", "done"), ("plugin-enable", "failed"), ("plugin-remove", "done"),
        ("plugin-verify", "skipped"),
    ]  # fmt: skip
    assert (result.changed, target.plugins) == (False, {})


async def test_removals_do_not_follow_a_failed_verification(target: FakeTarget) -> None:
    await apply(target, {"plugins": [Y], "volumes": [{"name": "v", "driver": "y"}]})
    target.broken["x:latest"] = errors.Unavailable("no")
    pruned = {**VERIFIED, "prune": ["plugins", "volumes"]}
    result = await apply(target, pruned)
    assert statuses(result)[2:] == [
        ("plugin-verify", "failed"), ("volume-remove", "skipped"), ("plugin-disable", "skipped"),
        ("plugin-remove", "skipped"),
    ]  # fmt: skip
    assert set(target.volumes) == {"v"}
    target.broken.clear()
    done = await apply(target, pruned)
    assert (set(target.plugins), target.volumes) == ({"x:latest"}, {})
    assert [p["Name"] for p in done.plugins] == ["x:latest"]


async def test_what_requires_a_failed_plugin_is_left_alone(target: FakeTarget) -> None:
    plugins = [{**X, "verify": False, "requires": ["y"]}, Y, {**Y, "name": "z"}]
    target.fail_at[1] = errors.System("no")
    result = await apply(target, {"plugins": plugins})
    by_plugin = {step.resource: step.status for step in result.steps}
    assert by_plugin == {
        "plugin/y:latest": "skipped", "plugin/x:latest": "skipped", "plugin/z:latest": "done",
    }  # fmt: skip
    skipped = next(step for step in result.steps if step.resource == "plugin/x:latest")
    assert skipped.reason == "needs what failed: install plugin y:latest from y:1"


async def test_nothing_secret_of_a_probe_volume_is_in_a_result(target: FakeTarget) -> None:
    options = {"password": "hunter2", "o": "addr=h,secret=hunter3"}
    target.broken["x:latest"] = errors.System("mount: hunter2 is not hunter3")
    declared = {"plugins": [{**X, "verify": {"volume": {"options": options}}}]}
    for rollback in (False, True):
        result = await apply(target, {**declared, "rollback": rollback})
        assert "cannot verify plugin x:latest: mount: ******** is not ********" in result.msg
        assert "hunter" not in str(result.to_json())
        assert result.secrets == {"plugin/x:latest": ("o", "password")}
