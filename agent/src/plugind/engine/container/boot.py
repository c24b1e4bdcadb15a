# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers at boot, and at the agent's own stop: none of them notices that it was away.

recorded running, alive    adopt it
recorded running, ended    record its exit status; give back what it held; remove it if --rm
recorded not running       give back what a start that a crash cut off had taken
not recorded               purge it
"""

from __future__ import annotations

import asyncio

from plugind import log
from plugind.engine.container import end, run
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.model.containers.container import Status

#: Seconds for which the API waits for containers to be settled.
_PATIENCE = 5.0


async def load(engine: Engine) -> None:
    """Read every record from disk, the oldest container first."""
    loaded, broken = await asyncio.to_thread(engine.containers.store.load_all)
    for what in broken:
        log.error(f"set aside a broken container record: {what}")
    engine.image_users.append(engine.containers.using_image)
    for container in sorted(loaded, key=lambda one: (one.created_at, one.id)):
        engine.containers.entries[container.id] = ContainerEntry(container)


async def look(engine: Engine) -> None:
    """Show what can be read, and change nothing; those that run are not looked after."""
    for container in await asyncio.to_thread(engine.containers.store.load_readable):
        engine.containers.entries[container.id] = ContainerEntry(container)


async def reconcile(engine: Engine) -> None:
    """Settle every container; one that cannot be is logged and the rest go on.

    Plugins are settled before: whether a volume's driver runs decides who is told of its end. A
    driver that does not answer keeps the API closed for a moment only; the rest is background.
    """
    runtime = engine.containers.runtime
    for container_id in await runtime.list_ids():
        if container_id not in engine.containers.entries:
            log.warning("purging a container without a record", container=container_id)
            await runtime.purge(container_id)
    tasks = [
        engine.spawn(settle(engine, entry), f"settle container {entry.container.name}")
        for entry in list(engine.containers.entries.values())
    ]
    if tasks:
        await asyncio.wait(tasks, timeout=_PATIENCE)


async def settle(engine: Engine, entry: ContainerEntry) -> None:
    """Adopt a container, or bring what is recorded and held in line with its end."""
    async with entry.lock:
        if entry.container.state.running and await _adopt(engine, entry):
            return
        await _put_right(engine, entry)
    if entry.container.state.status is Status.EXITED:
        await end.remove_ended(engine, entry)


async def _adopt(engine: Engine, entry: ContainerEntry) -> bool:
    """Take over a container that an earlier agent started; False if it has ended."""
    entry.process = await engine.containers.runtime.adopt(entry.container.id)
    if entry.process is None:
        return False
    console = entry.process.connect()
    if console is not None:
        entry.hub.connect(console)
    run.watch(engine, entry)
    log.info("adopted a running container", container=entry.container.id)
    return True


async def _put_right(engine: Engine, entry: ContainerEntry) -> None:
    """Give back what a container that does not run holds, and record how it ended."""
    container, runtime = entry.container, engine.containers.runtime
    status = runtime.exit_status(container.id)
    await runtime.purge(container.id)
    await end.release(engine, entry)
    if not container.state.running:
        return  # a crash cut its start off, or its end
    code = run.UNKNOWN_STATUS if status is None else status
    state = container.state.exited(code, images.now(engine))
    await end.record_end(engine, entry, state)
    end.publish(engine, "die", entry.container, exitCode=str(code))


async def leave(engine: Engine) -> None:
    """Let go of every container without stopping any; those who wait are told nothing.

    Safe to call twice.
    """
    for entry in engine.containers.entries.values():
        if entry.watcher is not None:
            entry.watcher.cancel()
            await asyncio.wait([entry.watcher])
        await entry.hub.leave()
        entry.ended.cancel()
        entry.removed.cancel()
        if entry.process is not None:
            entry.process.close()
