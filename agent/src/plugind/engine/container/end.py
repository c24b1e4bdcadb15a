# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is left to do after a container's run, and with it: giving back, recording, removing."""

from __future__ import annotations

import asyncio

from plugind import errors, log
from plugind.engine import ending
from plugind.engine.container import volumes as container_volumes
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.context import Engine
from plugind.model import event
from plugind.model.containers.container import Container, ContainerState


async def remove_ended(engine: Engine, entry: ContainerEntry) -> None:
    """Remove a container that was to go when it ended."""
    if entry.container.auto_remove and not entry.container.state.running:
        await ending.to_the_end(remove_entry(engine, entry, volumes=True))


async def release(engine: Engine, entry: ContainerEntry, *, forget: bool = False) -> None:
    """Give back what a run held: volumes, then the root file system. Safe to call twice."""
    try:
        await container_volumes.hide(engine, entry.container)
    except errors.PlugindError as exc:
        log.error(f"cannot hide a container's volumes: {exc}", container=entry.container.id)
    await container_volumes.unmount_all(engine, entry.container, forget=forget)
    dirs = engine.containers.store.dirs(entry.container.id)
    try:
        await asyncio.to_thread(engine.containers.host.release, dirs)
    except errors.PlugindError as exc:
        log.error(f"cannot unmount a container: {exc}", container=entry.container.id)


async def remove_entry(engine: Engine, entry: ContainerEntry, *, volumes: bool) -> None:
    """Remove a container that does not run. Safe to call twice."""
    container = entry.container
    async with entry.lock:
        if entry.removed.done():
            return
        if entry.container.state.running:
            raise errors.Conflict(f'cannot remove container "/{container.name}": it was started')
        await release(engine, entry, forget=True)
        await asyncio.to_thread(engine.containers.store.remove, container.id)
        engine.containers.entries.pop(container.id, None)
        engine.log_path(container.id).unlink(missing_ok=True)
        if volumes or container.auto_remove:
            await container_volumes.remove_made_up(engine, container.mounts)
        entry.removed.set_result(entry.container.state)
        entry.end_run(entry.container.state)
    publish(engine, "destroy", container)


def publish(engine: Engine, action: str, container: Container, **attributes: str) -> None:
    """Publish an event of a container; Actor.ID is its id."""
    named = {**container.labels, "image": container.image, "name": container.name, **attributes}
    engine.events.publish(
        event.Event(type=event.CONTAINER, action=action, id=container.id, attributes=named)
    )


async def record_end(engine: Engine, entry: ContainerEntry, state: ContainerState) -> None:
    """Record that a container does not run any more; it does not, whatever the disk says of it."""
    ended = entry.container.with_state(state)
    try:
        await save(engine, entry, ended)
    except (errors.PlugindError, OSError) as exc:
        # The next boot finds a container that runs by its record alone, and puts that right.
        log.error(f"cannot record the end of a container: {exc}", container=ended.id)
        entry.container = ended


async def save(engine: Engine, entry: ContainerEntry, container: Container) -> None:
    """Record a container, on disk first."""
    await asyncio.to_thread(engine.containers.store.save, container)
    entry.container = container
