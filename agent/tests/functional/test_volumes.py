# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes over drivers: names, conflicts, drivers that fail or are gone, in Docker's words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from plugind import errors
from plugind.engine.plugin import enable, remove
from plugind.engine.volume import volumes
from plugind.model.plugin import Plugin
from plugind.model.volume import ANONYMOUS_LABEL, ZERO_TIME
from support import invariants
from support.engine import World

LOOKUP = (
    'get v: error while checking if volume "v" exists in driver "toy:latest": '
    "error looking up volume plugin toy:latest: "
)
DISABLED = "plugin toy:latest found but disabled"
CLEARED = "cleared the record of volume v, but its driver toy:latest did not remove it: "


async def make(world: World, name: str = "v", driver: str = "toy", **more: Any) -> dict[str, Any]:
    arguments = {"options": None, "labels": None, **more}
    return await volumes.create_volume(world.engine, name=name, driver=driver, **arguments)


async def in_words(world: World, words: str, kind: type[Exception], story: Any) -> None:
    with pytest.raises(kind, match=f"^{re.escape(words)}$"):
        await story


def methods(world: World, plugin: Plugin) -> list[str]:
    return [name.rpartition(".")[2] for name, _ in world.host.calls(plugin.id)]


# ------------------------------------------------------------------------------------------- create


async def test_a_created_volume_is_the_drivers_and_recorded(world: World) -> None:
    plugin = await world.running()
    shown = await make(world, options={"o": "1"}, labels={"l": ""})
    assert shown == {
        "CreatedAt": "2027-01-15T08:00:00Z",
        "Driver": "toy:latest",
        "Labels": {"l": ""},
        "Mountpoint": "",
        "Name": "v",
        "Options": {"o": "1"},
        "Scope": "local",
    }
    assert world.host.calls(plugin.id)[-1] == (
        "VolumeDriver.Create",
        {"Name": "v", "Opts": {"o": "1"}},
    )
    assert methods(world, plugin) == ["Capabilities", "Get", "Create"]
    record = invariants.load_volumes(world.layout.root)["v"]
    assert (record["driver"], record["options"]) == ("toy:latest", {"o": "1"})
    event = (await world.events())[-1]
    assert (event.type, event.action, event.id) == ("volume", "create", "v")
    assert event.attributes == {"driver": "toy:latest"}


@pytest.mark.parametrize("spelling", ["toy", "toy:latest", "docker.io/library/toy:latest", "ID"])
async def test_a_driver_has_many_names_and_one_canonical_one(world: World, spelling: str) -> None:
    plugin = await world.running()
    shown = await make(world, driver=plugin.id[:9] if spelling == "ID" else spelling)
    assert shown["Driver"] == "toy:latest"


async def test_creating_it_again_returns_the_old_one(world: World) -> None:
    await world.running()
    old = await make(world, options={"o": "1"})
    again = await make(world, options={"o": "2"})
    assert again["Options"] == old["Options"] == {"o": "1"}
    assert (await world.actions()).count("volume create") == 1


async def test_a_volume_that_only_the_driver_knows_gets_a_record(world: World) -> None:
    plugin = await world.running()
    world.host.volumes[plugin.id]["v"] = {}
    await make(world, labels={"l": "1"})
    assert "Create" not in methods(world, plugin)
    assert invariants.load_volumes(world.layout.root)["v"]["labels"] == {"l": "1"}


async def test_a_name_belongs_to_one_driver(world: World) -> None:
    await world.running()
    await world.running("other")
    await make(world)
    words = "create v: driver 'toy:latest' already has volume 'v': volume name must be unique"
    await in_words(world, words, errors.Conflict, make(world, driver="other"))
    await in_words(world, words, errors.Conflict, make(world, driver="local"))


async def test_an_unknown_driver_is_said_at_once(world: World) -> None:
    words = 'create v: error looking up volume plugin nobody: plugin "nobody" not found'
    await in_words(world, words, errors.NotFound, make(world, driver="nobody"))
    assert invariants.load_volumes(world.layout.root) == {}
    assert world.clock.slept == []


async def test_a_plugin_without_volumes_is_no_driver(world: World) -> None:
    await world.running(
        "log", interface={"types": ["docker.logdriver/1.0"], "socket": "plugin.sock"}
    )
    words = 'create v: error looking up volume plugin log: plugin "log" not found'
    await in_words(world, words, errors.NotFound, make(world, driver="log"))


