# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers on a whole engine, with fake processes: their life, what they hold, what is left."""

from __future__ import annotations

import asyncio

import pytest

from plugind import errors
from plugind.engine.container import attach, containers, run
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.volume import references, volumes
from plugind.model.containers.container import Status
from support.containers import add_image, create, ended, holders, nothing_is_held, removed, start
from support.engine import World


@pytest.fixture
async def world(world: World) -> World:
    """A world with the image `box`."""
    await add_image(world)
    return world


# ----------------------------------------------------------------------------------------- its life


async def test_from_create_to_removal(world: World) -> None:
    entry = await create(world, "fail", "3", name="job")
    assert entry.container.state.status is Status.CREATED
    assert await ended(entry) == 0
    waiting = attach.waiting(entry, "next-exit")
    await start(world, entry)
    assert (await waiting).exit_code == 3
    assert entry.container.state.status is Status.EXITED
    assert nothing_is_held(world)
    await start(world, entry)
    assert await ended(entry) == 3
    gone = attach.waiting(entry, "removed")
    await containers.remove_container(world.engine, "job", force=False, volumes=False)
    assert (await gone).exit_code == 3
    assert world.engine.containers.entries == {}
    assert not world.engine.log_path(entry.container.id).exists()
    actions = [event.action for event in await world.events() if event.type == "container"]
    assert actions == ["create", "start", "die", "start", "die", "destroy"]
    die = next(event for event in await world.events() if event.action == "die")
    assert die.attributes == {"image": "box", "name": "job", "exitCode": "3"}


async def test_one_that_is_to_go_goes_when_it_ends(world: World) -> None:
    entry = await create(world, "echo", "hi", AutoRemove=True, Binds=["/anonymous"])
    [anonymous] = world.engine.volumes
    gone = attach.waiting(entry, "removed")
    await start(world, entry)
    assert (await gone).exit_code == 0
    assert world.engine.containers.entries == {}
    assert anonymous not in world.engine.volumes
    assert nothing_is_held(world)
    assert await removed(entry) == 0


async def test_starting_what_runs_is_no_error(world: World) -> None:
    entry = await create(world, "wait")
    await start(world, entry)
    assert not await run.start(world.engine, entry)
    assert await run.stop(world.engine, entry, None)
    assert entry.container.state.exit_code == 143
    assert not await run.stop(world.engine, entry, None)


async def test_what_does_not_stop_is_killed(world: World) -> None:
    entry = await create(world, "stubborn")
    await start(world, entry)
    assert await run.stop(world.engine, entry, 0)
    assert entry.container.state.exit_code == 137


async def test_kill(world: World) -> None:
    entry = await create(world, "wait", name="ww")
    with pytest.raises(errors.Conflict, match="is not running"):
        await run.kill(world.engine, entry, "")
    await start(world, entry)
    await run.kill(world.engine, entry, "HUP")
    assert await ended(entry) == 129
    await start(world, entry)
    with pytest.raises(errors.InvalidParameter, match="invalid signal: x"):
        await run.kill(world.engine, entry, "x")
    with pytest.raises(errors.Conflict, match="container is running"):
        await containers.remove_container(world.engine, "ww", force=False, volumes=False)
    await containers.remove_container(world.engine, "ww", force=True, volumes=False)
    assert nothing_is_held(world)


async def test_an_end_that_cannot_be_recorded_is_an_end_all_the_same(world: World) -> None:
    entry = await create(world, "wait", name="web")
    await start(world, entry)
    record = world.engine.containers.store.dirs(entry.container.id).root / "container.json"
    record.unlink()
    (record / "in the way").mkdir(parents=True)
    await run.kill(world.engine, entry, "")
    assert entry.container.state.exit_code == 137
    await containers.remove_container(world.engine, "web", force=False, volumes=False)
    assert nothing_is_held(world)


# ------------------------------------------------------------------------------------- what it holds


