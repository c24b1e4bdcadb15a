# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes mounted on the host: made once, kept, repaired, restored, taken away again."""

from __future__ import annotations

from pathlib import Path

import pytest

from functional.test_supervise import give_up_on
from plugind import errors
from plugind.engine.plugin import enable, remove
from plugind.engine.volume import host_mounts, volumes
from plugind.host.mounts import stack_at
from plugind.model.plugin import Plugin
from support.engine import World
from support.host_mount_steps import (
    count,
    holders,
    in_words,
    make_directory,
    mode_of,
    mount,
    records,
    stack,
    state,
    told,
    unmount,
)


@pytest.fixture
async def plugin(world: World) -> Plugin:
    """An enabled driver with the volume `v`."""
    plugin = await world.running()
    await volumes.create_volume(world.engine, name="v", driver="toy", options=None, labels=None)
    return plugin


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mnt" / "v"


# ---------------------------------------------------------------------------------- mount, unmount


async def test_a_volume_is_seen_at_a_path_of_the_host(
    world: World, plugin: Plugin, path: Path
) -> None:
    shown = await mount(world, path)
    assert shown == {
        "Path": str(path), "Volume": "v", "ReadOnly": False, "Propagation": "rprivate",
        "State": "mounted", "Error": "",
    }  # fmt: skip
    source = stack_at(world.layout.propagated_mount(plugin.id), world.machine.table)[-1]
    assert stack(world, path) == [(source.device, "/v")]
    assert holders(world) == [f"mount:{path}"]
    assert mode_of(path) == 0o755
    events = (await world.events())[-2:]
    assert [(e.action, e.attributes) for e in events] == [
        (
            "mount",
            {
                "driver": "toy:latest",
                "container": f"mount:{path}",
                "destination": str(world.layout.propagated_mount(plugin.id) / "v"),
            },
        ),
        (
            "attach",
            {
                "driver": "toy:latest",
                "destination": str(path),
                "source": str(world.layout.propagated_mount(plugin.id) / "v"),
            },
        ),
    ]


async def test_mounting_again_changes_nothing(world: World, plugin: Plugin, path: Path) -> None:
    first = await mount(world, path)
    before = await told(world)
    assert await mount(world, path, mode="0700") == first
    assert await told(world) == before
    assert len(stack(world, path)) == count(world, plugin, "Mount") == len(records(world)) == 1


async def test_a_link_of_the_driver_is_what_it_leads_to(
    world: World, plugin: Plugin, path: Path
) -> None:
    named = str(world.layout.propagated_mount(plugin.id) / "v")
    source = stack_at(world.layout.propagated_mount(plugin.id), world.machine.table)[-1]
    world.machine.links[named] = f"{named}-itself"
    assert (await mount(world, path))["State"] == "mounted"
    assert stack(world, path) == [(source.device, "/v-itself")]
    assert (await mount(world, path))["State"] == "mounted"
    # A link that leads nowhere, or elsewhere, makes it an old mount, which can be taken away.
    for link in ("", f"{named}-other"):
        world.machine.links[named] = link
        assert await state(world, path) == "stale"
    assert await unmount(world, path) == ""
    assert stack(world, path) == []


async def test_a_link_that_leads_nowhere_is_not_mounted(
    world: World, plugin: Plugin, path: Path
) -> None:
    named = str(world.layout.propagated_mount(plugin.id) / "v")
    world.machine.links[named] = ""
    with pytest.raises(errors.System, match=f'cannot open "{named}"'):
        await mount(world, path)
    assert (records(world), holders(world), stack(world, path)) == ([], [], [])


@pytest.mark.usefixtures("plugin")
async def test_it_is_taken_away_with_what_was_made_for_it(world: World, path: Path) -> None:
    await mount(world, path)
    assert await unmount(world, path) == ""
    assert stack(world, path) == holders(world) == records(world) == []
    assert not path.parent.exists()
    assert (await told(world))[-2:] == [f"unmount mount:{path}", "detach"]
    words = f'no volume is mounted at "{path}"'
    await in_words(words, errors.NotFound, unmount(world, path))


@pytest.mark.usefixtures("plugin")
async def test_a_directory_that_was_there_stays(world: World, path: Path) -> None:
    make_directory(path, 0o711)
    await mount(world, path, mode="0700")
    assert mode_of(path) == 0o711
    await unmount(world, path)
    assert mode_of(path) == 0o711


@pytest.mark.usefixtures("plugin")
async def test_how_it_is_mounted_is_passed_on(world: World, path: Path) -> None:
    await mount(world, path, read_only=True, propagation="slave", mode="0700")
    assert stack_at(path, world.machine.table)[-1].options == ("ro", "slave")
    assert mode_of(path) == 0o700
    words = f'cannot mount volume v at "{path}": volume v is mounted there (read-only, slave)'
    await in_words(words, errors.Conflict, mount(world, path))


@pytest.mark.usefixtures("plugin")
async def test_a_volume_can_be_at_many_paths(world: World, path: Path) -> None:
    other = path.with_name("other")
    await mount(world, path)
    await mount(world, other)
    await unmount(world, path)
    assert await state(world, other) == "mounted"
    assert holders(world) == [f"mount:{other}"]
    listed = await host_mounts.list_host_mounts(world.engine)
    assert [found["Path"] for found in listed] == [str(other)]


