# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Watching enabled plugins: an exit leads to a restart with backoff, and to giving up at a limit.

Each step is an event (`died`, `restarted`, `gave up`), because the original is silent here.
"""

from __future__ import annotations

import asyncio

from plugind import errors, log
from plugind.engine.context import Engine, Entry
from plugind.engine.plugin import launch
from plugind.engine.volume import replay
from plugind.model.lifecycle import PluginState, Trigger


def watch(engine: Engine, entry: Entry) -> None:
    """Start supervising a plugin that runs, or one in BACKOFF that has to be started."""
    entry.supervisor = asyncio.create_task(
        _supervise(engine, entry), name=f"supervise {entry.plugin.name}"
    )
    entry.supervisor.add_done_callback(_ended)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error(f"cannot {task.get_name()} any longer", exc=task.exception())


async def cancel(entry: Entry) -> None:
    """End supervision; the plugin's process is left as it is."""
    task, entry.supervisor = entry.supervisor, None
    if task is not None and task is not asyncio.current_task():
        task.cancel()
        # Not `await task`: that could not tell its cancellation from our own.
        await asyncio.wait([task])


async def _supervise(engine: Engine, entry: Entry) -> None:
    while True:
        if entry.state is PluginState.RUNNING:
            await _until_exit(engine, entry)
        delay = engine.options.restart.delay(max(1, entry.failures))
        if delay is None:
            _give_up(engine, entry)
            return
        await engine.clock.sleep(delay)
        entry.advance(Trigger.ELAPSED)
        await _restart(engine, entry)


async def _until_exit(engine: Engine, entry: Entry) -> None:
    """Wait for the exit and clean up after it; ends in BACKOFF."""
    container = entry.container
    if container is None:
        raise errors.System(f"plugin {entry.plugin.name} is running without a process")
    entry.last_exit = await container.wait()
    lived = engine.clock.monotonic() - entry.started_at
    entry.failures = 1 if lived >= engine.options.restart.healthy_after else entry.failures + 1
    entry.advance(Trigger.EXITED)
    status = "unknown" if entry.last_exit is None else str(entry.last_exit)
    entry.last_error = why = launch.describe_kill(container, entry.last_exit)
    log.error("plugin died" + (f": {why}" if why else ""), plugin=entry.plugin.id, status=status)
    reason = {"reason": why} if why else {}
    engine.events.plugin("died", entry.plugin, exitCode=status, **reason)
    try:
        await launch.stop(engine, entry)
    except (errors.PlugindError, OSError) as exc:
        # The next start may find it free, or says why not; nobody else tries again.
        log.error(f"cannot clear away what the plugin left: {exc}", plugin=entry.plugin.id)


async def _restart(engine: Engine, entry: Entry) -> None:
    """Try to start; ends in RUNNING, or in BACKOFF with one failure more."""
    try:
        await launch.start(engine, entry, deadline=engine.options.enable_timeout)
    except (errors.PlugindError, OSError) as exc:
        entry.failures += 1
        entry.last_error = str(exc)
        entry.advance(Trigger.EXITED)
        log.error(f"cannot restart plugin: {exc}", plugin=entry.plugin.id)
        await _make_way(engine, entry)
        return
    entry.restarts += 1
    with entry.replaying():
        entry.advance(Trigger.READY)
        log.info("plugin restarted", plugin=entry.plugin.id, restarts=entry.restarts)
        engine.events.plugin("restarted", entry.plugin, restarts=str(entry.restarts))
        await _replay(engine, entry)


async def _make_way(engine: Engine, entry: Entry) -> None:
    """Take away what stands in a start's way: a container of an earlier agent, not adopted."""
    try:
        await engine.runtime.purge(entry.plugin.id)
    except (errors.PlugindError, OSError) as exc:
        log.error(f"cannot clear away a container: {exc}", plugin=entry.plugin.id)


async def _replay(engine: Engine, entry: Entry) -> None:
    """Mount again what is held, as long as the process lives that is asked to."""
    container = entry.container
    if container is None:
        raise errors.System(f"plugin {entry.plugin.name} is running without a process")
    work = engine.spawn(replay.replay_mounts(engine, entry), f"replay mounts of {entry.plugin.id}")
    exited = asyncio.ensure_future(container.wait())
    try:
        await asyncio.wait((work, exited), return_when=asyncio.FIRST_COMPLETED)
    finally:
        work.cancel()
        exited.cancel()
        await asyncio.wait((exited,))
        # A host mount is made to its end; whoever stops a driver that hangs does not wait for that.
        await asyncio.wait((work,), timeout=engine.options.stop_grace)


def _give_up(engine: Engine, entry: Entry) -> None:
    entry.advance(Trigger.LIMIT)
    log.error(
        f"gave up restarting plugin after {entry.failures} failures: {entry.last_error}",
        plugin=entry.plugin.id,
    )
    engine.events.plugin("gave up", entry.plugin, failures=str(entry.failures))
