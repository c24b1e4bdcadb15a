# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Set, upgrade and remove."""

from __future__ import annotations

from typing import Any

import pytest

from plugind import errors
from plugind.engine import lookup
from plugind.engine.plugin import configure, enable, remove, upgrade
from plugind.engine.volume import volumes
from plugind.model.privileges import Privilege, Privileges
from plugind.model.reference import Reference
from support import content, invariants
from support.engine import World

BIND = {
    "name": "data", "source": "/srv", "destination": "/d", "type": "bind", "options": ["rbind"],
    "settable": ["source"],
}  # fmt: skip
DATA = Privilege(name="mount", value=("/srv",))


async def do_upgrade(world: World, ref: Reference, accepted: Privileges = ()) -> Any:
    return await upgrade.upgrade(
        world.engine, "toy", ref, accepted=accepted, credentials=None, progress=world.lines.append
    )


# ---------------------------------------------------------------------------------------------- set


async def test_settings_are_kept_on_disk_and_said_by_an_event(world: World) -> None:
    plugin = await world.install(world.publish())
    await configure.configure(world.engine, "toy", ["DEBUG=1", "PLUGIN_OUTPUT.value=a=b"])
    await world.reopen()
    env = world.entry(plugin).plugin.settings.env
    assert {"DEBUG=1", "PLUGIN_OUTPUT=a=b"} <= set(env)
    assert await world.actions() == []  # of the new life


async def test_set_is_an_event(world: World) -> None:
    await world.install(world.publish())
    await configure.configure(world.engine, "toy", ["DEBUG=1"])
    assert (await world.actions())[-1] == "plugin set"


async def test_one_bad_assignment_means_that_none_is_made(world: World) -> None:
    plugin = await world.install(world.publish(mounts=[BIND]))
    before = world.layout.plugin_record(plugin.id).read_bytes()
    with pytest.raises(
        errors.InvalidParameter, match='setting "NOBODY" not found in the plugin config'
    ):
        await configure.configure(world.engine, "toy", ["DEBUG=1", "data=/tmp", "NOBODY=1"])
    assert world.layout.plugin_record(plugin.id).read_bytes() == before
    assert world.entry(plugin).plugin.settings == plugin.settings
    assert "plugin set" not in await world.actions()


async def test_an_enabled_plugin_is_not_set(world: World) -> None:
    await world.running()
    words = "^cannot set on an active plugin, disable plugin before setting$"
    with pytest.raises(errors.Conflict, match=words):
        await configure.configure(world.engine, "toy", ["DEBUG=1"])


async def test_a_set_mount_source_is_what_the_plugin_gets(world: World) -> None:
    plugin = await world.install(world.publish(mounts=[BIND]))
    source = world.layout.root.parent / "mine"
    source.mkdir()
    await configure.configure(world.engine, "toy", [f"data.source={source}"])
    await world.reopen()
    await enable.enable(world.engine, "toy", timeout=0)
    assert world.host.processes[plugin.id].binds["/d"] == str(source)


# ------------------------------------------------------------------------------------------ upgrade


async def test_an_upgrade_keeps_what_the_user_chose_and_takes_the_rest_anew(world: World) -> None:
    plugin = await world.install(world.publish(env=[content.env("A", "1"), content.env("B", "1")]))
    await configure.configure(world.engine, "toy", ["A=mine"])
    kept = world.layout.propagated_mount(plugin.id) / "kept"
    kept.write_bytes(b"data")
    newer = world.publish(
        tag="v2", env=[content.env("A", "2"), content.env("B", "2"), content.env("C", "2")]
    )
    new = await do_upgrade(world, newer)
    assert (new.id, new.name, new.remote) == (plugin.id, "toy:latest", str(newer))
    assert sorted(new.settings.env) == ["A=mine", "B=2", "C=2"]
    assert (world.layout.rootfs(plugin.id) / "version").read_bytes() == b"v2"
    assert kept.read_bytes() == b"data"
    invariants.check(world.layout.root)
    assert (await world.actions())[-2:] == ["plugin pull", "plugin upgrade"]
    attributes = (await world.events())[-1].attributes
    assert (attributes["from"], attributes["to"]) == (plugin.remote, str(newer))
    await world.reopen()
    assert world.entry(plugin).plugin == new


async def test_an_enabled_plugin_is_not_upgraded(world: World) -> None:
    await world.running()
    words = "^plugin must be disabled before upgrading: plugin toy:latest is enabled$"
    with pytest.raises(errors.Conflict, match=words):
        await do_upgrade(world, world.publish(tag="v2"))