async def test_what_a_driver_says_against_it_is_passed_on_and_nothing_stays(world: World) -> None:
    plugin = await world.running()
    world.host.behave(plugin.id, "fail=VolumeDriver.Create:no space left")
    await in_words(world, "create v: no space left", errors.System, make(world))
    assert invariants.load_volumes(world.layout.root) == {}
    assert "volume create" not in await world.actions()


async def test_without_a_driver_the_one_that_has_it_is_taken_else_local(world: World) -> None:
    plugin = await world.running()
    world.host.volumes[plugin.id]["v"] = {}
    assert (await make(world, driver=""))["Driver"] == "toy:latest"
    assert (await make(world, "w1", driver=""))["Driver"] == "local"


async def test_without_a_name_it_is_anonymous_and_local(world: World) -> None:
    shown = await make(world, "", driver="", labels={"l": "1"})
    assert re.fullmatch("[0-9a-f]{64}", shown["Name"])
    assert (shown["Driver"], shown["Labels"]) == ("local", {"l": "1", ANONYMOUS_LABEL: ""})


# --------------------------------------------------------------------------------- disabled drivers


@pytest.fixture
async def orphan(world: World) -> Plugin:
    """A disabled plugin with the volume `v`."""
    plugin = await world.running()
    await make(world, options={"o": "1"}, labels={"l": "1"})
    await enable.disable(world.engine, "toy", force=True)
    return plugin


@pytest.mark.usefixtures("orphan")
async def test_every_call_on_a_disabled_driver_says_so_in_dockers_words(world: World) -> None:
    engine = world.engine
    inspect = volumes.inspect_volume(engine, "v")
    await in_words(world, LOOKUP + DISABLED, errors.Conflict, inspect)
    rm = volumes.remove_volume(engine, "v", force=False)
    await in_words(world, LOOKUP + DISABLED, errors.Conflict, rm)
    words = "create w: error looking up volume plugin toy: plugin toy found but disabled"
    await in_words(world, words, errors.Conflict, make(world, "w"))
    words = (
        "create v: found reference to volume 'v' in driver 'toy:latest', but got an error while "
        f"checking the driver: {DISABLED}: volume name must be unique"
    )
    await in_words(world, words, errors.Conflict, make(world, driver=""))
    assert invariants.load_volumes(world.layout.root)["v"]["labels"] == {"l": "1"}


@pytest.mark.usefixtures("orphan")
async def test_volumes_of_a_disabled_driver_stay_listed_with_a_warning(world: World) -> None:
    listed, warnings = await volumes.list_volumes(world.engine)
    assert [(v["Name"], v["Labels"], v["Mountpoint"]) for v in listed] == [("v", {"l": "1"}, "")]
    assert warnings == [f"list toy:latest: {DISABLED}"]


@pytest.mark.usefixtures("orphan")
async def test_volumes_of_a_removed_driver_stay_listed_and_can_be_cleared(world: World) -> None:
    await remove.remove(world.engine, "toy", force=True)
    listed, warnings = await volumes.list_volumes(world.engine)
    assert [v["Name"] for v in listed] == ["v"]
    assert warnings == ['list toy:latest: plugin "toy:latest" not found']
    inspect = volumes.inspect_volume(world.engine, "v")
    words = LOOKUP + 'plugin "toy:latest" not found'
    await in_words(world, words, errors.NotFound, inspect)
    await volumes.remove_volume(world.engine, "v", force=True)
    assert await volumes.list_volumes(world.engine) == ([], [])
    assert invariants.load_volumes(world.layout.root) == {}


@pytest.mark.usefixtures("orphan")
async def test_force_clears_the_record_of_a_disabled_driver(world: World) -> None:
    await volumes.remove_volume(world.engine, "v", force=True)
    assert invariants.load_volumes(world.layout.root) == {}


# ---------------------------------------------------------------------------------- failing drivers


async def test_a_drivers_passing_error_never_costs_labels_and_options(world: World) -> None:
    plugin = await world.running()
    await make(world, options={"o": "1"}, labels={"l": "1"})
    world.host.behave(plugin.id, "fail=VolumeDriver.Get:backend down;fail=VolumeDriver.List:too")
    with pytest.raises(errors.System, match="backend down"):
        await volumes.inspect_volume(world.engine, "v")
    with pytest.raises(errors.Conflict, match=r"backend down.*: volume name must be unique$"):
        await make(world)
    listed, warnings = await volumes.list_volumes(world.engine)
    assert [v["Options"] for v in listed] == [{"o": "1"}]
    assert warnings == ["list toy:latest: too"]
    await world.reopen()
    world.host.behave(plugin.id, "")
    shown = await volumes.inspect_volume(world.engine, "v")
    assert (shown["Options"], shown["Labels"]) == ({"o": "1"}, {"l": "1"})


