# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Declarations that are verified and undone, by themselves, by an operator, or by the next boot."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import registry
from plugind import errors
from plugind.engine import lookup
from plugind.engine.declaration import apply, rollback, undo_log
from plugind.engine.volume import mounting, volumes
from plugind.model.plugin import Plugin
from support import engine, invariants, upgrades
from support.engine import World, until

VERIFY = {"volume": {}, "timeout": 20}


async def declare(world: World, **document: Any) -> dict[str, Any]:
    """Carry a declaration out; what is tried again has its time over after the first try."""
    carrying = asyncio.ensure_future(apply.apply(world.engine, document, dry_run=False))

    def is_done() -> bool:
        if world.clock.is_slept_on:
            world.clock.advance(20)
        return carrying.done()

    await until(is_done)
    return await carrying


async def roll_back(world: World, change: str | None = None, **more: Any) -> dict[str, Any]:
    more = {"dry_run": False, "remove_volumes": True, **more}
    return await rollback.roll_back(world.engine, change, **more)


def toy(world: World, tag: str = "latest", **more: Any) -> dict[str, Any]:
    return {"name": "toy", "source": str(world.ref(tag=tag)), **more}


def publish_bad(world: World, tag: str = "bad") -> None:
    """Publish a version that starts, and whose volumes cannot be mounted."""
    world.publish(tag=tag, env=upgrades.env("fail=VolumeDriver.Mount:the backend is away"))


def record(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.layout.undo.read_bytes())
    return found


async def rolled_back(world: World) -> list[tuple[str, str]]:
    found = [event for event in await world.events() if event.action == "rolled back"]
    return [(event.attributes["name"], event.attributes["error"]) for event in found]


async def test_a_version_that_serves_is_verified_once(world: World) -> None:
    plugin = await upgrades.with_mounted_volume(world)
    world.publish(tag="v2", env=upgrades.env())
    done = await declare(world, plugins=[toy(world, "v2", verify=VERIFY)])
    assert (done["failed"], done["changed"], done["rolled_back"]) == (False, True, False), done
    assert [step["action"] for step in done["steps"]] == ["plugin-upgrade", "plugin-verify"]
    assert not world.entry(plugin).plugin.unverified
    assert done["undo"] == {"id": record(world)["id"]}
    assert record(world)["state"] == "done"
    assert list(invariants.load_volumes(world.layout.root)) == ["v"]
    again = await declare(world, plugins=[toy(world, "v2", verify=VERIFY)])
    assert (again["changed"], again["steps"], again["undo"]) == (False, [], None)
    assert record(world)["id"] == done["undo"]["id"]
    invariants.check(world.layout.root)


async def test_a_version_that_does_not_serve_gives_way_to_the_old_one(world: World) -> None:
    plugin = await upgrades.with_mounted_volume(world)
    publish_bad(world)
    world.publish("other")
    other = {"name": "other", "source": str(world.ref("other"))}
    volume = {"name": "new", "driver": "other"}
    done = await declare(world, plugins=[other, toy(world, "bad", verify=VERIFY)], volumes=[volume])
    assert (done["failed"], done["rolled_back"], done["changed"]) == (True, True, False), done
    assert "the backend is away" in done["msg"]
    entry = world.entry(plugin)
    assert entry.plugin.version == plugin.version
    assert entry.plugin.settings == plugin.settings
    assert [body["Name"] for body in upgrades.mount_calls(world, plugin)] == ["v"]
    assert list(invariants.load_records(world.layout.root)) == ["toy:latest"]
    assert list(invariants.load_volumes(world.layout.root)) == ["v"]
    assert not world.layout.undo.exists()
    undone = [name for name, _ in await rolled_back(world)]
    assert sorted(undone) == ["other:latest", "toy:latest"]
    await world.swept()
    invariants.check(world.layout.root)