async def test_privileges_that_grew_are_refused_before_any_layer(world: World) -> None:
    plugin = await world.install(world.publish())
    newer = world.publish(tag="v2", mounts=[BIND])
    world.registry.requests.clear()
    with pytest.raises(errors.InvalidParameter, match=r"not granted: mount: \[/srv\]"):
        await do_upgrade(world, newer)
    layer = world.registry.manifest("test/toy", "v2").layers[0].digest
    assert not [path for path in world.registry.paths() if str(layer) in path]
    assert world.entry(plugin).plugin == plugin
    await do_upgrade(world, newer, (DATA,))


@pytest.mark.parametrize("fault", ["corrupt_blobs", "truncate_blobs", "missing_blobs"])
async def test_an_upgrade_that_fails_leaves_the_old_version(world: World, fault: str) -> None:
    plugin = await world.running()
    await enable.disable(world.engine, "toy", force=False)
    newer = world.publish(tag="v2")

    def progress(line: dict[str, object]) -> None:
        setattr(world.registry.faults, fault, True)

    with pytest.raises(errors.PlugindError):
        await upgrade.upgrade(
            world.engine, "toy", newer, accepted=(), credentials=None, progress=progress
        )
    assert world.entry(plugin).plugin == plugin.with_enabled(False)
    assert (world.layout.rootfs(plugin.id) / "version").read_bytes() == b"latest"
    invariants.check(world.layout.root)
    await enable.enable(world.engine, "toy", timeout=0)


async def test_volumes_survive_an_upgrade(world: World) -> None:
    await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    await enable.disable(world.engine, "toy", force=True)
    await do_upgrade(world, world.publish(tag="v2"))
    await enable.enable(world.engine, "toy", timeout=0)
    assert (await volumes.inspect_volume(world.engine, "v"))["Driver"] == "toy:latest"


async def test_nobody_is_upgraded_who_is_not_installed(world: World) -> None:
    with pytest.raises(errors.NotFound, match=r'^plugin "toy" not found$'):
        await do_upgrade(world, world.publish())


# ------------------------------------------------------------------------------------------- remove


async def test_a_removed_plugin_leaves_nothing(world: World) -> None:
    plugin = await world.running()
    await enable.disable(world.engine, "toy", force=False)
    await remove.remove(world.engine, "toy", force=False)
    await world.swept()
    invariants.check_empty(world.layout.root)
    assert lookup.list_plugins(world.engine) == []
    assert not world.engine.log_path(plugin.id).exists()
    assert (await world.actions())[-1] == "plugin remove"


async def test_an_enabled_plugin_is_removed_only_by_force(world: World) -> None:
    plugin = await world.running()
    with pytest.raises(errors.Conflict, match=r"^plugin toy:latest is enabled$"):
        await remove.remove(world.engine, "toy", force=False)
    await remove.remove(world.engine, plugin.id[:8], force=True)
    assert plugin.id not in world.host.processes
    assert not world.layout.socket_dir(plugin.id).exists()
    await world.swept()
    invariants.check_empty(world.layout.root)


async def test_use_is_said_before_being_enabled_and_names_volumes(world: World) -> None:
    await world.running()
    for number in range(12):
        await volumes.create_volume(
            world.engine, name=f"v{number:02}", driver="toy", options=None, labels=None
        )
    words = r"^plugin toy:latest is in use: volumes v00, .*v09, \.\.\.$"
    with pytest.raises(errors.Conflict, match=words):
        await remove.remove(world.engine, "toy", force=False)


async def test_records_of_volumes_outlive_a_plugin_that_is_removed_by_force(world: World) -> None:
    await world.running()
    await volumes.create_volume(
        world.engine, name="v", driver="toy", options={"o": "1"}, labels={"l": "1"}
    )
    await remove.remove(world.engine, "toy", force=True)
    plugin = await world.running()
    world.host.volumes[plugin.id]["v"] = {}  # the backend still has it
    shown = await volumes.inspect_volume(world.engine, "v")
    assert (shown["Options"], shown["Labels"]) == ({"o": "1"}, {"l": "1"})


@pytest.mark.parametrize("text", ["nobody", "0" * 64, "a" * 64, "toy@sha256:" + "0" * 64, ""])
async def test_nobody_is_removed_who_is_not_installed(world: World, text: str) -> None:
    await world.install(world.publish())
    with pytest.raises(errors.NotFound, match=f'^plugin "{text}" not found$'):
        await remove.remove(world.engine, text, force=True)
    assert len(lookup.list_plugins(world.engine)) == 1
