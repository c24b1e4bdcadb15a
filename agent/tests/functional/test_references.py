# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who uses what, from records: messages name holders, force clears, nothing hangs, the gone let go."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from functional.test_supervise import give_up_on
from plugind import errors
from plugind.engine.plugin import enable, remove
from plugind.engine.volume import mounting, volumes
from plugind.model.plugin import Plugin
from support import invariants
from support.engine import OPTIONS, World
from support.reference_steps import CONTAINER, holders, make

CLEARED = "cleared the record of volume v"
DID_NOT = "but its driver toy:latest did not remove it: "


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose drivers have little time to think."""
    options = replace(OPTIONS, list_timeout=0.3, driver_timeout=0.3)
    async with World(tmp_path, options) as found:
        yield found


# ------------------------------------------------------------------------------------------- in use


async def test_a_plugin_in_use_names_volumes_and_their_holders(world: World) -> None:
    await world.running()
    await make(world, "a", "b", "c")
    for name, holder in (("b", "web"), ("b", CONTAINER), ("c", "mount:/srv/c")):
        await mounting.mount_volume(world.engine, name, holder)
    words = (
        "plugin toy:latest is in use: volumes a, b (mounted by c0ffee000000, web), "
        "c (mounted by mount:/srv/c)"
    )
    for story in (
        enable.disable(world.engine, "toy", force=False),
        remove.remove(world.engine, "toy", force=False),
    ):
        with pytest.raises(errors.Conflict, match=f"^{re.escape(words)}$"):
            await story


async def test_of_many_volumes_ten_are_named(world: World) -> None:
    await world.running()
    await make(world, *(f"v{n:02}" for n in range(12)))
    with pytest.raises(errors.Conflict, match=r": volumes v00, .*, v09, \.\.\.$"):
        await enable.disable(world.engine, "toy", force=False)


async def test_a_mounted_volume_of_a_running_driver_is_refused_with_force_too(
    world: World,
) -> None:
    await world.running()
    await make(world, "v")
    await mounting.mount_volume(world.engine, "v", CONTAINER)
    for force in (False, True):
        words = rf"^remove v: volume is in use - \[{CONTAINER}\]$"
        with pytest.raises(errors.Conflict, match=words):
            await volumes.remove_volume(world.engine, "v", force=force)
    assert holders(world) == [CONTAINER]


# ------------------------------------------------------------------------------------ force clears


async def disabled(world: World, plugin: Plugin) -> str:
    await enable.disable(world.engine, plugin.name, force=True)
    return "plugin toy:latest found but disabled"


async def uninstalled(world: World, plugin: Plugin) -> str:
    await remove.remove(world.engine, plugin.name, force=True)
    return 'plugin "toy:latest" not found'


async def given_up_on(world: World, plugin: Plugin) -> str:
    await give_up_on(world, plugin)
    return "plugin toy:latest found but disabled"


@pytest.mark.parametrize("happens", [disabled, uninstalled, given_up_on])
async def test_force_clears_record_and_references_of_a_driver_that_is_gone(
    world: World, happens: object
) -> None:
    plugin = await world.running()
    await make(world, "v")
    await mounting.mount_volume(world.engine, "v", "web")
    await mounting.mount_volume(world.engine, "v", "db")
    why = await happens(world, plugin)  # type: ignore[operator]
    # They stay, and are reported, until somebody says that they shall go.
    assert [h["Holder"] for h in await mounting.holders(world.engine, "v")] == ["web", "db"]
    with pytest.raises(errors.Conflict, match=r"^remove v: volume is in use - \[db, web\]$"):
        await volumes.remove_volume(world.engine, "v", force=False)
    left = await volumes.remove_volume(world.engine, "v", force=True)
    assert left.startswith(f"{CLEARED}, and dropped its references (db, web), {DID_NOT}")
    assert left.endswith(why)
    assert invariants.load_volumes(world.layout.root) == {}
    event = (await world.events())[-1]
    assert (event.action, event.id) == ("destroy", "v")
    assert event.attributes == {"driver": "toy:latest", "forced": "true", "left": left}


@pytest.mark.parametrize("method", ["Get", "Remove"])
async def test_force_clears_the_record_of_a_driver_that_answers_errors(
    world: World, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = await world.running()
    await make(world, "v")
    world.host.behave(plugin.id, f"fail=VolumeDriver.{method}:backend down")
    left = await volumes.remove_volume(world.engine, "v", force=True)
    assert left.startswith(f"{CLEARED}, {DID_NOT}")
    assert left.endswith("backend down")
    assert left in caplog.text
    assert invariants.load_volumes(world.layout.root) == {}


@pytest.mark.parametrize("method", ["Get", "Remove"])
async def test_force_clears_the_record_of_a_driver_that_hangs(
    impatient: World, method: str
) -> None:
    plugin = await impatient.running()
    await make(impatient, "v")
    impatient.host.behave(plugin.id, f"hang=VolumeDriver.{method}")
    with pytest.raises(errors.Unavailable, match="did not answer within"):
        await volumes.remove_volume(impatient.engine, "v", force=False)
    left = await volumes.remove_volume(impatient.engine, "v", force=True)
    assert "did not answer within 0.3 s" in left
    assert invariants.load_volumes(impatient.layout.root) == {}


async def test_force_waits_for_a_driver_that_is_being_restarted(world: World) -> None:
    plugin = await world.running()
    await make(world, "v")
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    removing = volumes.remove_volume(world.engine, "v", force=True)
    world.clock.advance(60)
    assert await removing == ""
    assert world.host.volumes[plugin.id] == {}


async def test_a_volume_that_was_cleared_can_be_created_again(world: World) -> None:
    await world.running()
    await make(world, "vv")
    await remove.remove(world.engine, "toy", force=True)
    await volumes.remove_volume(world.engine, "vv", force=True)
    await make(world, "vv", driver="local")
    assert invariants.load_volumes(world.layout.root)["vv"]["driver"] == "local"


# ------------------------------------------------------------------------------------ nothing hangs


@pytest.mark.parametrize("method", ["List", "Capabilities"])
async def test_a_list_waits_for_no_driver_that_hangs(impatient: World, method: str) -> None:
    plugin = await impatient.running()
    await impatient.running("other")
    await make(impatient, "v")
    await make(impatient, "w", driver="other")
    await impatient.reopen()
    impatient.host.behave(plugin.id, f"hang=VolumeDriver.{method}")
    listed, warnings = await volumes.list_volumes(impatient.engine)
    assert [(v["Name"], v["Driver"]) for v in listed] == [
        ("v", "toy:latest"), ("w", "other:latest"),
    ]  # fmt: skip
    if method == "List":
        assert len(warnings) == 1
        assert warnings[0].startswith("list toy:latest: ")
        assert "did not answer within 0.3 s" in warnings[0]


async def test_a_search_among_drivers_waits_for_none_that_hangs(impatient: World) -> None:
    plugin = await impatient.running()
    other = await impatient.running("other")
    impatient.host.volumes[other.id]["w"] = {}
    impatient.host.behave(plugin.id, "hang=VolumeDriver.Get")
    shown = await volumes.inspect_volume(impatient.engine, "w")
    assert shown["Driver"] == "other:latest"
    with pytest.raises(errors.NoSuchVolume):
        await volumes.inspect_volume(impatient.engine, "nobody")


@pytest.mark.parametrize("method", ["Create", "Mount", "Unmount", "Get", "Remove"])
async def test_every_call_of_a_driver_has_a_deadline(impatient: World, method: str) -> None:
    plugin = await impatient.running()
    await make(impatient, "v")
    await mounting.mount_volume(impatient.engine, "v", "web")
    impatient.host.behave(plugin.id, f"hang=VolumeDriver.{method}")
    stories = {
        "Create": lambda: make(impatient, "w"),
        "Mount": lambda: mounting.mount_volume(impatient.engine, "v", "db"),
        "Unmount": lambda: mounting.unmount_volume(impatient.engine, "v", "web"),
        "Get": lambda: volumes.inspect_volume(impatient.engine, "v"),
    }
    if method == "Remove":
        impatient.host.volumes[plugin.id]["free"] = {}
        stories["Remove"] = lambda: volumes.remove_volume(impatient.engine, "free", force=False)
    with pytest.raises(errors.Unavailable, match=r"did not answer within 0\.3 s"):
        await stories[method]()  # type: ignore[no-untyped-call]


async def test_the_volumes_of_a_crashed_driver_stay_listed(world: World) -> None:
    plugin = await world.running()
    await make(world, "v")
    world.host.kill(plugin.id)
    await world.clock.sleeper()
    listed, warnings = await volumes.list_volumes(world.engine)
    assert [v["Name"] for v in listed] == ["v"]
    assert warnings == ["list toy:latest: plugin toy:latest is backoff"]


async def test_the_volumes_of_a_driver_that_was_given_up_on_stay_listed(world: World) -> None:
    plugin = await world.running()
    await make(world, "v")
    await give_up_on(world, plugin)
    listed, warnings = await volumes.list_volumes(world.engine)
    assert [v["Name"] for v in listed] == ["v"]
    [warning] = warnings
    assert warning.startswith(
        "list toy:latest: plugin toy:latest found but disabled: cannot enable"
    )
