# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One try whether a plugin serves: what counts, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from plugind import errors
from plugind.engine.declaration import probe
from plugind.engine.plugin import configure, enable
from plugind.engine.volume import volumes
from plugind.model.plugin import Plugin
from plugind.model.verify import PROBE_VOLUME, Verify
from support import invariants
from support.engine import World, until

ACTIVATE = Verify(timeout=20)
VOLUME = Verify(volume={}, timeout=20)


async def require_nothing_left(world: World, plugin: Plugin) -> None:
    """Assert that neither list, records, the driver nor the disk know a probe volume."""
    listed, _ = await volumes.list_volumes(world.engine)
    assert [volume["Name"] for volume in listed] == []
    assert invariants.load_volumes(world.layout.root) == {}
    assert world.host.volumes[plugin.id] == {}
    assert world.entry(plugin).mounted == set()
    mounted = world.layout.propagated_mount(plugin.id)
    assert [files for _, _, files in os.walk(mounted) if files] == []
    invariants.check(world.layout.root)


def calls(world: World, plugin: Plugin) -> list[str]:
    return [method.rpartition(".")[2] for method, _ in world.host.calls(plugin.id)]


async def test_a_driver_that_serves_is_used_from_creation_to_removal(world: World) -> None:
    plugin = await world.running()
    world.host.calls(plugin.id).clear()
    await probe.probe(world.engine, "toy", VOLUME)
    called = calls(world, plugin)
    assert called[0] == "List"
    wanted = ["Create", "Mount", "Unmount", "Remove"]
    assert [name for name in called if name in wanted] == wanted
    await require_nothing_left(world, plugin)


async def test_its_socket_alone_is_asked_without_a_volume(world: World) -> None:
    plugin = await world.running()
    world.host.calls(plugin.id).clear()
    await probe.probe(world.engine, "toy", ACTIVATE)
    assert calls(world, plugin) == ["List"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("fail=VolumeDriver.List:no backend", "no backend"),
        ("garbage", "not JSON"),
        ("drop=VolumeDriver.List", "without an answer"),
        ("hang=VolumeDriver.List", "no answer within 0.1 s"),
    ],
)
async def test_a_volume_driver_has_to_list(world: World, behaviour: str, words: str) -> None:
    plugin = await world.running()
    world.host.behave(plugin.id, behaviour)
    with pytest.raises(errors.PlugindError, match=words):
        await probe.probe(world.engine, "toy", Verify(timeout=0.1 if "hang" in behaviour else 20))


@pytest.mark.parametrize("behaviour", ["garbage", "fail=Plugin.Activate:odd", ""])
async def test_what_else_a_plugin_says_is_no_matter(world: World, behaviour: str) -> None:
    interface = {"types": ["docker.logdriver/1.0"], "socket": "plugin.sock"}
    plugin = await world.running(interface=interface)
    world.host.behave(plugin.id, behaviour)
    await probe.probe(world.engine, "toy", ACTIVATE)
    world.host.behave(plugin.id, "drop=Plugin.Activate")
    with pytest.raises(errors.Unavailable, match=r"Plugin\.Activate"):
        await probe.probe(world.engine, "toy", ACTIVATE)


async def test_of_another_protocol_is_known_only_that_somebody_listens(world: World) -> None:
    interface = {
        "types": ["docker.csicontroller/1.0"], "socket": "plugin.sock", "protocolScheme": "grpc"
    }  # fmt: skip
    plugin = await world.running(interface=interface)
    await probe.probe(world.engine, "toy", ACTIVATE)
    assert world.host.calls(plugin.id) == []


async def test_a_plugin_that_does_not_run_fails_at_once(world: World) -> None:
    plugin = await world.running()
    world.host.kill(plugin.id)
    await until(lambda: world.entry(plugin).container is None)
    with pytest.raises(errors.Unavailable, match="toy:latest is backoff: it exited with status"):
        await probe.probe(world.engine, "toy", ACTIVATE)
    await enable.disable(world.engine, "toy", force=True)
    with pytest.raises(errors.Unavailable, match="plugin toy:latest is disabled"):
        await probe.probe(world.engine, "toy", ACTIVATE)
    with pytest.raises(errors.NotFound):
        await probe.probe(world.engine, "nobody", ACTIVATE)


async def test_a_volume_of_who_serves_none_cannot_be_meant(world: World) -> None:
    await world.running(interface={"types": ["docker.logdriver/1.0"], "socket": "plugin.sock"})
    with pytest.raises(errors.Unsupported, match="serves no volumes"):
        await probe.probe(world.engine, "toy", VOLUME)


