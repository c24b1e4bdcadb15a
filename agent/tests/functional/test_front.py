# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Front sockets: what Podman and a real dockerd see of a plugin, on the wire."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from plugind.engine import context
from plugind.engine.front import front
from plugind.engine.plugin import enable, install, remove, upgrade
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from support import fronts
from support.engine import OPTIONS, World, until
from support.fronts import DOCKERD, PODMAN, Answer


def front_of(world: World, name: str = "toy:latest") -> Path:
    return Path(world.engine.fronts[name].path)


async def ask(world: World, method: str, body: Any = None, **more: Any) -> Answer:
    return await fronts.post(front_of(world), method, body, **more)


def methods(world: World, plugin: Plugin) -> list[str]:
    return [name for name, _ in world.host.calls(plugin.id)]


def interface(*types: str, scheme: str = "") -> dict[str, Any]:
    return {"types": list(types), "socket": "plugin.sock", "protocolScheme": scheme}


@pytest.fixture
async def plugin(world: World) -> Plugin:
    return await world.running()


# -------------------------------------------------------------------------------------- the path


async def test_a_front_is_there_from_install_to_remove_at_the_same_path(world: World) -> None:
    plugin = await world.install(world.publish(), "acme/toy")
    path = front_of(world, "acme/toy:latest")
    assert path == world.layout.run / "fronts" / "acme" / "toy:latest.sock"
    number = path.stat().st_ino
    await enable.enable(world.engine, "acme/toy", timeout=0)
    await enable.disable(world.engine, "acme/toy", force=False)
    await upgrade.upgrade(
        world.engine,
        "acme/toy",
        world.publish("toy", "v2"),
        accepted=(),
        credentials=None,
        progress=world.lines.append,
    )
    assert path.stat().st_ino == number
    await world.reopen()
    assert front_of(world, "acme/toy:latest") == path
    assert (await fronts.post(path, "Plugin.Activate")).status == 200
    await remove.remove(world.engine, plugin.id, force=False)
    assert list((world.layout.run / "fronts").iterdir()) == []
    assert world.engine.fronts == {}


async def test_sockets_and_directories_are_root_s_alone(world: World) -> None:
    await world.install(world.publish(), "registry.example:5000/acme/toy:v1")
    path = front_of(world, "registry.example:5000/acme/toy:v1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert {p.stat().st_mode & 0o777 for p in (path.parent, path.parents[2])} == {0o700}


async def test_sockets_of_plugins_that_are_gone_are_swept_at_boot(world: World) -> None:
    plugin = await world.install(world.publish(), "acme/toy")
    await world.drop()
    world.engine.plugin_store.remove(plugin.id)
    await world.open()
    assert list((world.layout.run / "fronts").iterdir()) == []


async def test_a_front_that_cannot_be_opened_fails_nothing_else(world: World) -> None:
    (world.layout.run / "fronts").write_text("in the way")
    await world.running()
    assert world.engine.fronts == {}


# ----------------------------------------------------------------------------------- the protocol


async def test_activate_is_answered_from_the_config_whatever_the_plugin_does(world: World) -> None:
    types = ("docker.volumedriver/1.0", "docker.authz/1.0", "docker.portmapper/1.0")
    plugin = await world.install(world.publish(interface=interface(*types)), "toy")
    for _ in range(2):
        answer = await ask(world, "Plugin.Activate")
        assert answer.document == {"Implements": ["VolumeDriver", "authz"]}
        if not world.entry(plugin).plugin.enabled:
            await enable.enable(world.engine, "toy", timeout=0)
    assert methods(world, plugin) == []


@pytest.mark.parametrize("headers", [DOCKERD, PODMAN, "", "Host:\r\n", "Content-Type: y/z\r\n"])
async def test_no_header_is_insisted_on(world: World, plugin: Plugin, headers: str) -> None:
    assert (await ask(world, "VolumeDriver.List", headers=headers)).document["Volumes"] == []


async def test_methods_without_arguments_take_an_empty_body(world: World, plugin: Plugin) -> None:
    for body in (b"", b"\n", b"{}", b"{}\n"):
        assert (await ask(world, "VolumeDriver.List", body)).status == 200
        assert (await ask(world, "VolumeDriver.Capabilities", body)).status == 200
    # The plugin gets what dockerd would send.
    assert "content-length: 3" in world.host.processes[plugin.id].plugin.headers[0].lower()


@pytest.mark.parametrize("method", ["Create", "Get", "Mount", "Unmount", "Remove", "Path"])
async def test_an_empty_body_where_arguments_are_due_is_refused(
    world: World, plugin: Plugin, method: str
) -> None:
    answer = await ask(world, f"VolumeDriver.{method}", b"")
    assert (answer.status, answer.document) == (
        400,
        {"Err": f"VolumeDriver.{method}: the request has no body"},
    )
    assert methods(world, plugin) == []
    assert world.engine.volumes == {}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"Name": ""}', b'{"Name": 1}', b'{"Opts": {}}'])
