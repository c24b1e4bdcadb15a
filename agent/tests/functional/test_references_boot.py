# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who holds a volume, after a restart of the agent and a reboot of the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugind.engine.plugin import enable
from plugind.engine.volume import mounting, volumes
from plugind.model.plugin import Plugin
from plugind.model.volume import MountRef
from plugind.store import boot
from support.engine import World, until
from support.reference_steps import (
    CONTAINER,
    holders,
    in_background,
    make,
    methods,
    reboot,
    restart,
)

# ----------------------------------------------------------------------------------------- at boot


async def held(world: World, *names: str) -> tuple[Plugin, dict[str, MountRef]]:
    """A running plugin whose volume `v` has these holders."""
    plugin = await world.running()
    await make(world, "v")
    for name in names:
        await mounting.mount_volume(world.engine, "v", name)
    return plugin, {ref.holder: ref for ref in world.engine.volume_store.mounts("v")}


async def test_a_restart_of_the_agent_keeps_who_may_still_be_there(world: World) -> None:
    plugin, _ = await held(world, "podman", "dockerd:0123456789ab", "operator")
    await world.reopen()
    await in_background(world)
    assert holders(world) == ["podman", "dockerd:0123456789ab", "operator"]
    assert "Unmount" not in methods(world, plugin)
    assert boot.load(world.layout) == "boot-1"


async def test_a_holder_that_is_gone_is_unmounted_by_its_driver(world: World) -> None:
    plugin, refs = await held(world, CONTAINER, "mount:/gone", "web")
    await world.reopen()
    await in_background(world)
    assert holders(world) == ["web"]
    asked = [body["ID"] for name, body in world.host.calls(plugin.id) if "Unmount" in name]
    assert asked == [refs[CONTAINER].id, refs["mount:/gone"].id]
    told = {e.attributes["container"]: e.attributes["reason"] for e in await world.events()}
    assert told == {
        CONTAINER: "there is no such container", "mount:/gone": "there is no such host mount",
    }  # fmt: skip


async def test_a_driver_that_cannot_unmount_for_the_gone_keeps_the_reference(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    plugin, _ = await held(world, "mount:/gone")
    world.host.behave(plugin.id, "fail=VolumeDriver.Unmount:busy")
    await world.reopen()
    await in_background(world)
    assert holders(world) == ["mount:/gone"]
    assert "cannot release volume v of mount:/gone, which is gone" in caplog.text


async def test_a_holder_that_is_gone_and_whose_driver_is_gone_is_dropped(world: World) -> None:
    await held(world, "mount:/gone", "web")
    await enable.disable(world.engine, "toy", force=True)
    await world.reopen()
    await in_background(world)
    assert holders(world) == ["web"]


async def test_a_reboot_ends_what_processes_held_and_mounts_for_the_rest(world: World) -> None:
    plugin, refs = await held(world, CONTAINER, "podman", "dockerd:1", "operator")
    await reboot(world)
    assert holders(world) == ["operator"]
    dropped = [e for e in await world.events() if e.action == "unmount"]
    assert [(e.attributes["container"], e.attributes["reason"]) for e in dropped] == [
        (name, "the host was rebooted") for name in (CONTAINER, "podman", "dockerd:1")
    ]
    await restart(world, plugin)
    await until(lambda: "Mount" in methods(world, plugin))
    asked = [body["ID"] for name, body in world.host.calls(plugin.id) if "Mount" in name]
    assert asked == [refs["operator"].id]
    assert boot.load(world.layout) == "boot-2"
    await world.reopen()
    assert holders(world) == ["operator"]


async def test_a_store_of_before_boots_were_recorded_is_not_a_reboot(world: World) -> None:
    await held(world, "podman")
    (world.layout.root / boot.NAME).unlink()
    await world.reopen()
    assert holders(world) == ["podman"]


async def test_a_reboot_mounts_local_volumes_with_options_again(world: World) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    for name, given in (("used", options), ("idle", options), ("plain", None)):
        await volumes.create_volume(
            world.engine, name=name, driver="local", options=given, labels=None
        )
    path = await mounting.mount_volume(world.engine, "used", "operator")
    await mounting.mount_volume(world.engine, "plain", "operator")
    assert world.machine.mounts == {Path(path): options}
    await reboot(world)
    await in_background(world)
    assert world.machine.mounts == {Path(path): options}
    [event] = await world.events()
    assert (event.action, event.id) == ("mount", "used")
    assert event.attributes == {
        "driver": "local", "container": "operator", "destination": path, "replayed": "true",
    }  # fmt: skip
    await world.reopen()
    await in_background(world)
    assert await world.events() == []


async def test_a_local_volume_that_cannot_be_mounted_again_does_not_keep_the_agent_down(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await volumes.create_volume(
        world.engine,
        name="used",
        driver="local",
        options={"type": "nfs", "device": ":/srv"},
        labels=None,
    )
    await mounting.mount_volume(world.engine, "used", "operator")
    world.machine.refuse_mounts = "no route to host"
    await reboot(world)
    await in_background(world)
    assert "cannot replay mount of volume used: no route to host" in caplog.text
    assert holders(world, "used") == ["operator"]


async def test_a_holder_of_a_crashed_driver_gets_its_mount_once(world: World) -> None:
    # Whoever asks before the replay is served, and the replay does not mount a second time.
    plugin, refs = await held(world, "web")
    await enable.disable(world.engine, "toy", force=True)
    await enable.enable(world.engine, "toy", timeout=5)
    assert await mounting.mount_volume(world.engine, "v", "web") == refs["web"].mountpoint
    assert methods(world, plugin).count("Mount") == 1
    world.entry(plugin).mounted.clear()
    assert await mounting.mount_volume(world.engine, "v", "web") == refs["web"].mountpoint
    assert methods(world, plugin).count("Mount") == 2


async def test_what_died_with_the_process_is_not_unmounted(world: World) -> None:
    plugin, _ = await held(world, "web")
    await enable.disable(world.engine, "toy", force=True)
    world.host.behave(plugin.id, "fail=VolumeDriver.Mount:down;fail=VolumeDriver.Unmount:what?")
    await enable.enable(world.engine, "toy", timeout=5)
    await mounting.unmount_volume(world.engine, "v", "web")
    assert "Unmount" not in methods(world, plugin)
    assert holders(world) == []
