# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Enable and disable: deadlines, last words, and that a failure unwinds everything."""

from __future__ import annotations

import asyncio

import pytest

from plugind import errors
from plugind.engine import describe, lookup
from plugind.engine.plugin import enable
from plugind.engine.volume import volumes
from plugind.model.facts import MemoryKill
from plugind.model.lifecycle import PluginState
from plugind.model.plugin import Plugin
from support import content, invariants
from support.engine import World, until


async def prepared(world: World, behaviour: str, output: str = "", **changes: object) -> Plugin:
    variables = [
        content.env("PLUGIN_BEHAVIOUR", behaviour),
        content.env("PLUGIN_OUTPUT", output),
    ]
    return await world.install(world.publish(env=variables, **changes))


def assert_stopped(world: World, plugin: Plugin) -> None:
    entry = world.entry(plugin)
    assert entry.state is PluginState.DISABLED
    assert entry.container is entry.socket is entry.supervisor is entry.output is None
    assert not invariants.load_records(world.layout.root)[plugin.name]["enabled"]
    assert plugin.id not in world.host.processes
    assert not world.layout.socket_dir(plugin.id).exists()
    assert world.machine.released[-1] == plugin.id


async def test_an_enabled_plugin_runs_and_answers(world: World) -> None:
    plugin = await world.running()
    assert plugin.enabled
    assert invariants.load_records(world.layout.root)["toy:latest"]["enabled"]
    status = describe.status(world.engine, plugin)
    assert (status["State"], status["Pid"]) == ("running", world.host.processes[plugin.id].pid)
    assert world.layout.socket_dir(plugin.id).joinpath("plugin.sock").is_socket()
    assert await world.actions() == ["plugin pull", "plugin enable"]
    assert world.host.calls(plugin.id) == []  # Plugin.Activate is not a condition


async def test_a_disabled_plugin_is_gone_from_the_host(world: World) -> None:
    plugin = await world.running()
    await enable.disable(world.engine, "toy", force=False)
    assert_stopped(world, plugin)
    assert world.entry(plugin).last_exit == 0
    assert (await world.actions())[-1] == "plugin disable"


async def test_it_can_be_enabled_again(world: World) -> None:
    plugin = await world.running()
    for _ in range(2):
        await enable.disable(world.engine, "toy", force=False)
        await enable.enable(world.engine, "toy", timeout=0)
    assert world.host.starts == [plugin.id] * 3
    assert world.entry(plugin).state is PluginState.RUNNING


async def test_doing_it_twice_is_a_conflict_in_dockers_words(world: World) -> None:
    await world.running()
    words = "plugin already enabled: plugin toy:latest is enabled"
    with pytest.raises(errors.Conflict, match=f"^{words}$"):
        await enable.enable(world.engine, "toy", timeout=0)
    await enable.disable(world.engine, "toy", force=False)
    words = "plugin is already disabled: plugin toy:latest found but disabled"
    with pytest.raises(errors.Conflict, match=f"^{words}$"):
        await enable.disable(world.engine, "toy", force=False)


async def test_a_deadline_cannot_be_negative(world: World) -> None:
    await world.install(world.publish())
    with pytest.raises(errors.InvalidParameter, match="negative"):
        await enable.enable(world.engine, "toy", timeout=-1)


async def test_one_that_never_listens_is_stopped_at_the_deadline(world: World) -> None:
    plugin = await prepared(world, "silent", "waiting for a friend|!and nobody comes")
    with pytest.raises(errors.PluginFailed) as caught:
        await enable.enable(world.engine, "toy", timeout=0.05)
    assert "nothing listens on plugin.sock after 0.05 s" in str(caught.value)
    assert caught.value.last_lines == ("waiting for a friend", "and nobody comes")
    assert caught.value.exit_status is None
    assert_stopped(world, plugin)
    assert describe.status(world.engine, plugin)["LastError"] == str(caught.value)


async def test_one_that_does_not_even_end_is_killed(world: World) -> None:
    plugin = await prepared(world, "silent;stubborn")
    with pytest.raises(errors.PluginFailed):
        await enable.enable(world.engine, "toy", timeout=0.05)
    assert_stopped(world, plugin)


