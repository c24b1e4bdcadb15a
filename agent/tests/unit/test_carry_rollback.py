# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Runs with a way back: undone at once, after a kill, or because an operator asks for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes import world
from fakes.target import FakeTarget, Remote
from fakes.undo_log import FakeUndoLog
from plugind import carry, errors
from plugind.model import desired
from plugind.model.outcome import Result

X = {"name": "x", "source": "x:2", "grant": "all", "settings": {"env": {"DEBUG": 2}}}
Y = {"name": "y", "source": "y:1", "grant": "all"}
BEFORE = {
    "plugins": [{**X, "source": "x:1", "settings": {"env": {"DEBUG": 1}}}],
    "volumes": [{"name": "v", "driver": "x"}],
    "mounts": [{"path": "/m", "volume": "v"}],
}
RUN = {
    "plugins": [{**X, "force": True, "verify": {"timeout": 0.001}}, {**Y, "verify": {"timeout": 0.001}}],
    "volumes": [{"name": "new", "driver": "y"}],
    "mounts": [{"path": "/m", "volume": "new"}, {"path": "/n", "volume": "v"}],
}  # fmt: skip
#: How many calls RUN takes: on an engine that changes things in place, and on one that does not.
CALLS = {True: 7, False: 10}


@pytest.fixture(params=[True, False], ids=["in place", "as on a Docker Engine"])
async def target(request: pytest.FixtureRequest) -> FakeTarget:
    registry = {
        f"docker.io/library/{name}": Remote({**world.CONFIG, "Description": name})
        for name in ("x:1", "x:2", "y:1")
    }
    target = FakeTarget(registry=registry, in_place=request.param, knows_config=request.param)
    await apply(target, BEFORE)
    target.calls.clear()
    return target


@pytest.fixture
def log() -> FakeUndoLog:
    return FakeUndoLog()


async def apply(
    target: FakeTarget, declaration: Any, log: FakeUndoLog | None = None, **more: Any
) -> Result:
    wanted = desired.parse_declaration({**declaration, **more})
    return await carry.apply(wanted, target, dry_run=False, undo_log=log)


def seen(target: FakeTarget) -> tuple[Any, ...]:
    plugins = {
        name: (p.remote, p.enabled, p.settings.env, p.settings.args)
        for name, p in target.plugins.items()
    }
    return plugins, dict(target.volumes), dict(target.mounts)


async def test_a_run_that_succeeds_can_be_rolled_back(target: FakeTarget, log: FakeUndoLog) -> None:
    before = seen(target)
    result = await apply(target, RUN, log)
    assert not result.failed
    assert len(target.names()) == CALLS[target.in_place]
    assert log.calls == ["begin", "done"]
    assert log.record is not None
    assert (log.record["state"], log.record["rollback"]) == ("done", True)
    assert result.to_json()["undo"] == {"id": log.record["id"]}
    assert not result.rolled_back
    planned = await carry.roll_back(
        log.record, target, undo_log=log, dry_run=True, remove_volumes=True
    )
    assert (planned.changed, planned.undo, planned.rolled_back) == (True, result.undo, False)
    assert seen(target) != before
    # Nothing is asked of the registry that is not there any more.
    if target.knows_config:
        target.registry.clear()
    back = await carry.roll_back(
        log.record, target, undo_log=log, dry_run=False, remove_volumes=True
    )
    assert (back.changed, back.failed, back.rolled_back, back.undo) == (True, False, True, None)
    assert [s.description for s in back.steps] == [s.description for s in planned.steps]
    assert (seen(target), log.record) == (before, None)