async def test_volumes_are_created_held_and_given_back(world: World) -> None:
    await world.running("toy")
    entry = await create(world, "wait", Binds=["vol:/data"], VolumeDriver="toy")
    assert world.engine.volumes["vol"].driver == "toy:latest"
    assert holders(world, "vol") == []
    await start(world, entry)
    assert holders(world, "vol") == [entry.container.id]
    [mount] = [
        mount
        for mount in world.container_machine.specs[entry.container.id]["mounts"]
        if mount["destination"] == "/data"
    ]
    # The runtime gets a place of ours, which is taken away as soon as it has what is there.
    dirs = world.engine.containers.store.dirs(entry.container.id)
    assert mount["source"] == str(dirs.volumes / "0")
    assert world.container_machine.shown == {}
    shown = await containers.inspect_container(world.engine, entry.container.id)
    assert shown["Mounts"][0]["Source"].endswith("/propagated-mount/vol")
    for attempt in ("runs", "ended"):
        with pytest.raises(errors.Conflict, match=rf"volume is in use - \[{entry.container.id}\]"):
            await volumes.remove_volume(world.engine, "vol", force=False)
        if attempt == "runs":
            [plugin] = [one.plugin for one in world.engine.entries.values()]
            with pytest.raises(errors.Conflict, match=f"mounted by {entry.container.id[:12]}"):
                await references.require_unused(world.engine, plugin)
            await run.stop(world.engine, entry, None)
    assert holders(world, "vol") == []
    await containers.remove_container(world.engine, entry.container.id, force=False, volumes=True)
    await volumes.remove_volume(world.engine, "vol", force=False)


async def test_an_empty_volume_gets_what_the_image_has_there(world: World) -> None:
    entry = await create(world, "wait", Binds=["vol:/etc", "wol:/etc2", "nol:/etc3:nocopy"])
    [(content, volume)] = world.container_machine.copied
    assert content.name == "etc"
    assert volume == world.engine.volume_store.data_dir("vol")
    assert nothing_is_held(world)
    assert entry.container.volumes == ("vol", "wol", "nol")


async def test_options_of_a_volume_are_kept_nowhere_but_with_the_volume(world: World) -> None:
    plugin = await world.running("toy")
    driver = {"Name": "toy", "Options": {"password": "planted", "size": "1"}}
    mount = {
        "Type": "volume",
        "Source": "vol",
        "Target": "/data",
        "VolumeOptions": {"DriverConfig": driver},
    }
    entry = await create(world, "wait", Mounts=[mount])
    create_call = [body for name, body in world.host.calls(plugin.id) if name.endswith(".Create")]
    assert create_call == [{"Name": "vol", "Opts": driver["Options"]}]
    record = world.engine.containers.store.dirs(entry.container.id).root / "container.json"
    shown = await containers.inspect_container(world.engine, entry.container.id)
    assert "planted" not in record.read_text() + str(shown)


async def test_a_failed_create_leaves_no_volume_that_nobody_named(world: World) -> None:
    with pytest.raises(errors.NotFound, match="nosuch"):
        await create(world, "wait", Binds=["/anon", "vol:/data"], VolumeDriver="nosuch")
    mounts = [
        {"Type": "volume", "Target": "/a"},
        {"Type": "volume", "Source": "vol", "Target": "/v",
         "VolumeOptions": {"DriverConfig": {"Name": "nosuch"}}},
    ]  # fmt: skip
    with pytest.raises(errors.NotFound, match="nosuch"):
        await create(world, "wait", Mounts=mounts)
    assert world.engine.volumes == {}
    assert world.engine.containers.entries == {}


async def test_the_source_of_a_mount_must_exist_and_that_of_a_bind_is_made(world: World) -> None:
    mount = {"Type": "bind", "Source": "/missing", "Target": "/x"}
    with pytest.raises(errors.InvalidParameter, match="does not exist: /missing"):
        await create(world, "wait", Mounts=[mount])
    entry = await create(world, "echo", Binds=["/missing:/x"])
    await start(world, entry)
    assert "/missing" in world.container_machine.sources
    assert await ended(entry) == 0