async def test_a_new_plugin_that_does_not_serve_is_gone_with_its_blobs(world: World) -> None:
    publish_bad(world)
    done = await declare(world, plugins=[toy(world, "bad", verify=VERIFY)])
    assert (done["failed"], done["rolled_back"], done["changed"]) == (True, True, False), done
    await world.swept()
    invariants.check_empty(world.layout.root)


async def test_one_that_is_kept_though_it_does_not_serve_is_verified_again(world: World) -> None:
    plugin = await world.running(env=upgrades.env())
    publish_bad(world)
    bad = toy(world, "bad", verify=VERIFY)
    kept = await declare(world, plugins=[bad], rollback=False)
    assert (kept["failed"], kept["rolled_back"], kept["changed"]) == (True, False, True), kept
    assert world.entry(plugin).plugin.unverified
    world.host.behave(plugin.id, "")
    done = await declare(world, plugins=[bad])
    assert (done["failed"], done["changed"]) == (False, False), done
    assert [step["action"] for step in done["steps"]] == ["plugin-verify"]
    assert not world.engine.plugin_store.load(plugin.id).unverified


async def test_an_operator_goes_back_without_a_registry(world: World) -> None:
    plugin = await upgrades.with_mounted_volume(world)
    world.publish(tag="v2", env=upgrades.env())
    settings = {"env": {"DEBUG": "1"}}
    volume = {"name": "new", "driver": "toy"}
    done = await declare(world, plugins=[toy(world, "v2", settings=settings)], volumes=[volume])
    assert not done["failed"], done
    assert stat.S_IMODE(world.layout.undo.stat().st_mode) == 0o600
    world.registry.faults = registry.Faults(status=503)
    planned = await roll_back(world, done["undo"]["id"], dry_run=True)
    assert (planned["changed"], world.layout.undo.exists()) == (True, True)
    back = await roll_back(world, done["undo"]["id"])
    assert (back["failed"], back["changed"], back["rolled_back"]) == (False, True, True), back
    assert back["diff"] == planned["diff"]
    assert world.entry(plugin).plugin.version == plugin.version
    assert world.entry(plugin).plugin.settings == plugin.settings
    assert list(invariants.load_volumes(world.layout.root)) == ["v"]
    assert await rolled_back(world) == [
        ("toy:latest", f"change {done['undo']['id']} was rolled back")
    ]
    with pytest.raises(errors.NotFound, match="there is no change to go back from"):
        await roll_back(world)
    invariants.check(world.layout.root)


async def test_volumes_with_data_stay_unless_an_operator_wants_them_gone(world: World) -> None:
    plugin = await upgrades.with_mounted_volume(world)
    world.publish(tag="v2", env=upgrades.env())
    volume = {"name": "new", "driver": "toy"}
    await declare(world, plugins=[toy(world, "v2")], volumes=[volume])
    back = await roll_back(world, remove_volumes=False)
    assert (back["failed"], back["rolled_back"]) == (False, True), back
    assert world.entry(plugin).plugin.version == plugin.version
    assert sorted(invariants.load_volumes(world.layout.root)) == ["new", "v"]
    assert "new, which this change created, stay" in " ".join(back["warnings"])
    invariants.check(world.layout.root)


async def test_a_plugin_whose_new_volumes_stay_is_not_removed(world: World) -> None:
    world.publish()
    volume = {"name": "new", "driver": "toy"}
    await declare(world, plugins=[toy(world)], volumes=[volume])
    back = await roll_back(world, remove_volumes=False)
    assert (back["failed"], back["changed"], back["rolled_back"]) == (True, False, False), back
    assert "new, which this change created, stay" in back["msg"]
    assert not (await roll_back(world))["failed"]
    assert not world.engine.entries
    await world.swept()
    invariants.check(world.layout.root)