async def test_a_run_with_nothing_to_do_leaves_the_last_change_alone(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    result = await apply(target, BEFORE, log)
    assert (result.undo, log.calls) == (None, [])
    gate = {"plugins": [{**BEFORE["plugins"][0], "verify": {"when": "always"}}]}
    await apply(target, gate, log)
    refused = await apply(target, {"plugins": [{"source": "gone:1"}]}, log)
    assert (refused.failed, refused.undo, log.calls) == (True, None, [])


@pytest.mark.parametrize("failing", range(1, 11))
async def test_a_failure_at_any_step_is_undone(
    target: FakeTarget, log: FakeUndoLog, failing: int
) -> None:
    before = seen(target)
    target.fail_at[failing] = errors.System("no")
    result = await apply(target, RUN, log)
    if failing > CALLS[target.in_place]:
        assert not result.failed
        return
    assert (result.failed, result.changed) == (True, False)
    assert seen(target) == before
    assert result.before == result.after
    assert (result.undo, log.record, log.calls) == (None, None, ["begin", "drop"])
    assert result.rolled_back == (failing > 1)
    ending = "what this run had done was undone" if failing > 1 else "there was nothing to undo"
    assert result.msg.endswith(f": no; {ending}")
    undone = [s for s in result.steps if s.reason.startswith("undoes, because this failed: ")]
    assert bool(undone) == (failing > 1)
    skipped = [s for s in result.steps if s.status == "skipped"]
    assert len([s for s in result.steps if s.status == "failed"]) == 1
    assert any(s.action == "plugin-verify" for s in skipped)


@pytest.mark.parametrize("failing", range(1, 11))
async def test_without_rollback_the_rest_goes_on_and_can_be_undone_by_hand(
    target: FakeTarget, log: FakeUndoLog, failing: int
) -> None:
    before = seen(target)
    target.fail_at[failing] = errors.System("no")
    result = await apply(target, RUN, log, rollback=False)
    assert result.failed == (failing <= CALLS[target.in_place])
    assert log.record is not None
    assert (log.record["state"], log.record["rollback"]) == ("done", False)
    assert (result.changed, result.undo) == (True, log.record["id"])
    assert (result.rolled_back, "undone" in result.msg) == (False, False)
    target.fail_at.clear()
    back = await carry.roll_back(
        log.record, target, undo_log=log, dry_run=False, remove_volumes=True
    )
    assert not back.failed, back.msg
    assert (seen(target), log.record) == (before, None)


async def test_what_failed_and_changed_nothing_leaves_no_record(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    target.fail["install"] = errors.System("no")
    result = await apply(target, {"plugins": [Y]}, log)
    assert (result.failed, result.changed, result.undo, log.record) == (True, False, None, None)


@pytest.mark.parametrize("broken", ["x:latest", "y:latest"])
async def test_a_failed_verification_undoes_all_plugins(
    target: FakeTarget, log: FakeUndoLog, broken: str
) -> None:
    before = seen(target)
    target.broken[broken] = errors.Unavailable("nobody listens")
    result = await apply(target, RUN, log)
    assert (seen(target), log.record) == (before, None)
    assert (result.failed, result.changed, result.rolled_back) == (True, False, True)
    assert result.msg == (
        f"cannot verify plugin {broken}: nobody listens; what this run had done was undone"
    )
    # What an operator reads of the host afterwards is what it is like.
    assert result.after == result.before
    assert [p["Name"] for p in result.plugins] == ["x:latest"]
    assert [m["Path"] for m in result.mounts] == ["/m"]
    assert not (await apply(target, BEFORE)).changed


async def test_a_verification_that_fails_with_nothing_done_undoes_nothing(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    await apply(target, RUN)
    target.broken["x:latest"] = errors.Unavailable("no")
    gate = {"plugins": [{**X, "verify": {"when": "always", "timeout": 0.001}}]}
    target.calls.clear()
    result = await apply(target, gate, log)
    assert (result.failed, result.changed, result.rolled_back) == (True, False, False)
    assert result.msg.endswith("no; there was nothing to undo")
    assert (target.names(), log.calls) == ([], [])


async def test_what_cannot_be_undone_is_said_and_the_rest_is(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    target.broken["y:latest"] = errors.Unavailable("nobody listens")
    target.fail["remove_volume"] = errors.System("the driver is stuck")
    result = await apply(target, RUN, log)
    assert (result.failed, result.changed, result.rolled_back) == (True, True, False)
    assert "not everything could be undone: cannot remove volume new with its data: " in result.msg
    assert (
        "the driver is stuck; plugin y:latest is now enabled, at y:1; volume new is now"
        in result.msg
    )
    assert target.plugins["x:latest"].remote == "docker.io/library/x:1"
    assert result.after["plugin/x:latest"] == result.before["plugin/x:latest"]
    # The operator takes it from there.
    assert log.record is not None
    assert (log.record["state"], result.undo) == ("done", log.record["id"])
    back = await carry.roll_back(
        log.record, target, undo_log=log, dry_run=False, remove_volumes=True
    )
    assert (back.failed, back.rolled_back, log.record) == (False, True, None)
    assert set(target.plugins) == {"x:latest"}


async def test_a_version_that_cannot_be_had_does_not_stop_the_rest(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    target.broken["y:latest"] = errors.Unavailable("nobody listens")
    target.kept.clear()
    del target.registry["docker.io/library/x:1"]
    result = await apply(target, RUN, log)
    assert 'cannot upgrade plugin "x:latest": cannot resolve docker.io/library/x:1' in result.msg
    assert "plugin x:latest is now enabled, at x:2" in result.msg
    assert (result.changed, result.rolled_back) == (True, False)
    assert (set(target.plugins), set(target.volumes)) == ({"x:latest"}, {"v"})


@pytest.mark.parametrize("reading", [1, 2])
async def test_a_host_that_cannot_be_read_any_more(
    target: FakeTarget, log: FakeUndoLog, reading: int
) -> None:
    target.broken["y:latest"] = errors.Unavailable("nobody listens")

    async def observe() -> Any:
        nonlocal reading
        reading -= 1
        if reading < 0:
            raise errors.Unavailable("the engine is gone")
        return await type(target).observe(target)

    target.observe = observe  # type: ignore[method-assign]
    result = await apply(target, RUN, log)
    assert (result.failed, result.changed) == (True, True)
    assert "the engine is gone" in result.msg
    undone = log.record is None
    assert undone == result.rolled_back == (result.undo is None)


async def test_a_removed_volume_does_not_come_back(target: FakeTarget, log: FakeUndoLog) -> None:
    await apply(target, {"volumes": [{"name": "old"}]})
    target.broken["y:latest"] = errors.Unavailable("no")
    declared = {"plugins": [Y], "volumes": [{"name": "old", "state": "absent"}], "rollback": True}
    target.fail["enable"] = errors.System("no")
    result = await apply(target, declared, log)
    assert (result.changed, result.rolled_back, log.record) == (True, True, None)
    assert result.msg.endswith(
        "what this run had done was undone; volume old was removed with its data, which cannot be "
        "undone; volume old is now absent"
    )


async def test_a_recreated_volume_is_another_one(target: FakeTarget, log: FakeUndoLog) -> None:
    again = {"volumes": [{"name": "w", "recreate": "always"}]}
    await apply(target, again)
    target.fail["install"] = errors.System("no")
    result = await apply(target, {**again, "plugins": [Y]}, log, rollback=True)
    assert result.changed is False
    target.fail["create_volume"] = errors.System("no")
    result = await apply(target, again, log, rollback=True)
    assert (result.changed, result.rolled_back) == (True, False)
    assert "volume w was removed with its data, which cannot be undone" in result.msg
    assert "w" not in target.volumes


async def test_the_record_is_written_before_anything_is_changed(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    log.fail["begin"] = errors.System("no space left")
    with pytest.raises(errors.System, match="no space left"):
        await apply(target, RUN, log)
    assert target.names() == []


async def test_an_end_that_cannot_be_recorded_is_said(target: FakeTarget, log: FakeUndoLog) -> None:
    log.fail["done"] = errors.System("no space left")
    result = await apply(target, RUN, log)
    assert (result.failed, result.changed, result.undo, log.record) == (False, True, None, None)
    assert "cannot record the end of this run" in result.warnings[-1]
    log.fail |= {"done": errors.System("no space left"), "drop": errors.System("read-only")}
    second = await apply(target, {"volumes": [{"name": "w"}]}, log)
    assert not second.failed
    assert "the agent may undo this run when it starts next: read-only" in second.warnings[-1]


@pytest.mark.parametrize("killed", range(1, 11))
async def test_a_run_that_was_killed_is_undone_at_the_next_start(
    target: FakeTarget, log: FakeUndoLog, killed: int
) -> None:
    before = seen(target)
    target.fail_at[killed] = asyncio.CancelledError()
    log.fail["done"] = asyncio.CancelledError()  # or at the very end
    with pytest.raises(asyncio.CancelledError):
        await apply(target, RUN, log)
    assert log.record is not None
    assert log.record["state"] == "running"
    # And once more while it is undone, wherever it got to.
    target.fail_at = {len(target.names()) + 2: asyncio.CancelledError()}
    try:
        result = await carry.resume(log.record, target, undo_log=log)
    except asyncio.CancelledError:
        result = await carry.resume(log.record, target, undo_log=log)
    assert result is not None
    assert not result.failed, result.msg
    assert (seen(target), log.record) == (before, None)
    reasons = {step.reason for step in result.steps}
    assert reasons <= {"undoes a run that was interrupted"}


async def test_a_killed_run_without_rollback_is_the_operators(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    before = seen(target)
    target.fail_at[3] = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await apply(target, RUN, log, rollback=False)
    assert log.record is not None
    target.calls.clear()
    assert await carry.resume(log.record, target, undo_log=log) is None
    assert (log.record["state"], target.calls) == ("done", [])
    assert await carry.resume(log.record, target, undo_log=log) is None
    await carry.roll_back(log.record, target, undo_log=log, dry_run=False, remove_volumes=True)
    assert seen(target) == before


async def test_a_restart_that_cannot_undo_everything_leaves_the_rest_to_the_operator(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    log.fail["done"] = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await apply(target, RUN, log)
    assert log.record is not None
    target.fail["unmount"] = errors.Unavailable("stuck")
    result = await carry.resume(log.record, target, undo_log=log)
    assert result is not None
    assert (result.failed, result.rolled_back) == (True, False)
    assert (log.record["state"], result.undo) == ("done", log.record["id"])


async def test_later_nothing_is_rolled_back_that_is_in_use(
    target: FakeTarget, log: FakeUndoLog
) -> None:
    await apply(target, {"plugins": [Y]}, log)
    await apply(target, {"volumes": [{"name": "precious", "driver": "y"}]})
    assert log.record is not None
    result = await carry.roll_back(
        log.record, target, undo_log=log, dry_run=False, remove_volumes=True
    )
    assert (result.failed, result.changed, result.undo) == (True, False, log.record["id"])
    assert "it is in use by volume/precious" in result.msg
    assert target.plugins["y:latest"].enabled


def test_which_change_is_meant() -> None:
    record = {"id": "a", "state": "done"}
    assert carry.require_change(record, None) == carry.require_change(record, "a") == record
    with pytest.raises(errors.NotFound, match="there is no change to go back from"):
        carry.require_change(None, "a")
    with pytest.raises(errors.Conflict, match="change b: the last change of this host is a"):
        carry.require_change(record, "b")
    with pytest.raises(errors.System, match="cannot roll back change a: invalid declaration"):
        carry.read_way_back({**record, "declaration": {"plugin": []}})
