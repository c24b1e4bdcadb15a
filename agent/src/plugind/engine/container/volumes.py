# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container's volumes: made at its creation, mounted while it runs, held in its name.

create   each volume is created unless it exists; an empty one gets what the image has there
start    VolumeDriver.Mount, holder = the container's id; shown to the runtime at a place of ours,
         because its driver owns the path that it answers and what is on it
exit     VolumeDriver.Unmount; what could not be unmounted keeps its reference, and is tried
         again when the container is removed
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from plugind import errors, log
from plugind.engine.context import Engine
from plugind.engine.volume import drivers, mounting, volumes
from plugind.model.containers.container import Container
from plugind.model.containers.mounts import VOLUME, ContainerMount
from plugind.model.lifecycle import PluginState


async def create_volumes(
    engine: Engine, mounts: tuple[ContainerMount, ...]
) -> tuple[ContainerMount, ...]:
    """Create the volumes that do not exist; return the mounts with their names and drivers.

    If one fails, those that nobody named go again.
    """
    made: list[ContainerMount] = []
    try:
        for mount in mounts:
            done = await _create(engine, mount) if mount.type == VOLUME else mount
            made.append(done)
    except BaseException:
        await remove_made_up(engine, tuple(made))
        raise
    return tuple(made)


async def copy_up(engine: Engine, container: Container, image: Path) -> None:
    """Fill empty volumes with what the image has at their targets."""
    for mount in container.mounts:
        if mount.type != VOLUME or not mount.copy_up:
            continue
        host = engine.containers.host
        content = await asyncio.to_thread(host.content, image, mount.target)
        if content is None:
            continue
        path = await mounting.mount_volume(engine, mount.source, container.id)
        try:
            volume = drivers.mountpoint_of(engine, mount.source, path)
            await asyncio.to_thread(host.copy_up, content, volume)
        except OSError as exc:
            raise errors.System(f"cannot copy to volume {mount.source}: {exc.strerror}") from exc
        finally:
            await mounting.unmount_volume(engine, mount.source, container.id)


async def mount_all(engine: Engine, container: Container) -> dict[str, str]:
    """Mount every volume of a container; return where the runtime finds it, by target.

    The caller unwinds, and calls `hide` as soon as the runtime has what it needs.
    """
    places = {}
    dirs = engine.containers.store.dirs(container.id)
    for number, mount in enumerate(container.mounts):
        if mount.type == VOLUME:
            path = await mounting.mount_volume(engine, mount.source, container.id)
            volume = drivers.mountpoint_of(engine, mount.source, path)
            host = engine.containers.host
            shown = await asyncio.to_thread(host.show_volume, volume, dirs, number)
            places[mount.target] = str(shown)
    return places


async def hide(engine: Engine, container: Container) -> None:
    """Take the places away at which volumes were shown: a driver could not unmount for good else."""
    dirs = engine.containers.store.dirs(container.id)
    await asyncio.to_thread(engine.containers.host.hide_volumes, dirs)


async def unmount_all(engine: Engine, container: Container, *, forget: bool = False) -> None:
    """Unmount what a container holds; a driver that fails is logged, and the others go on.

    `forget` drops references that cannot be given back: their holder will not exist any more.
    """
    for name in container.volumes:
        refs = await volumes.known_mounts(engine, name)
        if not any(ref.holder == container.id for ref in refs):
            continue
        try:
            if _driver_is_gone(engine, name):
                # What it had mounted ended with its process; nobody is there to be told.
                await _drop_references(engine, name, container.id)
            else:
                await mounting.unmount_volume(engine, name, container.id)
        except (errors.PlugindError, OSError) as exc:
            log.error(f"cannot unmount volume {name}: {exc}", container=container.id)
            if forget:
                await _drop_references(engine, name, container.id)


async def _drop_references(engine: Engine, name: str, holder: str) -> None:
    """Forget that a container holds a volume, without asking its driver."""
    async with engine.locks.holding(f"volume:{name}"):
        for ref in await volumes.mounts(engine, name):
            if ref.holder == holder:
                await mounting.drop_reference(engine, name, ref)


async def places(engine: Engine, container: Container) -> dict[str, str]:
    """Return where the volumes of a container are mounted now, by target."""
    found = {}
    for mount in container.mounts:
        if mount.type != VOLUME:
            continue
        refs = await volumes.mounts(engine, mount.source)
        paths = [ref.mountpoint for ref in refs if ref.holder == container.id]
        if paths:
            found[mount.target] = paths[0]
        elif mount.driver == "local":
            found[mount.target] = str(engine.volume_store.data_dir(mount.source))
    return found


async def remove_made_up(engine: Engine, mounts: tuple[ContainerMount, ...]) -> None:
    """Remove the volumes that nobody named; one that cannot go is logged and stays."""
    for mount in mounts:
        if mount.made_up and mount.type == VOLUME and mount.source:
            try:
                await volumes.remove_volume(engine, mount.source, force=False)
            except errors.PlugindError as exc:
                log.warning(f"cannot remove an anonymous volume: {exc}", volume=mount.source)


async def _create(engine: Engine, mount: ContainerMount) -> ContainerMount:
    created = await volumes.create_volume(
        engine,
        name=mount.source,
        driver=mount.driver,
        options=dict(mount.options) or None,
        labels=dict(mount.labels) or None,
    )
    # Options are the volume's from here on; some are secrets, which no record may hold.
    return replace(mount, source=created["Name"], driver=created["Driver"], options={}, labels={})


def _driver_is_gone(engine: Engine, name: str) -> bool:
    record = engine.volumes.get(name)
    if record is None:
        return True
    entry = drivers.lookup_entry(engine, record.driver)
    if record.driver == "local":
        return False
    return entry is None or entry.state is not PluginState.RUNNING