async def test_one_that_exits_is_reported_at_once_with_its_last_words(world: World) -> None:
    plugin = await prepared(world, "exit=3", "starting|!no backend: give me BACKEND")
    with pytest.raises(errors.PluginFailed) as caught:
        await enable.enable(world.engine, "toy", timeout=600)
    assert "exited with status 3 before it listened on plugin.sock" in str(caught.value)
    assert "no backend: give me BACKEND" in str(caught.value)
    assert (caught.value.exit_status, len(caught.value.last_lines)) == (3, 2)
    assert_stopped(world, plugin)
    assert await world.actions() == ["plugin pull"]


async def test_one_that_is_killed_for_want_of_memory_is_reported_as_such(world: World) -> None:
    plugin = await prepared(world, "exit=137")
    world.host.memory_kill = MemoryKill(limit=64 << 20)
    words = r"status 137 before it listened .* \(killed: out of its memory limit of 64 MiB\)"
    with pytest.raises(errors.PluginFailed, match=words):
        await enable.enable(world.engine, "toy", timeout=600)
    assert_stopped(world, plugin)


async def test_only_the_last_start_is_quoted(world: World) -> None:
    plugin = await prepared(world, "exit=1", "first words")
    for _ in range(2):
        with pytest.raises(errors.PluginFailed) as caught:
            await enable.enable(world.engine, "toy", timeout=5)
    assert caught.value.last_lines == ("first words",)
    assert_stopped(world, plugin)


async def test_one_that_answers_garbage_is_enabled_and_its_calls_fail(world: World) -> None:
    # As in the original: listening is what enabling needs, and every call says what it got.
    plugin = await prepared(world, "garbage")
    await enable.enable(world.engine, "toy", timeout=5)
    socket = world.entry(plugin).socket
    assert socket is not None
    with pytest.raises(errors.System, match=r"VolumeDriver\.List: plugin answered with something"):
        await socket.call("VolumeDriver.List", {}, timeout=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entrypoint": ["/absent"]}, 'entrypoint "/absent": .*No such file or directory'),
        (
            {"layers": [content.layer({"other": b"\x7fELF" + b"\2\1" + b"\0" * 12 + b"\x16\0"})],
             "entrypoint": ["/other"]},
            "is built for s390x, this host is",
        ),
        ({"layers": [content.layer({"text": b"hello"})], "entrypoint": ["/text"]}, "neither an ELF"),
        ({"interface": {"types": ["docker.volumedriver/1.0"], "socket": ""}}, "no usable socket"),
        ({"interface": {"types": [], "socket": "../x.sock"}}, "no usable socket"),
        (
            {"mounts": [{"destination": "/m", "source": "/no/such", "type": "bind",
                         "options": ["rbind"], "settable": None}]},
            "/no/such",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_start_says_why_and_leaves_nothing(
    world: World, changes: dict[str, object], message: str
) -> None:
    plugin = await prepared(world, "", **changes)
    with pytest.raises(errors.PlugindError, match=message):
        await enable.enable(world.engine, "toy", timeout=5)
    assert_stopped(world, plugin)


async def test_a_client_that_goes_away_stops_what_it_started(world: World) -> None:
    plugin = await prepared(world, "silent")
    task = asyncio.create_task(enable.enable(world.engine, "toy", timeout=600))
    await until(lambda: plugin.id in world.host.processes)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_stopped(world, plugin)


async def test_a_second_enable_waits_for_the_first(world: World) -> None:
    await prepared(world, "")
    results = await asyncio.gather(
        enable.enable(world.engine, "toy", timeout=5),
        enable.enable(world.engine, "toy", timeout=5),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Plugin"]
    assert len(world.host.starts) == 1


async def test_a_used_plugin_is_disabled_only_by_force_and_its_volumes_are_named(
    world: World,
) -> None:
    plugin = await world.running()
    for name in ("b", "a"):
        await volumes.create_volume(
            world.engine, name=name, driver="toy", options=None, labels=None
        )
    words = "^plugin toy:latest is in use: volumes a, b$"
    with pytest.raises(errors.Conflict, match=words):
        await enable.disable(world.engine, "toy", force=False)
    await enable.disable(world.engine, "toy", force=True)
    assert_stopped(world, plugin)
    assert set(invariants.load_volumes(world.layout.root)) == {"a", "b"}


async def test_nobody_can_be_enabled_under_a_name_that_is_not_installed(world: World) -> None:
    for story in (
        enable.enable(world.engine, "nobody", timeout=0),
        enable.disable(world.engine, "nobody", force=True),
    ):
        with pytest.raises(errors.NotFound, match=r'^plugin "nobody" not found$'):
            await story
    assert lookup.list_plugins(world.engine) == []
