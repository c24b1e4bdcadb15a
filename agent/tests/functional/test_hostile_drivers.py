# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Drivers whose answers are well-formed, and meant badly: nothing but their own volumes suffers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plugind import errors
from plugind.engine.front import front
from plugind.engine.volume import mounting, volumes
from plugind.model.plugin import Plugin
from support.engine import World

ID = "0123456789ab" + "c" * 52


@pytest.fixture
async def plugin(world: World) -> Plugin:
    found = await world.running()
    await volumes.create_volume(
        world.engine, name="precious", driver="local", options=None, labels=None
    )
    return found


def answer(world: World, plugin: Plugin, method: str, text: str) -> None:
    world.host.behave(plugin.id, f"answer=VolumeDriver.{method}:200:{text}")


async def listed(world: World, **filters: Any) -> tuple[list[str], list[str]]:
    found, warnings = await volumes.list_volumes(world.engine, **filters)
    return [volume["Name"] for volume in found], warnings


@pytest.mark.parametrize("way", ["native", "front"])
async def test_an_answer_about_another_volume_changes_no_record_of_it(
    world: World, plugin: Plugin, way: str
) -> None:
    record = world.engine.volumes["precious"]
    world.host.volumes[plugin.id]["v"] = {}
    answer(world, plugin, "Get", '{"Volume": {"Name": "precious"}}')
    if way == "native":
        assert await mounting.mount_volume(world.engine, "v", "web")
    else:
        content = json.dumps({"Name": "v", "ID": ID}).encode()
        found = world.engine.fronts["toy:latest"]
        reply = await front.answer(world.engine, found, "VolumeDriver.Mount", content, "podman")
        assert reply.is_success, reply.content
    assert world.engine.volumes["precious"] == record
    assert world.engine.volumes["v"].driver == "toy:latest"
    assert len(world.engine.volume_store.mounts("v")) == 1
    assert (await volumes.inspect_volume(world.engine, "v"))["Name"] == "v"


async def mount(world: World, way: str) -> str:
    """Mount the volume `v` for somebody outside; return its path."""
    if way == "native":
        return await mounting.mount_for_client(world.engine, "v", "web")
    content = json.dumps({"Name": "v", "ID": ID}).encode()
    found = world.engine.fronts["toy:latest"]
    reply = await front.answer(world.engine, found, "VolumeDriver.Mount", content, "podman")
    answer = json.loads(reply.content)
    if not reply.is_success:
        raise errors.System(answer["Err"])
    return str(answer["Mountpoint"])


@pytest.mark.parametrize("way", ["native", "front"])
async def test_who_is_outside_gets_a_path_without_links(
    world: World, plugin: Plugin, way: str
) -> None:
    world.host.volumes[plugin.id]["v"] = {}
    path = str(world.layout.propagated_mount(plugin.id) / "v")
    world.machine.links[path] = f"{path}-itself"
    assert await mount(world, way) == f"{path}-itself"
    # What the driver said is what is on record, because it may say it again.
    [ref] = world.engine.volume_store.mounts("v")
    assert ref.mountpoint == path


@pytest.mark.parametrize("way", ["native", "front"])
async def test_a_path_that_leads_nowhere_is_given_back(
    world: World, plugin: Plugin, way: str
) -> None:
    world.host.volumes[plugin.id]["v"] = {}
    path = str(world.layout.propagated_mount(plugin.id) / "v")
    world.machine.links[path] = ""
    with pytest.raises(errors.System, match=f'cannot open "{path}"'):
        await mount(world, way)
    assert world.engine.volume_store.mounts("v") == ()
    called = [method for method, _ in world.host.calls(plugin.id)]
    assert called.count("VolumeDriver.Unmount") == called.count("VolumeDriver.Mount") == 1
    if way == "front":
        world.host.behave(plugin.id, "fail=VolumeDriver.Unmount:busy")
        with pytest.raises(errors.System, match="and it is left mounted: busy"):
            await mount(world, way)


async def test_a_failure_takes_nothing_from_who_holds_the_volume_already(
    world: World, plugin: Plugin
) -> None:
    world.host.volumes[plugin.id]["v"] = {}
    path = await mount(world, "native")
    world.machine.links[path] = ""
    with pytest.raises(errors.System, match="cannot mount volume v: cannot open"):
        await mount(world, "native")
    assert [ref.holder for ref in world.engine.volume_store.mounts("v")] == ["web"]


@pytest.mark.parametrize("mountpoint", ["/data/../../etc", "/data/a\\u0000b"])
async def test_a_path_that_means_something_else_hides_no_volume(
    world: World, plugin: Plugin, mountpoint: str
) -> None:
    answer(
        world, plugin, "List",
        f'{{"Volumes": [{{"Name": "bad", "Mountpoint": "{mountpoint}"}}, {{"Name": "good"}}]}}',
    )  # fmt: skip
    names, warnings = await listed(world)
    assert names == ["bad", "good", "precious"]
    [warning] = warnings
    assert warning.startswith("list toy:latest: driver answered mountpoint ")
    world.host.volumes[plugin.id]["v"] = {}
    answer(world, plugin, "Mount", f'{{"Mountpoint": "{mountpoint}"}}')
    with pytest.raises(errors.System, match="driver answered mountpoint"):
        await mounting.mount_volume(world.engine, "v", "web")
    assert world.engine.volume_store.mounts("v") == ()


async def test_a_status_without_bottom_hides_no_volume(world: World, plugin: Plugin) -> None:
    deep = '{"a": ' * 600 + "1" + "}" * 600
    answer(world, plugin, "List", f'{{"Volumes": [{{"Name": "v", "Status": {deep}}}]}}')
    names, warnings = await listed(world)
    assert (names, warnings) == (["precious", "v"], [])
    answer(world, plugin, "Get", f'{{"Volume": {{"Name": "v", "Status": {deep}}}}}')
    status = (await volumes.inspect_volume(world.engine, "v"))["Status"]
    assert json.dumps(status).endswith('{"a": "********"' + "}" * 100)


async def test_a_name_that_is_no_text_hides_no_volume(world: World, plugin: Plugin) -> None:
    answer(world, plugin, "List", '{"Volumes": [{"Name": "a\\ud800"}]}')
    assert (await listed(world, dangling=True))[0] == ["a?", "precious"]