# -------------------------------------------------------------------------------- what cannot start


async def test_a_program_that_is_not_there(world: World) -> None:
    entry = await create(world, "missing", Binds=["vol:/data"])
    attached = asyncio.create_task(listen(entry))
    await asyncio.sleep(0)
    waiting = attach.waiting(entry, "next-exit")
    with pytest.raises(errors.InvalidParameter, match="executable file not found in") as caught:
        await run.start(world.engine, entry)
    assert "OCI runtime create failed" in str(caught.value)
    assert (await waiting).exit_code == 127
    assert await attached == b""
    assert entry.container.state.status is Status.CREATED
    assert entry.container.state.error == str(caught.value)
    assert nothing_is_held(world)


async def test_one_that_is_to_go_goes_also_if_it_cannot_start(world: World) -> None:
    entry = await create(world, "missing", AutoRemove=True)
    gone = attach.waiting(entry, "removed")
    with pytest.raises(errors.InvalidParameter):
        await run.start(world.engine, entry)
    assert (await gone).exit_code == 127
    with pytest.raises(errors.NotFound, match="No such container"):
        await run.start(world.engine, entry)


async def test_a_start_that_fails_in_the_middle_is_unwound(world: World) -> None:
    entry = await create(world, "wait", Binds=["vol:/data"], User="nobody-knows")
    with pytest.raises(errors.InvalidParameter, match="unable to find user"):
        await run.start(world.engine, entry)
    assert nothing_is_held(world)
    assert entry.container.state.exit_code == 128


async def listen(entry: ContainerEntry) -> bytes:
    async with entry.hub.attached() as pieces:
        return b"".join([data async for _, data in pieces])


# ------------------------------------------------------------------------- finding, listing, pruning


async def test_names_are_unique_and_given_to_those_without(world: World) -> None:
    entry = await create(world, "wait", name="web")
    taken = f'"/web" is already in use by container "{entry.container.id}"'
    with pytest.raises(errors.Conflict, match=taken):
        await create(world, "wait", name="web")
    other = await create(world, "wait")
    assert other.container.name
    for text in (entry.container.id, entry.container.id[:9], "web", "/web"):
        assert containers.find_container(world.engine, text) is entry
    for text in ("", "nosuch"):
        with pytest.raises(errors.NotFound, match=f"No such container: {text}"):
            containers.find_container(world.engine, text)


async def test_listing(world: World) -> None:
    first = await create(world, "echo", name="first", Labels={"a": "b"}, Binds=["vol:/data"])
    second = await create(world, "wait", name="second")
    await start(world, second)

    async def names(*, everything: bool = True, limit: int = 0, **filters: str) -> list[str]:
        wanted = {key.rstrip("_"): frozenset({value}) for key, value in filters.items()}
        found = await containers.list_containers(
            world.engine, everything=everything, limit=limit, filters=wanted
        )
        return [one["Names"][0][1:] for one in found]

    assert await names() == ["second", "first"]
    assert await names(everything=False) == ["second"]
    assert await names(limit=1) == ["second"]
    assert await names(everything=False, status="created") == ["first"]
    assert await names(name="fir") == await names(label="a=b") == ["first"]
    assert await names(volume="vol") == await names(volume="/data") == ["first"]
    assert await names(id=second.container.id[:5]) == ["second"]
    assert await names(ancestor="box") == ["second", "first"]
    assert await names(ancestor="other") == await names(exited="3") == []
    assert containers.counts(world.engine) == {
        "Containers": 2,
        "ContainersRunning": 1,
        "ContainersPaused": 0,
        "ContainersStopped": 1,
    }
    gone, _ = await containers.prune_containers(world.engine, {})
    assert gone == [first.container.id]
    assert await names() == ["second"]