@pytest.mark.usefixtures("plugin")
async def test_a_volume_that_is_mounted_on_the_host_is_in_use(world: World, path: Path) -> None:
    await mount(world, path)
    words = f"remove v: volume is in use - [mount:{path}]"
    await in_words(words, errors.Conflict, volumes.remove_volume(world.engine, "v", force=True))
    words = f"plugin toy:latest is in use: volumes v (mounted by mount:{path})"
    await in_words(words, errors.Conflict, enable.disable(world.engine, "toy", force=False))


# ----------------------------------------------------------------------------------------- refusals


@pytest.mark.usefixtures("plugin")
async def test_what_stands_in_the_way_is_said_and_nothing_stays(world: World, path: Path) -> None:
    make_directory(path)
    (path / "file").touch()
    words = f'cannot mount at "{path}": the directory is not empty, it has "file"'
    await in_words(words, errors.Conflict, mount(world, path))
    (path / "file").unlink()
    world.machine.mounted_by_hand(path)
    words = f'cannot mount at "{path}": it is a mount point already (tmpfs from "somebody")'
    await in_words(words, errors.Conflict, mount(world, path))
    world.machine.unmounted_by_hand(path)
    with pytest.raises(errors.InvalidParameter, match=r"it is in .*, which is the agent's own"):
        await mount(world, world.layout.root / "volumes" / "x")
    with pytest.raises(errors.InvalidParameter, match="it would hide"):
        await mount(world, world.layout.root.parent)
    await in_words("get w: no such volume", errors.NoSuchVolume, mount(world, path, "w"))
    with pytest.raises(errors.InvalidParameter, match="no-such-user"):
        await mount(world, path, owner="no-such-user")
    assert records(world) == holders(world) == []
    assert await told(world) == []


@pytest.mark.usefixtures("plugin")
async def test_what_a_directory_has_can_be_hidden_on_request(world: World, path: Path) -> None:
    make_directory(path)
    (path / "file").touch()
    await mount(world, path, allow_nonempty=True)
    assert await state(world, path) == "mounted"


async def test_a_driver_that_cannot_mount_leaves_nothing(
    world: World, plugin: Plugin, path: Path
) -> None:
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:no route to host")
    words = "cannot mount volume v: no route to host"
    await in_words(words, errors.System, mount(world, path))
    assert records(world) == holders(world) == stack(world, path) == []
    assert not path.parent.exists()
    assert world.engine.host_mounts == {}


async def test_a_mount_in_use_is_only_taken_away_with_force(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    world.machine.busy[path] = "process 7 (vi)"
    words = f'cannot unmount "{path}": it is used by process 7 (vi)'
    await in_words(words, errors.Conflict, unmount(world, path))
    assert await state(world, path) == "mounted"
    assert await unmount(world, path, force=True) == ""
    assert stack(world, path) == []
    assert count(world, plugin, "Unmount") == 1


async def test_a_driver_that_cannot_unmount_needs_force(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    world.host.behave(plugin.id, "fail=VolumeDriver.Unmount:busy")
    words = "cannot unmount volume v: busy"
    await in_words(words, errors.System, unmount(world, path))
    assert len(records(world)) == len(holders(world)) == 1
    left = await unmount(world, path, force=True)
    assert left == f'dropped the reference of "{path}", but {words}'
    assert records(world) == holders(world) == []


@pytest.mark.parametrize("how", ["disabled", "uninstalled", "given up on"])
async def test_a_driver_that_is_gone_need_not_be_asked(
    world: World, plugin: Plugin, path: Path, how: str
) -> None:
    await mount(world, path)
    if how == "given up on":
        await give_up_on(world, plugin)
    else:
        await enable.disable(world.engine, "toy", force=True)
    if how == "uninstalled":
        await remove.remove(world.engine, "toy", force=True)
    shown = await host_mounts.inspect_host_mount(world.engine, str(path))
    assert shown["State"] == ("unmounted" if how == "uninstalled" else "stale")
    assert "found but disabled" in shown["Error"] or "not found" in shown["Error"]
    assert await unmount(world, path) == ""
    assert stack(world, path) == records(world) == holders(world) == []


async def test_a_volume_that_was_cleared_leaves_a_mount_that_can_be_taken_away(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    await remove.remove(world.engine, "toy", force=True)
    await volumes.remove_volume(world.engine, "v", force=True)
    shown = await host_mounts.inspect_host_mount(world.engine, str(path))
    assert (shown["State"], shown["Error"]) == ("unmounted", "get v: no such volume")
    await unmount(world, path)
    assert stack(world, path) == records(world) == []
    assert plugin.id not in world.engine.entries


# -------------------------------------------------------------------------------------------- drift


async def test_what_was_unmounted_by_hand_is_seen_and_repaired(
    world: World, plugin: Plugin, path: Path
) -> None:
    await mount(world, path)
    world.machine.unmounted_by_hand(path)
    assert await state(world, path) == "unmounted"
    assert (await mount(world, path))["State"] == "mounted"
    assert count(world, plugin, "Mount") == 1


@pytest.mark.usefixtures("plugin")
async def test_what_was_mounted_over_it_by_hand_is_seen_and_left(world: World, path: Path) -> None:
    await mount(world, path)
    world.machine.mounted_by_hand(path)
    assert await state(world, path) == "covered"
    words = f'cannot mount volume v at "{path}": tmpfs from "somebody" is mounted there'
    await in_words(words, errors.Conflict, mount(world, path))
    words = f'cannot unmount "{path}": tmpfs from "somebody" is mounted over it'
    await in_words(words, errors.Conflict, unmount(world, path))
    world.machine.unmounted_by_hand(path)
    await unmount(world, path)