async def test_what_was_removed_by_hand_is_forgotten_with_its_settings(world: World) -> None:
    await world.running(env=upgrades.env(debug="1"))
    world.publish(tag="v2", env=upgrades.env())
    await declare(world, plugins=[toy(world, "v2")])
    await volumes.create_volume(world.engine, name="other", driver="toy", options={}, labels={})
    done = await declare(world, plugins=[toy(world, "v2", state="disabled", force=True)])
    assert done["undo"]["id"] == record(world)["id"]
    await rollback.remove_for_good(world.engine, "toy", force=True)
    assert not world.layout.undo.exists()
    await world.swept()
    invariants.check(world.layout.root)


async def test_what_needs_nothing_waits_for_nobody(world: World) -> None:
    plugin = await world.running()
    declared = {"plugins": [{"name": "toy", "source": plugin.remote}]}
    async with undo_log.turn(world.engine):
        answer = await apply.apply(world.engine, declared, dry_run=False)
    assert (answer["changed"], answer["failed"], answer["msg"]) == (False, False, "nothing to do")


async def test_a_removed_plugin_comes_back_from_what_is_kept(world: World) -> None:
    plugin = await world.running(env=upgrades.env(debug="1"))
    done = await declare(world, plugins=[{"name": "toy", "state": "absent", "force": True}])
    await world.swept()
    invariants.check(world.layout.root)
    assert world.engine.content.has(plugin.layers[0])
    await world.reopen()
    invariants.check(world.layout.root)
    world.registry.faults = registry.Faults(status=503)
    back = await roll_back(world, done["undo"]["id"])
    assert not back["failed"], back
    again = lookup.find(world.engine, "toy")
    assert (again.enabled, again.manifest_digest) == (True, plugin.manifest_digest)
    assert (again.remote, plugin.remote) == (str(world.ref(tag="latest")),) * 2
    assert "DEBUG=1" in again.settings.env
    invariants.check(world.layout.root)


async def test_a_plugin_that_was_named_by_digest_comes_back_so(world: World) -> None:
    digest = (await world.running()).manifest_digest
    pinned = f"{world.ref(tag='latest')}@{digest}"
    gone = {"name": "toy", "state": "absent", "force": True}
    await declare(world, plugins=[gone])
    assert not (await declare(world, plugins=[{"name": "toy", "source": pinned}]))["failed"]
    by_digest = lookup.find(world.engine, "toy").remote
    assert by_digest == str(replace(world.ref(), tag=None, digest=digest))
    await declare(world, plugins=[gone])
    assert not (await roll_back(world))["failed"]
    assert lookup.find(world.engine, "toy").remote == by_digest


async def test_what_is_not_gone_back_from_any_more_is_collected(world: World) -> None:
    plugin = await world.running()
    await declare(world, plugins=[{"name": "toy", "state": "absent", "force": True}])
    world.publish("other", description="another")
    await declare(world, plugins=[{"name": "other", "source": str(world.ref("other"))}])
    await world.swept()
    assert not world.engine.content.has(plugin.manifest_digest)
    invariants.check(world.layout.root)


async def test_only_the_last_change_can_be_meant(world: World) -> None:
    world.publish()
    done = await declare(world, plugins=[toy(world)])
    other = "0123456789abcdef"
    words = f"cannot roll back change {other}: the last change of this host is {done['undo']['id']}"
    with pytest.raises(errors.Conflict, match=words):
        await roll_back(world, other)
    assert not (await roll_back(world))["failed"]
    await world.swept()
    invariants.check_empty(world.layout.root)


async def test_what_cannot_be_recorded_changes_nothing(world: World) -> None:
    world.publish()
    world.layout.undo.mkdir()
    with pytest.raises(errors.System, match="cannot record how to undo a change"):
        await declare(world, plugins=[toy(world)])
    await world.swept()
    world.layout.undo.rmdir()
    invariants.check_empty(world.layout.root)


async def interrupt(world: World, *, is_undone: bool = True) -> tuple[Plugin, dict[str, Any]]:
    """Upgrade `toy`, and die before the end of the declaration is on record."""
    plugin = await upgrades.with_mounted_volume(world)
    world.publish(tag="v2", env=upgrades.env())
    done = await declare(world, plugins=[toy(world, "v2", verify=VERIFY)], rollback=is_undone)
    assert not done["failed"], done
    change = {**record(world), "state": "running"}
    world.layout.undo.write_text(json.dumps(change))
    await world.drop()
    return plugin, change


