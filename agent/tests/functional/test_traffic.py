# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is recorded of volumes that consumers make and mount through a front."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from plugind.engine.front import front
from plugind.engine.plugin import enable
from plugind.engine.volume import mounting, volumes
from plugind.model.front import Reply
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from plugind.model.volume import MountRef
from support import fronts
from support.containers import add_image, create
from support.engine import World, until
from support.fronts import PODMAN_ID, Answer

ID = "0123456789ab" + "c" * 52


@pytest.fixture
async def plugin(world: World) -> Plugin:
    return await world.running()


async def ask(world: World, method: str, **arguments: Any) -> Answer:
    """Ask over the wire: this process is the consumer."""
    path = world.engine.fronts["toy:latest"].path
    return await fronts.post(path, f"VolumeDriver.{method}", arguments)


async def say(world: World, process: str, method: str, content: bytes) -> Reply:
    """Ask as another process would."""
    found = world.engine.fronts["toy:latest"]
    return await front.answer(world.engine, found, f"VolumeDriver.{method}", content, process)


def own_name() -> str:
    """What the kernel calls this process."""
    return Path("/proc/self/comm").read_text().strip()


def refs(world: World, name: str = "v") -> tuple[MountRef, ...]:
    return world.engine.volume_store.mounts(name)


def calls(world: World, plugin: Plugin, method: str) -> list[Any]:
    return [body for name, body in world.host.calls(plugin.id) if name.endswith(f".{method}")]


async def test_a_volume_that_was_created_is_on_record(world: World, plugin: Plugin) -> None:
    assert (await ask(world, "Create", Name="v", Opts={"size": "1"})).status == 200
    record = world.engine.volumes["v"]
    assert (record.driver, record.options, record.labels) == ("toy:latest", {"size": "1"}, None)
    assert record.created_at.startswith("2027-")
    assert (await world.actions())[-1] == "volume create"
    await world.reopen()
    assert world.engine.volumes["v"] == record
    assert (await ask(world, "Remove", Name="v")).status == 200
    assert world.engine.volumes == {}
    assert (await world.actions())[-1] == "volume destroy"


async def test_creating_again_keeps_what_the_record_says(world: World, plugin: Plugin) -> None:
    await volumes.create_volume(
        world.engine, name="v", driver="toy", options={"size": "1"}, labels={"l": "1"}
    )
    record = world.engine.volumes["v"]
    assert (await ask(world, "Create", Name="v", Opts={"size": "2"})).status == 200
    assert world.engine.volumes["v"] == record
    world.host.volumes[plugin.id].clear()  # somebody removed it behind our back
    assert (await ask(world, "Create", Name="v", Opts={"size": "2"})).status == 200
    assert world.engine.volumes["v"].options == {"size": "2"}


async def test_a_name_that_another_driver_has_is_refused(world: World, plugin: Plugin) -> None:
    await volumes.create_volume(world.engine, name="vv", driver="local", options=None, labels=None)
    for method in ("Create", "Mount"):
        answer = await ask(world, method, Name="vv", ID=ID)
        assert answer.document == {
            "Err": "create vv: driver 'local' already has volume 'vv': volume name must be unique"
        }
    assert calls(world, plugin, "Create") == calls(world, plugin, "Mount") == []