@pytest.mark.parametrize("method", ["Create", "Mount", "Unmount"])
async def test_whatever_fails_everything_is_cleared_away(world: World, method: str) -> None:
    plugin = await world.running()
    world.host.behave(plugin.id, f"fail=VolumeDriver.{method}:the backend is away")
    with pytest.raises(errors.System, match=r"probe volume: .*the backend is away"):
        await probe.probe(world.engine, "toy", VOLUME)
    if method == "Unmount":  # the driver has it mounted all the same, and then refuses
        world.host.volumes[plugin.id].clear()
    await require_nothing_left(world, plugin)


async def test_what_cannot_be_cleared_away_is_said(world: World) -> None:
    plugin = await world.running()
    world.host.behave(plugin.id, "fail=VolumeDriver.Remove:it is stuck")
    with pytest.raises(errors.System, match="it is stuck; cleared the record of volume plug"):
        await probe.probe(world.engine, "toy", VOLUME)
    assert invariants.load_volumes(world.layout.root) == {}
    # The next probe of the plugin finds it, by its name.
    world.host.behave(plugin.id, "")
    await probe.probe(world.engine, "toy", ACTIVATE)
    await require_nothing_left(world, plugin)


async def test_volumes_of_other_hosts_probes_are_left_alone(world: World) -> None:
    plugin = await world.running()
    theirs = f"{PROBE_VOLUME}0011223344556677"
    world.host.volumes[plugin.id] = {theirs: {}}
    await probe.probe(world.engine, "toy", VOLUME)
    assert list(world.host.volumes[plugin.id]) == [theirs]


async def test_a_mount_that_is_not_there_fails(world: World) -> None:
    plugin = await world.running()
    world.host.behave(plugin.id, 'answer=VolumeDriver.Mount:200:{"Mountpoint": "/elsewhere/v"}')
    with pytest.raises(errors.System, match=r'cannot open ".*/elsewhere/v": No such file'):
        await probe.probe(world.engine, "toy", VOLUME)
    await require_nothing_left(world, plugin)


@pytest.mark.parametrize("method", ["Create", "Mount", "Unmount", "Remove"])
async def test_a_driver_that_hangs_is_cleared_up_after_when_it_answers(
    world: World, method: str
) -> None:
    plugin = await world.running()
    world.host.behave(plugin.id, f"wait=VolumeDriver.{method}")
    world.engine.options = replace(world.options, clearing_timeout=0.01)
    with pytest.raises(errors.Unavailable, match=r"it was not done within 0\.2 s; volume plug"):
        await probe.probe(world.engine, "toy", Verify(volume={}, activate=False, timeout=0.2))
    world.host.behave(plugin.id, "")
    world.host.processes[plugin.id].plugin.go_on()
    await until(lambda: not world.engine.background)
    await require_nothing_left(world, plugin)


async def test_who_gives_up_leaves_nothing(world: World) -> None:
    plugin = await world.running()
    driver = world.host.processes[plugin.id].plugin
    driver.behaviour = "wait=VolumeDriver.Mount"
    probing = asyncio.ensure_future(probe.probe(world.engine, "toy", VOLUME))
    await until(lambda: driver.waiting)
    probing.cancel()
    await asyncio.wait([probing])
    driver.go_on()
    await until(lambda: not world.engine.background)
    await require_nothing_left(world, plugin)


async def test_a_probe_volumes_secrets_are_no_more_shown_than_others(world: World) -> None:
    plugin = await world.running()
    options = {"password": "opensesame", "fs": "x"}
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:cannot log in with opensesame")
    with pytest.raises(errors.System) as caught:
        await probe.probe(world.engine, "toy", Verify(volume=options, timeout=20))
    assert "opensesame" not in str(caught.value)
    assert ("VolumeDriver.Create", options) in [
        (method, body.get("Opts")) for method, body in world.host.calls(plugin.id)
    ]


async def test_what_a_kill_left_on_record_goes_at_the_next_boot(world: World) -> None:
    plugin = await world.running()
    driver = world.host.processes[plugin.id].plugin
    driver.behaviour = "wait=VolumeDriver.Unmount"
    probing = asyncio.ensure_future(probe.probe(world.engine, "toy", VOLUME))
    await until(lambda: driver.waiting)
    await world.drop()
    driver.behaviour = ""
    await world.open()
    await until(lambda: not world.engine.background)
    await require_nothing_left(world, plugin)
    probing.cancel()
    await asyncio.wait([probing])


async def test_unverified_is_kept(world: World) -> None:
    plugin = await world.running()
    for flag in (True, True, False):
        await configure.mark_unverified(world.engine, "toy", flag)
        assert world.entry(plugin).plugin.unverified is flag
        assert world.engine.plugin_store.load(plugin.id).unverified is flag