@pytest.mark.parametrize("is_undone", [True, False])
async def test_a_boot_goes_back_from_what_was_interrupted_if_it_is_wanted(
    world: World, is_undone: bool
) -> None:
    plugin, change = await interrupt(world, is_undone=is_undone)
    world.registry.faults = registry.Faults(status=503)
    await world.open()
    await until(lambda: not world.engine.background)
    if is_undone:
        assert lookup.find(world.engine, "toy").version == plugin.version
        assert not world.layout.undo.exists()
        words = f"change {change['id']} was interrupted"
        assert await rolled_back(world) == [("toy:latest", words)]
    else:
        assert lookup.find(world.engine, "toy").remote.endswith(":v2")
        assert record(world) == {**change, "state": "done"}
    invariants.check(world.layout.root)


async def test_a_start_waits_a_moment_for_the_way_back(tmp_path: Path) -> None:
    options = replace(engine.OPTIONS, undo_patience=60.0)
    async with World(tmp_path, options) as world:
        plugin, _ = await interrupt(world)
        await world.open()
        assert lookup.find(world.engine, "toy").version == plugin.version


async def test_a_declaration_waits_until_the_boot_has_gone_back(world: World) -> None:
    plugin, _ = await interrupt(world)
    await world.open()
    assert world.layout.undo.exists()  # it goes on after the start
    done = await declare(world, plugins=[toy(world)])
    assert (done["changed"], done["failed"]) == (False, False), done
    assert lookup.find(world.engine, "toy").version == plugin.version


async def test_a_boot_that_cannot_go_back_leaves_it_to_an_operator(world: World) -> None:
    plugin, _ = await interrupt(world)
    world.engine.content.delete(plugin.layers[0])
    world.registry.faults = registry.Faults(status=503)
    await world.open()
    await until(lambda: not world.engine.background)
    assert lookup.find(world.engine, "toy").remote.endswith(":v2")
    assert record(world)["state"] == "done"
    world.registry.faults = registry.Faults()
    assert not (await roll_back(world))["failed"]
    assert lookup.find(world.engine, "toy").version == plugin.version


async def test_a_record_that_cannot_be_read_keeps_every_blob(world: World) -> None:
    await world.drop()
    world.layout.undo.mkdir()
    await world.open()
    assert world.engine.keep_blobs
    world.layout.undo.rmdir()


async def test_a_broken_record_is_no_way_back(world: World) -> None:
    await world.drop()
    world.layout.undo.write_text('{"format": 1')
    await world.open()
    assert (world.layout.quarantine / "undo.json-1").exists()
    with pytest.raises(errors.NotFound):
        await roll_back(world)


def test_what_names_no_digest_keeps_nothing(world: World) -> None:
    document = {"plugins": [{"name": "x"}, {"source": "x:1"}, {"source": "BAD@"}, {"source": 1}]}
    assert undo_log.blobs_of(world.engine, document) == frozenset()


async def test_pruning_removes_what_is_not_declared_and_can_be_undone(world: World) -> None:
    await world.running()
    await world.running("other", description="other")
    await volumes.create_volume(world.engine, name="v", driver="other", options=None, labels=None)
    await mounting.mount_volume(world.engine, "v", "web")
    document = {"plugins": [toy(world)], "prune": ["plugins"]}
    refused = await declare(world, **document)
    assert "in use" in refused["msg"]
    await mounting.unmount_volume(world.engine, "v", "web")
    done = await declare(world, **{**document, "prune": ["plugins", "volumes"]})
    assert not done["failed"], done
    assert list(invariants.load_records(world.layout.root)) == ["toy:latest"]
    back = await roll_back(world)
    assert sorted(invariants.load_records(world.layout.root)) == ["other:latest", "toy:latest"]
    assert not back["failed"], back