async def test_one_that_the_driver_definitely_lost_can_be_created_anew(world: World) -> None:
    plugin = await world.running()
    await make(world, labels={"old": ""})
    del world.host.volumes[plugin.id]["v"]
    with pytest.raises(errors.NoSuchVolume, match=r"^get v: no such volume$"):
        await volumes.inspect_volume(world.engine, "v")
    assert (await make(world, labels={"new": ""}))["Labels"] == {"new": ""}


async def test_a_driver_that_refuses_to_remove_keeps_the_volume(world: World) -> None:
    plugin = await world.running()
    await make(world)
    world.host.behave(plugin.id, "fail=VolumeDriver.Remove:busy")
    rm = volumes.remove_volume(world.engine, "v", force=False)
    await in_words(world, "remove v: busy", errors.System, rm)
    assert set(invariants.load_volumes(world.layout.root)) == {"v"}
    left = await volumes.remove_volume(world.engine, "v", force=True)
    assert left == CLEARED + "remove v: busy"
    assert invariants.load_volumes(world.layout.root) == {}


# ------------------------------------------------------------------------------ inspect, list, remove


async def test_inspect_shows_the_path_on_the_host_and_the_drivers_status(world: World) -> None:
    plugin = await world.running()
    await make(world, options={"o": "1"})
    shown = await volumes.inspect_volume(world.engine, "v")
    assert shown["Status"] == {"options": {"o": "1"}}
    assert (shown["CreatedAt"], shown["Mountpoint"]) == ("2026-01-02T03:04:05Z", "")
    assert methods(world, plugin)[-1] == "Get"


async def test_a_volume_that_nobody_recorded_is_found_at_its_driver(world: World) -> None:
    plugin = await world.running()
    world.host.volumes[plugin.id]["v"] = {}
    shown = await volumes.inspect_volume(world.engine, "v")
    assert (shown["Driver"], shown["Labels"]) == ("toy:latest", None)
    await volumes.remove_volume(world.engine, "v", force=False)
    assert world.host.volumes[plugin.id] == {}
    assert (await world.actions())[-1] == "volume destroy"


async def test_lists_are_filtered(world: World) -> None:
    await world.running()
    await make(world, "abc", labels={"k": "1"})
    await make(world, "abd", driver="local", labels={"k": "2"})

    async def names(**filters: Any) -> list[str]:
        listed, warnings = await volumes.list_volumes(world.engine, **filters)
        assert warnings == []
        return [volume["Name"] for volume in listed]

    assert await names() == ["abc", "abd"]
    assert await names(names=frozenset({"bc"})) == ["abc"]
    assert await names(names=frozenset({"["})) == []
    assert await names(drivers=frozenset({"toy:latest"})) == ["abc"]
    assert await names(drivers=frozenset({"toy"})) == []  # exact, as in the original
    assert await names(labels=frozenset({"k"})) == ["abc", "abd"]
    assert await names(labels=frozenset({"k=2"})) == ["abd"]
    assert await names(dangling=True) == ["abc", "abd"]
    assert await names(dangling=False) == []


async def test_one_name_is_listed_once(world: World) -> None:
    await world.running()
    other = await world.running("other")
    await make(world)
    world.host.volumes[other.id]["v"] = {}
    listed, _ = await volumes.list_volumes(world.engine)
    assert [(v["Name"], v["Driver"]) for v in listed] == [("v", "toy:latest")]


async def test_removed_is_removed_at_the_driver_too(world: World) -> None:
    plugin = await world.running()
    await make(world)
    await volumes.remove_volume(world.engine, "v", force=False)
    assert world.host.volumes[plugin.id] == {}
    assert invariants.load_volumes(world.layout.root) == {}
    event = (await world.events())[-1]
    assert (event.action, event.id, event.attributes) == (
        "destroy", "v", {"driver": "toy:latest"},
    )  # fmt: skip


async def test_what_never_was_is_said_unless_forced(world: World) -> None:
    rm = volumes.remove_volume(world.engine, "v", force=False)
    await in_words(world, "get v: no such volume", errors.NoSuchVolume, rm)
    await volumes.remove_volume(world.engine, "v", force=True)
    assert await world.actions() == []


async def test_a_driver_without_a_date_means_no_date(world: World) -> None:
    await make(world, "ab", driver="local")
    listed, _ = await volumes.list_volumes(world.engine)
    assert listed[0]["CreatedAt"] == "2027-01-15T08:00:00Z" != ZERO_TIME
