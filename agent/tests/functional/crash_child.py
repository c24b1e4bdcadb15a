# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Operations in processes of their own, which a crash point kills in the middle (kill -9).

    stdin    DIRECTORY OPERATION [POINT]     a line each; every one is a fork of this process
    stdout   0 | 1 | -9                      how it ended
    DIRECTORY/trace, /journal                points that were passed; calls that the driver got

A plugin of the fake runtime dies with its process, so what follows is the boot of a whole host. That
plugins outlive the agent is for `system/test_crash.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from functional import crash_declare
from plugind import checkpoint, errors
from plugind.engine.container import attach, containers, run
from plugind.engine.front import front
from plugind.engine.image import images, importing, load, pull
from plugind.engine.image import remove as image_remove
from plugind.engine.plugin import configure, enable, remove, upgrade
from plugind.engine.volume import drivers, host_mounts, mounting, volumes
from plugind.host.mounts import stack_at
from plugind.model import host_mount, reference
from plugind.model.host_mount import HostMount
from plugind.model.lifecycle import PluginState
from plugind.model.reference import Reference
from support import content, image, invariants
from support.engine import World, chunks, until

#: The id that a consumer of the front mounts with; it is restored by the prepared world, too.
FRONT_ID = "f" * 64
LAYERS = [image.layer({"a": b"lower"}), image.layer({"a": b"upper"})]
IMAGE = image.config(LAYERS, Cmd=["/a"])
Operation = Callable[[World], Awaitable[object]]


async def create(world: World) -> None:
    await world.create("new", content.context(content.config(description="created")))


async def install(world: World) -> None:
    await world.install(world.publish("new", description="pulled"), "new")


async def upgrade_toy(world: World) -> None:
    await upgrade.upgrade(
        world.engine,
        "toy",
        world.publish("toy", "v2"),
        accepted=(),
        credentials=None,
        progress=world.lines.append,
    )


async def upgrade_used(world: World, ref: Reference | None = None) -> None:
    """In place: it runs, and its volumes are mounted."""
    await upgrade.upgrade_in_place(
        world.engine,
        "used",
        ref or world.publish("used", "v2"),
        accepted=(),
        credentials=None,
        progress=world.lines.append,
    )


async def upgrade_used_badly(world: World) -> None:
    """To a version that does not start."""
    bad = world.publish("used", "bad", env=[content.env("PLUGIN_BEHAVIOUR", "exit=1")])
    try:
        await upgrade_used(world, bad)
    except errors.System as exc:
        if "runs again" in str(exc):
            return
        raise
    raise AssertionError("it started")


async def reconfigure_used(world: World) -> None:
    await configure.reconfigure(world.engine, "used", ["DEBUG=1"])


async def reconfigure_used_badly(world: World) -> None:
    try:
        await configure.reconfigure(world.engine, "used", ["PLUGIN_BEHAVIOUR=exit=1"])
    except errors.System as exc:
        if "runs again" in str(exc):
            return
        raise
    raise AssertionError("it started")


async def set_toy(world: World) -> None:
    await configure.configure(world.engine, "toy", ["DEBUG=1"])


async def enable_toy(world: World) -> None:
    await enable.enable(world.engine, "toy", timeout=0)


async def disable_used(world: World) -> None:
    await enable.disable(world.engine, "used", force=True)


async def remove_toy(world: World) -> None:
    await remove.remove(world.engine, "toy", force=False)


async def remove_used(world: World) -> None:
    await remove.remove(world.engine, "used", force=True)


async def create_volume(world: World) -> None:
    await volumes.create_volume(
        world.engine, name="new", driver="used", options={"o": "1"}, labels={"l": "1"}
    )


async def remove_volume(world: World) -> None:
    await volumes.remove_volume(world.engine, "free", force=False)


async def mount(world: World) -> None:
    await mounting.mount_volume(world.engine, "free", "web")


async def unmount(world: World) -> None:
    await mounting.unmount_volume(world.engine, "kept", "holder")


async def at_front(world: World, method: str, arguments: dict[str, Any]) -> None:
    """A consumer's request."""
    found = world.engine.fronts["used:latest"]
    content = json.dumps(arguments).encode()
    reply = await front.answer(world.engine, found, method, content, "podman")
    if not reply.is_success:
        raise errors.Conflict(reply.content.decode())


async def front_create(world: World) -> None:
    await at_front(world, "VolumeDriver.Create", {"Name": "new", "Opts": {"o": "1"}})


async def front_remove(world: World) -> None:
    await at_front(world, "VolumeDriver.Remove", {"Name": "free"})


async def front_mount(world: World) -> None:
    await at_front(world, "VolumeDriver.Mount", {"Name": "free", "ID": FRONT_ID})


async def front_unmount(world: World) -> None:
    await at_front(world, "VolumeDriver.Unmount", {"Name": "kept", "ID": FRONT_ID})


async def pull_image(world: World) -> None:
    image.publish(world.registry, "test/box", IMAGE, LAYERS)
    await pull.pull_image(
        world.engine,
        reference.parse(f"{world.registry.host}/test/box:latest"),
        credentials=None,
        progress=world.lines.append,
    )


async def import_image(world: World, name: str = "made:1") -> None:
    await importing.import_image(
        world.engine, chunks(LAYERS[0]), name=reference.parse(name), config={}
    )


async def load_image(world: World) -> None:
    """The name that it has belongs to the image of `prepare`, from which it moves."""
    archive = image.archive("kept:1", IMAGE, LAYERS)
    await load.load_images(world.engine, chunks(archive), progress=world.lines.append)


async def tag_image(world: World) -> None:
    await images.tag_image(world.engine, "kept:1", reference.parse("alias:1"))


async def remove_image(world: World) -> None:
    await image_remove.remove_image(world.engine, "kept:1", force=False)


async def mount_on_host(world: World) -> None:
    path = world.layout.root.parent / "mnt" / "new"
    asked = host_mount.parse({"path": str(path), "volume": "seen"})
    await host_mounts.mount_on_host(world.engine, asked)


async def unmount_on_host(world: World) -> None:
    # By what is recorded: the world is a copy, and its record names the first one's directory.
    found = [path for path in world.engine.host_mounts if path.endswith("/old")]
    await host_mounts.unmount_on_host(world.engine, found[0] if found else "/old", force=False)


async def create_container(world: World, name: str = "new") -> None:
    body = {"Image": "boxed:1", "Cmd": ["echo"], "HostConfig": {"Binds": ["local:/data"]}}
    await containers.create_container(world.engine, body, name)


async def run_container(world: World) -> None:
    """From its creation to its end, or from where an earlier run was cut off."""
    names = {entry.container.name for entry in world.engine.containers.entries.values()}
    if "job" not in names:
        await create_container(world, "job")
    entry = containers.find_container(world.engine, "job")
    ended = attach.waiting(entry, "next-exit")
    await run.start(world.engine, entry)
    await ended


async def remove_container(world: World) -> None:
    await containers.remove_container(world.engine, "old", force=False, volumes=False)


OPERATIONS: dict[str, Operation] = {
    "create": create,
    "install": install,
    "upgrade": upgrade_toy,
    "upgrade-used": upgrade_used,
    "upgrade-used-badly": upgrade_used_badly,
    "set-used": reconfigure_used,
    "set-used-badly": reconfigure_used_badly,
    "set": set_toy,
    "enable": enable_toy,
    "disable": disable_used,
    "remove": remove_toy,
    "remove-used": remove_used,
    "create-volume": create_volume,
    "remove-volume": remove_volume,
    "mount": mount,
    "unmount": unmount,
    "host-mount": mount_on_host,
    "host-unmount": unmount_on_host,
    "pull-image": pull_image,
    "import-image": import_image,
    "load-image": load_image,
    "tag-image": tag_image,
    "remove-image": remove_image,
    "create-container": create_container,
    "run-container": run_container,
    "remove-container": remove_container,
    "front-create": front_create,
    "front-remove": front_remove,
    "front-mount": front_mount,
    "front-unmount": front_unmount,
    **crash_declare.OPERATIONS,
}


async def prepare(world: World) -> None:
    """`toy` is disabled; `used` runs, with volumes `free` and `kept`, the latter mounted.

    There are the images `kept:1` and `boxed:1`; the container `old` is made of the latter.
    """
    await import_image(world, "kept:1")
    await importing.import_image(
        world.engine, chunks(LAYERS[1]), name=reference.parse("boxed:1"), config={}
    )
    await create_container(world, "old")
    await world.install(world.publish("toy"), "toy")
    await world.running("used", description="used")
    for name in ("free", "kept", "seen"):
        await volumes.create_volume(
            world.engine, name=name, driver="used", options=None, labels={"of": name}
        )
    await mounting.mount_volume(world.engine, "kept", "holder")
    old = host_mount.parse({"path": str(world.layout.root.parent / "mnt/old"), "volume": "seen"})
    await host_mounts.mount_on_host(world.engine, old)
    await at_front(world, "VolumeDriver.Mount", {"Name": "kept", "ID": FRONT_ID})


class Journal(list[tuple[str, Any]]):
    """The calls that a driver gets, on disk before it answers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def append(self, call: tuple[str, Any]) -> None:
        super().append(call)
        with self._path.open("a") as file:
            file.write(json.dumps(call) + "\n")


def read_journal(base: Path) -> list[tuple[str, Any]]:
    """Return the calls of the operation that was killed."""
    path = base / "journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(name.rpartition(".")[2], body) for name, body in map(json.loads, lines)]


def boot(base: Path) -> World:
    """Return a world on the disk of another one; drivers' backends know what they knew."""
    world = World(base)
    used = invariants.load_records(world.layout.root).get("used:latest")
    if used is not None:
        world.host.volumes[used["id"]] = crash_declare.Backend(base / "backend")
    return world


async def settle(world: World) -> None:
    """Let every plugin that is to run come back, and what it has mounted on the host with it."""
    engine = world.engine

    def is_settled() -> bool:
        if world.clock.is_slept_on:
            world.clock.advance(60)
        up = all(entry.settled.is_set() for entry in engine.entries.values())
        return up and not engine.background and all(map(is_seen, engine.host_mounts.values()))

    def is_seen(mount: HostMount) -> bool:
        entry = drivers.lookup_entry(engine, engine.volumes[mount.volume].driver)
        runs = entry is not None and entry.state is PluginState.RUNNING
        return not runs or bool(stack_at(Path(mount.path), world.machine.table))

    await until(is_settled)
    for path in list(engine.host_mounts):
        async with engine.locks.holding(f"mount:{path}"):
            pass  # what mounts there now has come to its end


async def operate(base: Path, name: str, point: str) -> None:
    """Do one operation; die at `point`, or write down every point that is passed."""
    world = boot(base)
    await world.registry.__aenter__()
    await world.open()
    if name == "prepare":
        await prepare(world)
        return
    await settle(world)
    for process in world.host.processes.values():
        process.plugin.calls = Journal(base / "journal")
    with (base / "trace").open("w", buffering=1) as trace:
        if point:
            os.environ[checkpoint.VARIABLE] = point
        else:
            checkpoint.hook = lambda passed: print(passed, file=trace)
        await OPERATIONS[name](world)


def serve() -> None:
    """Fork for each line of `directory operation [point]`; answer the exit status of the fork."""
    for line in sys.stdin:
        base, name, *point = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.get_event_loop_policy().new_event_loop().run_until_complete(
                    operate(Path(base), name, point[0] if point else "")
                )
            except BaseException:  # noqa: BLE001 - whatever it is, the fork must not return
                traceback.print_exc()
                os._exit(1)
            os._exit(0)  # as a kill: nobody says goodbye
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