async def test_a_mount_is_on_record_with_its_consumer(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v")
    mounted = await ask(world, "Mount", Name="v", ID=ID)
    [ref] = refs(world)
    assert ref.holder == f"{own_name()}:0123456789ab"
    assert (ref.id, ref.mountpoint) == (ID, mounted.document["Mountpoint"])
    event = (await world.events())[-1]
    assert event.attributes["container"] == ref.holder
    assert await mounting.holders(world.engine, "v") != []
    await ask(world, "Unmount", Name="v", ID=ID)
    assert refs(world) == ()
    assert (await world.actions())[-1] == "volume unmount"


async def test_podman_s_one_id_is_one_reference(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v")
    for _ in range(2):
        await ask(world, "Mount", Name="v", ID=PODMAN_ID)
    assert len(refs(world)) == 1
    assert len(calls(world, plugin, "Mount")) == 2


async def test_podman_s_one_id_stands_for_each_of_its_volumes(world: World, plugin: Plugin) -> None:
    for name in ("v", "w"):
        await ask(world, "Create", Name=name)
        await ask(world, "Mount", Name=name, ID=PODMAN_ID)
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    async with world.engine.locks.holding("volume:w"):
        world.clock.advance(1)
        await until(lambda: world.entry(plugin).mounted)
    await until(lambda: not world.entry(plugin).replays)
    assert {body["Name"] for body in calls(world, plugin, "Mount")} == {"v", "w"}
    for name in ("v", "w"):
        assert (await ask(world, "Unmount", Name=name, ID=PODMAN_ID)).status == 200
    assert [body["Name"] for body in calls(world, plugin, "Unmount")] == ["v", "w"]
    assert refs(world, "v") == refs(world, "w") == ()


async def test_a_mount_that_failed_leaves_what_was(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v")
    for behaviour in ("fail=VolumeDriver.Mount:busy", "drop=VolumeDriver.Mount"):
        world.host.behave(plugin.id, behaviour)
        assert (await ask(world, "Mount", Name="v", ID=ID)).status == 500
        assert refs(world) == ()
    world.host.behave(plugin.id, "")
    await ask(world, "Mount", Name="v", ID=ID)
    before = refs(world)
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:busy;fail=VolumeDriver.Unmount:busy")
    assert (await ask(world, "Mount", Name="v", ID=ID)).status == 500
    assert (await ask(world, "Unmount", Name="v", ID=ID)).status == 500
    assert refs(world) == before


async def test_a_mount_without_a_mountpoint_is_a_failure(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v")
    world.host.behave(plugin.id, "answer=VolumeDriver.Mount:200:{}")
    answer = await ask(world, "Mount", Name="v", ID=ID)
    assert answer.document == {"Err": "the driver answered no mountpoint"}
    assert refs(world) == ()


async def test_a_volume_that_only_the_driver_knows_gets_a_record_when_mounted(
    world: World, plugin: Plugin
) -> None:
    world.host.volumes[plugin.id]["v"] = {}
    assert (await ask(world, "Get", Name="v")).status == 200
    assert world.engine.volumes == {}
    assert (await ask(world, "Mount", Name="v", ID=ID)).status == 200
    assert world.engine.volumes["v"].driver == "toy:latest"
    assert len(refs(world)) == 1
    answer = await ask(world, "Mount", Name="nobody", ID=ID)
    assert (answer.status, answer.document) == (500, {"Err": "volume nobody not found"})


async def test_what_died_with_the_process_is_not_unmounted_again(
    world: World, plugin: Plugin
) -> None:
    await ask(world, "Create", Name="v")
    await ask(world, "Mount", Name="v", ID=ID)
    await enable.disable(world.engine, "toy", force=True)
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:no;fail=VolumeDriver.Unmount:unknown id")
    await enable.enable(world.engine, "toy", timeout=0)
    assert (await ask(world, "Unmount", Name="v", ID=ID)).status == 200
    assert refs(world) == ()
    assert calls(world, plugin, "Unmount") == []


async def test_a_crash_mounts_again_with_the_consumer_s_id(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v")
    await ask(world, "Mount", Name="v", ID=ID)
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    world.clock.advance(1)
    await until(lambda: calls(world, plugin, "Mount") if world.host.is_running(plugin.id) else 0)
    assert calls(world, plugin, "Mount") == [{"Name": "v", "ID": ID}]


async def activate(world: World) -> Answer:
    return await fronts.post(world.engine.fronts["toy:latest"].path, "Plugin.Activate")


async def test_who_has_mounts_is_activated_after_the_replay(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v")
    await ask(world, "Mount", Name="v", ID=ID)
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    waiting = asyncio.ensure_future(activate(world))
    await until(lambda: world.engine.fronts["toy:latest"].waiting)
    async with world.engine.locks.holding("volume:v"):
        world.clock.advance(1)
        await until(lambda: world.entry(plugin).replays)
        assert world.entry(plugin).state is PluginState.RUNNING
        assert world.engine.fronts["toy:latest"].waiting == 1
    assert (await waiting).document == {"Implements": ["VolumeDriver"]}
    assert world.entry(plugin).mounted == {("v", f"{own_name()}:0123456789ab")}


async def test_activate_waits_for_nobody_who_does_not_come_back(
    world: World, plugin: Plugin
) -> None:
    await ask(world, "Create", Name="v")
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    assert (await activate(world)).status == 200
    world.clock.advance(1)
    await ask(world, "Mount", Name="v", ID=ID)
    await enable.disable(world.engine, "toy", force=True)
    assert (await activate(world)).status == 200


async def test_a_volume_that_others_have_mounted_is_not_removed(
    world: World, plugin: Plugin
) -> None:
    await ask(world, "Create", Name="v")
    await say(world, "dockerd", "Mount", b'{"Name": "v", "ID": "%s"}' % ID.encode())
    reply = await say(world, "podman", "Remove", b'{"Name": "v"}')
    assert reply.status == 500
    assert b"remove v: volume is in use - [dockerd:0123456789ab]" in reply.content
    assert calls(world, plugin, "Remove") == []


async def test_a_volume_that_a_container_needs_is_not_removed(world: World, plugin: Plugin) -> None:
    await add_image(world)
    await ask(world, "Create", Name="v")
    entry = await create(world, "echo", "hi", Binds=["v:/v"])
    reply = await say(world, "podman", "Remove", b'{"Name": "v"}')
    assert f"remove v: volume is in use - [{entry.container.id}]".encode() in reply.content
    assert calls(world, plugin, "Remove") == []


async def test_a_secret_of_a_volume_is_told_to_no_consumer(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v", Opts={"password": "hunter-two"})
    await world.reopen()  # what is known now is the digest
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:login with hunter-two failed")
    answer = await ask(world, "Mount", Name="v", ID=ID)
    assert answer.document == {"Err": "login with ******** failed"}


async def test_a_status_shows_no_secret_to_consumers(world: World, plugin: Plugin) -> None:
    options = {"password": "hunter-two", "user": "hunter-two", "size": "1"}
    await ask(world, "Create", Name="v", Opts=options)
    await world.reopen()
    answer = await ask(world, "Get", Name="v")
    shown = {"password": "********", "user": "********", "size": "1"}
    assert answer.document["Volume"]["Status"] == {"options": shown}


async def test_a_consumer_s_own_left_over_is_the_driver_s_to_judge(
    world: World, plugin: Plugin
) -> None:
    await ask(world, "Create", Name="v")
    await say(world, "podman", "Mount", b'{"Name": "v", "ID": "%s"}' % ID.encode())
    reply = await say(world, "podman", "Remove", b'{"Name": "v"}')
    assert b"volume v is mounted" in reply.content
    assert "v" in world.engine.volumes
    world.host.processes[plugin.id].plugin.mounts.clear()
    assert (await say(world, "podman", "Remove", b'{"Name": "v"}')).is_success
    assert world.engine.volumes == {}


async def test_an_unmount_by_another_process_ends_the_reference_of_that_id(
    world: World, plugin: Plugin
) -> None:
    await ask(world, "Create", Name="v")
    for process in ("podman", "dockerd"):
        await say(world, process, "Mount", b'{"Name": "v", "ID": "%s"}' % ID.encode())
    await say(world, "dockerd", "Unmount", b'{"Name": "v", "ID": "%s"}' % ID.encode())
    assert [ref.holder for ref in refs(world)] == ["podman:0123456789ab"]
    await say(world, "conmon", "Unmount", b'{"Name": "v", "ID": "%s"}' % ID.encode())
    assert refs(world) == ()


async def test_a_volume_that_is_gone_loses_its_record_when_removed(
    world: World, plugin: Plugin
) -> None:
    await ask(world, "Create", Name="v")
    world.host.volumes[plugin.id].clear()
    answer = await ask(world, "Remove", Name="v")
    assert (answer.status, answer.document) == (500, {"Err": "volume v not found"})
    assert world.engine.volumes == {}


@pytest.mark.parametrize(
    "behaviour",
    ["fail=VolumeDriver.Get:backend is away", "drop=VolumeDriver.Get", "garbage", "disabled"],
)
async def test_get_is_answered_from_the_record_if_the_driver_cannot_say(
    world: World, plugin: Plugin, behaviour: str
) -> None:
    await ask(world, "Create", Name="v")
    if behaviour == "disabled":
        await enable.disable(world.engine, "toy", force=True)
    else:
        world.host.behave(plugin.id, behaviour)
    answer = await ask(world, "Get", Name="v")
    created = world.engine.volumes["v"].created_at
    assert answer.document == {
        "Volume": {"Name": "v", "Mountpoint": "", "CreatedAt": created},
        "Err": "",
    }
    other = await ask(world, "Get", Name="w")
    assert other.status == 500


async def test_a_driver_that_cannot_say_lists_what_is_on_record(
    world: World, plugin: Plugin
) -> None:
    world.host.behave(plugin.id, "fail=VolumeDriver.List:backend is away")
    answer = await ask(world, "List")
    assert (answer.status, answer.document) == (500, {"Err": "backend is away"})
    for name in ("b", "a"):
        await ask(world, "Create", Name=name)
    await volumes.create_volume(world.engine, name="vv", driver="local", options=None, labels=None)
    listed = (await ask(world, "List")).document["Volumes"]
    await enable.disable(world.engine, "toy", force=True)
    assert (await ask(world, "List")).document["Volumes"] == listed
    assert [(v["Name"], v["Mountpoint"]) for v in listed] == [("a", ""), ("b", "")]


async def test_a_volume_that_definitely_is_not_there_is_passed_on(
    world: World, plugin: Plugin
) -> None:
    await ask(world, "Create", Name="v")
    world.host.volumes[plugin.id].clear()
    answer = await ask(world, "Get", Name="v")
    assert (answer.status, answer.document) == (500, {"Err": "volume v not found"})
    assert "v" in world.engine.volumes


async def test_a_degraded_agent_only_reads(world: World, plugin: Plugin) -> None:
    await ask(world, "Create", Name="v")
    world.engine.degraded = "install a newer plugind"
    assert (await ask(world, "Get", Name="v")).status == 200
    assert (await ask(world, "List")).status == 200
    answer = await ask(world, "Mount", Name="v", ID=ID)
    assert answer.document == {"Err": "install a newer plugind"}
    assert calls(world, plugin, "Mount") == []


async def test_bodies_are_not_logged(
    world: World, plugin: Plugin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    world.host.behave(plugin.id, "drop=VolumeDriver.Create")
    await ask(world, "Create", Name="v", Opts={"password": "xyzzy"})
    world.host.behave(plugin.id, "")
    await ask(world, "Create", Name="v", Opts={"password": "xyzzy"})
    assert "xyzzy" not in caplog.text