async def test_a_body_that_names_no_volume_is_refused(
    world: World, plugin: Plugin, body: bytes
) -> None:
    assert (await ask(world, "VolumeDriver.Create", body)).status == 400
    assert methods(world, plugin) == []


async def test_what_is_no_post_is_refused(world: World, plugin: Plugin) -> None:
    assert (await ask(world, "VolumeDriver.List", verb="GET")).status == 405


async def test_a_body_without_end_is_refused(world: World, plugin: Plugin) -> None:
    answer = await ask(world, "VolumeDriver.Create", b"x" * ((32 << 20) + 1))
    assert answer.status == 413


async def test_a_connection_is_kept_for_the_next_request(world: World, plugin: Plugin) -> None:
    reader, writer = await fronts.connect(front_of(world))
    for _ in range(3):
        writer.write(b"POST /VolumeDriver.List HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}")
        assert (await fronts.read(reader)).status == 200
    writer.close()


async def test_paths_are_the_host_s(world: World, plugin: Plugin) -> None:
    data = world.layout.propagated_mount(plugin.id) / "v"
    await ask(world, "VolumeDriver.Create", {"Name": "v"})
    mounted = await ask(world, "VolumeDriver.Mount", {"Name": "v", "ID": "a" * 64})
    assert mounted.document == {"Mountpoint": str(data), "Err": ""}
    assert data.is_dir()
    path = await ask(world, "VolumeDriver.Path", {"Name": "v"})
    assert path.document["Mountpoint"] == str(data)
    got = await ask(world, "VolumeDriver.Get", {"Name": "v"})
    listed = await ask(world, "VolumeDriver.List", {})
    assert got.document["Volume"] == listed.document["Volumes"][0]
    assert got.document["Volume"]["Mountpoint"] == str(data)
    assert got.document["Volume"]["CreatedAt"] == "2026-01-02T03:04:05Z"


async def test_a_path_that_climbs_is_an_error(world: World, plugin: Plugin) -> None:
    world.host.behave(plugin.id, 'answer=VolumeDriver.Path:200:{"Mountpoint": "/data/../../etc"}')
    answer = await ask(world, "VolumeDriver.Path", {"Name": "v"})
    assert answer.status == 500
    assert "climbs" in answer.document["Err"]


@pytest.mark.parametrize(
    ("behaviour", "status", "document"),
    [
        ("fail=VolumeDriver.Create:disk full", 500, {"Err": "disk full"}),
        ("answer=VolumeDriver.Create:500:disk full\n", 500, {"Err": "disk full"}),
        ('answer=VolumeDriver.Create:400:{"Err": "bad"}', 400, {"Err": "bad"}),
        ('answer=VolumeDriver.Create:200:{"err": "low"}', 500, {"Err": "low"}),
        ("answer=VolumeDriver.Create:404:", 404, {"Err": "status 404"}),
    ],
)
async def test_every_error_of_a_volume_driver_is_one_for_podman(
    world: World, plugin: Plugin, behaviour: str, status: int, document: dict[str, Any]
) -> None:
    world.host.behave(plugin.id, behaviour)
    answer = await ask(world, "VolumeDriver.Create", {"Name": "v"}, headers=PODMAN)
    assert (answer.status, answer.document) == (status, document)
    assert world.engine.volumes == {}


async def test_a_plugin_that_drops_the_connection_is_an_answer(
    world: World, plugin: Plugin
) -> None:
    world.host.behave(plugin.id, "drop=VolumeDriver.Create")
    answer = await ask(world, "VolumeDriver.Create", {"Name": "v"})
    assert answer.status == 500
    assert "closed the connection without an answer" in answer.document["Err"]
    assert methods(world, plugin).count("VolumeDriver.Create") == 1


async def test_other_interfaces(world: World) -> None:
    kinds = ("networkdriver", "ipamdriver", "authz", "secretprovider")
    types = [f"docker.{kind}/1.0" for kind in kinds]
    answers = (
        "NetworkDriver.GwAllocCheck:404:404 page not found",
        'NetworkDriver.Join:200:{"Err": "no bridge"}',
        "NetworkDriver.Leave:500:broken",
        'IpamDriver.RequestPool:200:{"Err": "pool full"}',
        'IpamDriver.ReleasePool:500:{"Error": "gone"}',
        'AuthZPlugin.AuthZReq:200:{"Allow": false, "Msg": "no", "Err": "x"}',
        'SecretProvider.GetSecret:200:{"Value": "c2VjcmV0", "DoNotReuse": true}',
    )
    plugin = await world.running(interface=interface(*types))
    world.host.behave(plugin.id, ";".join(f"answer={answer}" for answer in answers))
    for method, status, content in (
        ("NetworkDriver.GwAllocCheck", 404, b"404 page not found"),
        ("NetworkDriver.Join", 200, b'{"Err": "no bridge"}'),
        ("NetworkDriver.Leave", 500, b'{"Err": "broken"}\n'),
        ("IpamDriver.RequestPool", 200, b'{"Err": "pool full", "Error": "pool full"}\n'),
        ("IpamDriver.ReleasePool", 500, b'{"Err": "gone", "Error": "gone"}\n'),
        ("AuthZPlugin.AuthZReq", 200, b'{"Allow": false, "Msg": "no", "Err": "x"}'),
        ("SecretProvider.GetSecret", 200, b'{"Value": "c2VjcmV0", "DoNotReuse": true}'),
    ):
        answer = await ask(world, method, {"NetworkID": "n", "SecretName": "s"})
        assert (answer.status, answer.content) == (status, content), method
    empty = await ask(world, "IpamDriver.RequestPool")
    assert empty.status == 400
    assert empty.document["Error"] == empty.document["Err"]


