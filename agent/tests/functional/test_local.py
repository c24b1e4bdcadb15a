# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The driver `local`, and what prune takes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from plugind import errors
from plugind.engine.volume import mounting, volumes
from support import invariants
from support.engine import World

NFS = {"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1"}


async def make(world: World, name: str, **more: Any) -> dict[str, Any]:
    arguments = {"options": None, "labels": None, "driver": "local", **more}
    return await volumes.create_volume(world.engine, name=name, **arguments)


async def test_a_local_volume_is_a_directory(world: World) -> None:
    await make(world, "data")
    shown = await volumes.inspect_volume(world.engine, "data")
    data = world.engine.volume_store.data_dir("data")
    assert shown["Mountpoint"] == str(data)
    assert data.is_dir()
    assert "Status" not in shown
    await volumes.remove_volume(world.engine, "data", force=False)
    assert not data.exists()
    assert invariants.load_volumes(world.layout.root) == {}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x", None, "create x: volume name is too short, names should be at least two alpha"),
        ("a/b", None, 'create a/b: "a/b" includes invalid characters for a local volume name'),
        ("-ab", None, 'create -ab: "-ab" includes invalid characters'),
        ("ab", {"x": "1"}, 'create ab: invalid option: "x"'),
        ("ab", {"type": "nfs"}, 'create ab: missing required option: "device"'),
        ("ab", {"device": ":/x"}, 'create ab: missing required option: "type"'),
    ],
)
async def test_names_and_options_are_checked_as_by_docker(
    world: World, name: str, options: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(errors.InvalidParameter, match=f"^{re.escape(message)}"):
        await make(world, name, options=options)
    assert invariants.load_volumes(world.layout.root) == {}


async def test_a_size_is_refused_instead_of_ignored(world: World) -> None:
    with pytest.raises(errors.Unsupported, match='option "size" needs project quotas'):
        await make(world, "ab", options={"size": "1G"})


async def test_options_are_mounted_at_the_first_use_and_unmounted_after_the_last(
    world: World,
) -> None:
    await make(world, "ab", options=NFS)
    target = world.engine.volume_store.data_dir("ab")
    assert world.machine.mounts == {}
    assert await mounting.mount_volume(world.engine, "ab", "one") == str(target)
    await mounting.mount_volume(world.engine, "ab", "two")
    assert world.machine.mounts == {target: NFS}
    await mounting.unmount_volume(world.engine, "ab", "one")
    assert world.machine.mounts == {target: NFS}
    await mounting.unmount_volume(world.engine, "ab", "two")
    assert world.machine.mounts == {}


async def test_a_mount_that_fails_leaves_no_holder(world: World) -> None:
    await make(world, "ab", options=NFS)
    world.machine.refuse_mounts = "cannot mount: no route to host"
    with pytest.raises(errors.System, match=r"cannot mount volume ab: .*no route to host"):
        await mounting.mount_volume(world.engine, "ab", "one")
    assert await mounting.holders(world.engine, "ab") == []


async def test_prune_takes_anonymous_local_volumes_that_nobody_uses(world: World) -> None:
    await world.running()
    anonymous = (await make(world, "", driver=""))["Name"]
    used = (await make(world, "", driver=""))["Name"]
    await mounting.mount_volume(world.engine, used, "holder")
    await make(world, "named")
    await make(world, "with-options", options=NFS)
    await make(world, "elsewhere", driver="toy")
    (world.engine.volume_store.data_dir(anonymous) / "file").write_bytes(b"x" * 100)
    (world.engine.volume_store.data_dir("named") / "file").write_bytes(b"x" * 11)
    assert await prune(world) == ([anonymous], 100)
    event = (await world.events())[-1]
    assert (event.action, event.id, event.attributes["reclaimed"]) == ("prune", "", "100")
    assert await prune(world, everything=True) == (["named"], 11)
    left = sorted(invariants.load_volumes(world.layout.root))
    assert left == sorted([used, "with-options", "elsewhere"])


async def test_prunes_at_the_same_time_take_each_volume_once(world: World) -> None:
    made = [(await make(world, "", driver=""))["Name"] for _ in range(4)]
    first, second = await asyncio.gather(prune(world), prune(world))
    assert sorted(first[0] + second[0]) == sorted(made)


async def test_prune_gets_past_references_that_cannot_be_read(world: World) -> None:
    broken, fine = sorted([(await make(world, "", driver=""))["Name"] for _ in range(2)])
    (world.layout.volume_dir(broken) / "mounts.json").write_text("[{")
    await world.reopen()
    assert (await prune(world))[0] == [fine]
    assert set(world.engine.volumes) == {broken}


async def test_prune_goes_by_labels(world: World) -> None:
    for name, labels in (("v1", {"keep": "1"}), ("v2", {"keep": "2"}), ("v3", {})):
        await make(world, name, labels=labels)
    removed, _ = await prune(world, everything=True, labels=frozenset({"keep=2"}))
    assert removed == ["v2"]
    removed, _ = await prune(world, everything=True, without_labels=frozenset({"keep"}))
    assert removed == ["v3"]


async def prune(world: World, **filters: Any) -> tuple[list[str], int]:
    nothing: dict[str, Any] = {
        "everything": False, "labels": frozenset(), "without_labels": frozenset(),
    }  # fmt: skip
    return await volumes.prune_volumes(world.engine, **(nothing | filters))
