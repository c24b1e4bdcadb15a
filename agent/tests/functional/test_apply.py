# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Declarations carried out on the engine itself; the planner has tests of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from plugind import errors
from plugind.engine import lookup
from plugind.engine.declaration import apply
from plugind.engine.volume import mounting, volumes
from plugind.model.lifecycle import PluginState
from support import content, invariants
from support.engine import World


async def declare(world: World, *, dry_run: bool = False, **document: Any) -> dict[str, Any]:
    return await apply.apply(world.engine, document, dry_run=dry_run)


def toy(world: World, tag: str = "latest", **more: Any) -> dict[str, Any]:
    return {"name": "toy", "source": str(world.ref(tag=tag)), "state": "enabled", **more}


async def test_a_declaration_is_made_true_and_then_nothing_is_left_to_do(world: World) -> None:
    world.publish()
    volume = {"name": "v", "driver": "toy", "options": {"o": "1"}}
    document = {"plugins": [toy(world, settings={"env": {"DEBUG": "1"}})], "volumes": [volume]}
    planned = await declare(world, dry_run=True, **document)
    assert (planned["changed"], planned["failed"]) == (True, False)
    invariants.check_empty(world.layout.root)
    done = await declare(world, **document)
    assert (done["changed"], done["failed"]) == (True, False), done
    assert done["diff"] == planned["diff"]
    plugin = lookup.find(world.engine, "toy")
    assert plugin.enabled
    assert "DEBUG=1" in plugin.settings.env
    assert set(invariants.load_volumes(world.layout.root)) == {"v"}
    again = await declare(world, **document)
    assert (again["changed"], again["msg"]) == (False, "nothing to do")


async def test_two_who_ask_for_the_same_at_once_both_get_it(world: World) -> None:
    world.publish()
    document = {"plugins": [toy(world)], "volumes": [{"name": "v", "driver": "toy"}]}
    # The other way round: neither waits for what the other one holds.
    other = {"volumes": [{"name": "v", "driver": "toy"}], "plugins": [toy(world)]}
    done = await asyncio.gather(declare(world, **document), declare(world, **other))
    assert [result["failed"] for result in done] == [False, False], done
    assert sorted(result["changed"] for result in done) == [False, True]
    assert set(invariants.load_volumes(world.layout.root)) == {"v"}
    world.publish(tag="2")
    both = [declare(world, plugins=[toy(world, "2")]) for _ in range(2)]
    assert sorted(result["changed"] for result in await asyncio.gather(*both)) == [False, True]


async def test_a_host_mount_is_declared_with_its_plugin_and_volume(
    world: World, tmp_path: Path
) -> None:
    world.publish()
    mount = {"path": str(tmp_path / "mnt"), "volume": "v", "read_only": True}
    document = {"plugins": [toy(world)], "volumes": [{"name": "v", "driver": "toy"}]}
    planned = await declare(world, dry_run=True, mounts=[mount], **document)
    done = await declare(world, mounts=[mount], **document)
    assert (done["failed"], done["diff"]) == (False, planned["diff"]), done
    assert [(m["Path"], m["State"]) for m in done["mounts"]] == [(mount["path"], "mounted")]
    again = await declare(world, mounts=[mount], **document)
    assert (again["changed"], again["mounts"]) == (False, done["mounts"])
    absent = {"path": mount["path"], "state": "absent"}
    gone = await declare(world, mounts=[absent])
    assert (gone["changed"], gone["failed"], gone["mounts"]) == (True, False, [])


async def test_an_upgrade_stops_the_plugin_for_a_moment_only(world: World) -> None:
    plugin = await world.running()
    world.publish(tag="v2")
    done = await declare(world, plugins=[toy(world, "v2")])
    assert not done["failed"], done
    entry = world.entry(plugin)
    assert entry.state is PluginState.RUNNING
    assert entry.plugin.remote == str(world.ref(tag="v2"))
    assert world.host.starts == [plugin.id] * 2
    assert [step["action"] for step in done["steps"]] == ["plugin-upgrade"]


async def test_what_is_mounted_needs_no_force_and_is_mounted_again(world: World) -> None:
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    await mounting.mount_volume(world.engine, "v", "web")
    world.publish(tag="v2")
    settings = {"env": {"DEBUG": "1"}}
    planned = await declare(world, dry_run=True, plugins=[toy(world, "v2", settings=settings)])
    done = await declare(world, plugins=[toy(world, "v2", settings=settings)])
    assert not done["failed"], done
    assert planned["diff"] == done["diff"]
    (step,) = done["steps"]
    assert step["description"].endswith(":v2 and set DEBUG in place")
    assert "DEBUG=1" in world.entry(plugin).plugin.settings.env
    mounted = [body for name, body in world.host.calls(plugin.id) if name.endswith(".Mount")]
    assert [body["Name"] for body in mounted] == ["v"]
    done = await declare(world, plugins=[toy(world, "v2", settings={"env": {"DEBUG": "2"}})])
    (step,) = done["steps"]
    assert step["description"] == "set DEBUG of plugin toy:latest in place"
    assert world.host.starts == [plugin.id] * 3


async def test_a_version_that_does_not_start_is_no_change(world: World) -> None:
    plugin = await world.running()
    world.publish(tag="v2", env=[content.env("PLUGIN_BEHAVIOUR", "exit=1")])
    done = await declare(world, plugins=[toy(world, "v2")])
    assert (done["failed"], done["changed"]) == (True, False)
    assert "runs again" in done["msg"]
    assert done["diff"]["before"] == done["diff"]["after"]
    assert world.entry(plugin).plugin == plugin


async def test_an_upgrade_that_fails_brings_the_old_version_back(world: World) -> None:
    plugin = await world.running()
    world.publish(tag="v2", layers=[b"this is no tar" * 99])
    done = await declare(world, plugins=[toy(world, "v2")])
    assert done["failed"]
    assert "error applying layer" in done["msg"]
    assert world.entry(plugin).state is PluginState.RUNNING
    assert world.entry(plugin).plugin.remote == plugin.remote
    invariants.check(world.layout.root)


async def test_an_install_whose_enable_fails_leaves_nothing(world: World) -> None:
    world.publish(entrypoint=["/absent"])
    done = await declare(world, plugins=[toy(world)])
    assert done["failed"]
    assert 'entrypoint "/absent"' in done["msg"]
    await world.swept()
    invariants.check_empty(world.layout.root)


async def test_absent_means_gone(world: World) -> None:
    await world.running()
    done = await declare(world, plugins=[{"name": "toy", "state": "absent", "force": True}])
    assert (done["changed"], done["failed"]) == (True, False), done
    await world.swept()
    invariants.check(world.layout.root)  # its blobs stay for the way back
    assert not invariants.load_records(world.layout.root)


async def test_what_is_no_declaration_is_refused(world: World) -> None:
    with pytest.raises(errors.InvalidParameter):
        await declare(world, plugins=[{"nome": "toy"}])


async def test_a_query_shows_what_there_is(world: World) -> None:
    await world.running()
    found = await apply.query(world.engine, {"plugins": None, "volumes": []})
    assert [plugin["Name"] for plugin in found["plugins"]] == ["toy:latest"]
    assert (found["volumes"], found["warnings"]) == ([], [])
    assert found["info"]["Plugins"]["Volume"] == ["local", "toy:latest"]
    found = await apply.query(world.engine, {"plugins": ["nobody"]})
    assert found["plugins"] == []