# ------------------------------------------------------------------------------------------ holding


async def test_a_disabled_plugin_is_an_answer_at_once(world: World) -> None:
    await world.install(world.publish())
    for method, body in (("List", {}), ("Create", {"Name": "v"}), ("Get", {"Name": "v"})):
        answer = await ask(world, f"VolumeDriver.{method}", body)
        assert answer.status == 500
        assert answer.document == {"Err": "plugin toy:latest found but disabled"}


async def test_requests_wait_while_the_plugin_restarts(world: World, plugin: Plugin) -> None:
    entry = world.entry(plugin)
    world.host.kill(plugin.id)
    waiting = [asyncio.ensure_future(ask(world, "VolumeDriver.List", {})) for _ in range(3)]
    await world.clock.sleeper()
    assert entry.state is PluginState.BACKOFF
    await until(lambda: world.engine.fronts["toy:latest"].waiting == 3)
    world.clock.advance(1)
    assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}
    assert world.engine.fronts["toy:latest"].waiting == 0


async def test_requests_wait_while_the_plugin_is_replaced(world: World, plugin: Plugin) -> None:
    entry = world.entry(plugin)
    with entry.holding():
        await enable.disable(world.engine, "toy", force=False)
        waiting = asyncio.ensure_future(ask(world, "VolumeDriver.Create", {"Name": "v"}))
        await until(lambda: world.engine.fronts["toy:latest"].waiting)
        await enable.enable(world.engine, "toy", timeout=0)
    assert (await waiting).status == 200


async def test_requests_that_wait_are_told_when_nobody_comes_back(
    world: World, plugin: Plugin
) -> None:
    with world.entry(plugin).holding():
        await enable.disable(world.engine, "toy", force=False)
        waiting = asyncio.ensure_future(ask(world, "VolumeDriver.List", {}))
        await until(lambda: world.engine.fronts["toy:latest"].waiting)
    assert (await waiting).document == {"Err": "plugin toy:latest found but disabled"}


async def test_a_request_waits_no_longer_than_an_enable_may_take(tmp_path: Path) -> None:
    options = context.EngineOptions(enable_timeout=0.2, restart=OPTIONS.restart)
    async with World(tmp_path, options) as world:
        plugin = await world.running()
        world.host.kill(plugin.id)
        await world.clock.sleeper()
        answer = await ask(world, "VolumeDriver.List", {})
        assert answer.status == 500
        assert answer.document["Err"] == "plugin toy:latest is backoff, and did not answer in time"


async def test_only_so_many_requests_wait(world: World, plugin: Plugin) -> None:
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    world.engine.fronts["toy:latest"].waiting = front.MOST_WAITING
    answer = await ask(world, "VolumeDriver.List", {})
    assert answer.status == 500
    assert "512 requests wait for it already" in answer.document["Err"]


async def test_a_plugin_that_was_given_up_says_why(world: World, plugin: Plugin) -> None:
    world.host.behave(plugin.id, "exit=3")
    world.host.kill(plugin.id)
    entry = world.entry(plugin)

    def is_given_up() -> bool:
        if world.clock.is_slept_on:
            world.clock.advance(60)
        return entry.state is PluginState.FAILED

    await until(is_given_up)
    answer = await ask(world, "VolumeDriver.List", {})
    assert answer.document["Err"].startswith("plugin toy:latest found but disabled: cannot")


async def test_an_upgrade_may_change_what_the_front_speaks(world: World) -> None:
    await world.install(world.publish())
    await upgrade.upgrade(
        world.engine,
        "toy",
        world.publish("toy", "v2", interface=interface("docker.networkdriver/1.0")),
        accepted=(),
        credentials=None,
        progress=world.lines.append,
    )
    assert (await ask(world, "Plugin.Activate")).document == {"Implements": ["NetworkDriver"]}


async def test_install_of_a_broken_interface_has_a_front_all_the_same(world: World) -> None:
    ref = world.publish(interface={"types": ["docker.volumedriver/1.0"], "socket": "../x.sock"})
    await install.install(
        world.engine,
        ref,
        name=ref,
        accepted=(),
        credentials=None,
        progress=world.lines.append,
    )
    [name] = world.engine.fronts
    answer = await ask_at(world, name, "VolumeDriver.List")
    assert answer.document == {"Err": f"plugin {name} found but disabled"}


async def ask_at(world: World, name: str, method: str) -> Answer:
    return await fronts.post(front_of(world, name), method)
