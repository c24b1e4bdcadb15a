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

from plugind import errors, log
from plugind.engine import container_end, container_run, images
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.context import Engine


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

    Plugins are settled before: whether a volume's driver runs decides who is told of its end.
    """
    runtime = engine.containers.runtime
    for container_id in await runtime.list_ids():
        if container_id not in engine.containers.entries:
            log.warning("purging a container without a record", container=container_id)
            await runtime.purge(container_id)
    for entry in list(engine.containers.entries.values()):
        try:
            await settle(engine, entry)
        except (errors.PlugindError, OSError) as exc:
            log.error("cannot settle container", exc=exc, container=entry.container.id)


async def settle(engine: Engine, entry: ContainerEntry) -> None:
    """Adopt a container, or bring what is recorded and held in line with its end."""
    container, runtime = entry.container, engine.containers.runtime
    if container.state.running:
        entry.process = await runtime.adopt(container.id)
        console = entry.process.connect() if entry.process is not None else None
        if entry.process is not None:
            if console is not None:
                entry.hub.connect(console)
            container_run.watch(engine, entry)
            log.info("adopted a running container", container=container.id)
            return
        status = runtime.exit_status(container.id)
        code = container_run.UNKNOWN_STATUS if status is None else status
        state = container.state.exited(code, images.now(engine))
        await runtime.purge(container.id)
        await container_end.release(engine, entry)
        await container_end.save(engine, entry, container.with_state(state))
        container_end.publish(engine, "die", entry.container, exitCode=str(code))
        await container_end.remove_ended(engine, entry)
        return
    await runtime.purge(container.id)
    await container_end.release(engine, entry)
    if container.auto_remove and container.state.status.value == "exited":
        await container_end.remove_ended(engine, entry)


async def leave(engine: Engine) -> None:
    """Let go of every container without stopping any."""
    for entry in engine.containers.entries.values():
        if entry.watcher is not None:
            entry.watcher.cancel()
            await asyncio.wait([entry.watcher])
        await entry.hub.leave()
        if entry.process is not None:
            entry.process.close()
