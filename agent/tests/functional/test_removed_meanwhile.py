# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Finding a plugin, and one that does not run, or was removed while its turn was waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from plugind import errors
from plugind.engine import lookup
from plugind.engine.context import Engine
from plugind.engine.plugin import configure, enable, remove, rpc_call
from support.engine import World

STORIES: dict[str, Callable[[Engine], Coroutine[Any, Any, object]]] = {
    "enable": lambda engine: enable.enable(engine, "toy", timeout=0),
    "set": lambda engine: configure.configure(engine, "toy", ["DEBUG=1"]),
    "set in place": lambda engine: configure.reconfigure(engine, "toy", ["DEBUG=1"], timeout=0),
    "a secret": lambda engine: configure.name_secrets(engine, "toy", frozenset({"DEBUG"})),
    "unverified": lambda engine: configure.mark_unverified(engine, "toy", True),
    "disable": lambda engine: enable.disable(engine, "toy", force=True),
    "remove": lambda engine: remove.remove(engine, "toy", force=False),
}


@pytest.mark.parametrize("story", STORIES)
async def test_one_that_is_removed_first_is_not_there(world: World, story: str) -> None:
    plugin = await world.install(world.publish())
    async with world.entry(plugin).lock:
        removing = asyncio.create_task(remove.remove(world.engine, "toy", force=False))
        await asyncio.sleep(0)
        other = asyncio.create_task(STORIES[story](world.engine))
        await asyncio.sleep(0)
    assert (await removing).id == plugin.id
    with pytest.raises(errors.NotFound, match='plugin "toy:latest" not found'):
        await other
    assert world.engine.entries == {}
    assert (await world.actions()) == ["plugin pull", "plugin remove"]


async def test_what_does_not_run_is_not_called(world: World) -> None:
    await world.install(world.publish())
    with pytest.raises(errors.Conflict, match=r"^plugin toy:latest is disabled$"):
        await rpc_call.call(world.engine, "toy", "VolumeDriver.List", {})
    with pytest.raises(errors.InvalidParameter, match=r'invalid method "\.\./List"'):
        await rpc_call.call(world.engine, "toy", "../List", {})


async def test_a_plugin_is_found_by_name_and_by_the_beginning_of_its_id(world: World) -> None:
    toy = await world.install(world.publish())
    for text in ("toy", "toy:latest", "docker.io/library/toy", toy.id, toy.id[:12]):
        assert lookup.find(world.engine, text).id == toy.id
    for text in ("", "to", "toy:1", f"toy@sha256:{'0' * 64}", "NO NAME"):
        with pytest.raises(errors.NotFound, match=f'^plugin "{text}" not found$'):
            lookup.find(world.engine, text)


async def test_the_beginning_of_two_ids_is_nobodys(world: World) -> None:
    first: dict[str, str] = {}
    for number in range(17):  # more than there are digits
        plugin = await world.install(world.publish(f"n{number}"), f"n{number}")
        if plugin.id[0] in first:
            with pytest.raises(errors.InvalidParameter, match="multiple plugins found for"):
                lookup.find(world.engine, plugin.id[0])
            return
        first[plugin.id[0]] = plugin.id


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"volumedriver"}, ["both:latest", "volumes:latest"]),
        ({"logdriver"}, ["both:latest"]),
        ({"logdriver", "volumedriver"}, ["both:latest", "volumes:latest"]),
        ({"log.*"}, ["both:latest"]),
        ({"*"}, []),
        ({"networkdriver"}, []),
        (set(), ["both:latest", "nothing:latest", "volumes:latest"]),
    ],
)
async def test_plugins_by_what_they_serve(world: World, wanted: set[str], names: list[str]) -> None:
    types = {
        "volumes": ["docker.volumedriver/1.0"],
        "both": ["docker.logdriver/1.0", "docker.volumedriver/1.0"],
        "nothing": [],
    }
    for name, kinds in types.items():
        interface = {"types": kinds, "socket": "plugin.sock"}
        await world.install(world.publish(name, interface=interface), name)
    found = lookup.list_plugins(world.engine, capabilities=frozenset(wanted))
    assert [plugin.name for plugin in found] == names
    assert lookup.list_plugins(world.engine, enabled=True, capabilities=frozenset(wanted)) == []
