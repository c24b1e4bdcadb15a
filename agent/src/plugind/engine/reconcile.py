# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Boot: bring what is on disk, what runs and what is in memory together.

enabled  alive   adopt it; it never notices that the agent was away
enabled  either  and not confirmed: start it, or what it replaced; see `replacement`
enabled  dead    start it in the background, with backoff; the API does not wait for it
disabled alive   stop it: a crash came between its start and its commit
unknown  alive   purge it
"""

from __future__ import annotations

import asyncio

from plugind import errors, log
from plugind.engine import logs, metrics, sealing
from plugind.engine.container import boot
from plugind.engine.context import Engine, Entry
from plugind.engine.declaration import probe, rollback
from plugind.engine.front import publish
from plugind.engine.plugin import garbage, launch, replacement, supervise
from plugind.engine.volume import host_mounts, references, replay, stale
from plugind.model.lifecycle import PluginState, Trigger


async def reconcile(engine: Engine) -> None:
    """Load records and settle every plugin; a broken one is logged and the rest go on."""
    await load(engine)
    await rollback.load(engine)
    await host_mounts.load(engine)
    await stale.drop_after_reboot(engine)
    await metrics.serve(engine)
    # Before plugins are settled: whoever asks now waits, and is not refused.
    await publish.publish(engine)
    for plugin_id in await engine.runtime.list_ids():
        if plugin_id not in engine.entries:
            log.warning("purging a container that belongs to no plugin", plugin=plugin_id)
            await engine.runtime.purge(plugin_id)
    results = await asyncio.gather(
        *(settle(engine, entry) for entry in engine.entries.values()), return_exceptions=True
    )
    for entry, result in zip(list(engine.entries.values()), results, strict=True):
        if isinstance(result, BaseException):
            log.error("cannot settle plugin", exc=result, plugin=entry.plugin.id)
            _try_later(engine, entry, result)
    await boot.reconcile(engine)
    engine.spawn(stale.release_gone(engine), "release what is held by nobody")
    engine.spawn(replay.replay_local(engine), "mount local volumes again")
    engine.spawn(host_mounts.restore(engine), "restore host mounts")
    engine.spawn(probe.clear_left(engine), "remove probe volumes")
    await rollback.recover(engine)
    await garbage.collect(engine)


async def look(engine: Engine) -> None:
    """Load what can be read and change nothing: the store is a newer plugind's.

    No record is set aside, no blob collected, no plugin started, stopped or purged.
    """
    readable = await asyncio.to_thread(engine.image_store.load_readable)
    engine.images.update({image.id: image for image in readable})
    for directory in sorted(engine.layout.plugins.glob("*")):
        try:
            plugin = await asyncio.to_thread(engine.plugin_store.load, directory.name)
        except (errors.PlugindError, OSError) as exc:
            log.error(f"cannot read a plugin of a newer plugind: {exc}", plugin=directory.name)
            continue
        entry = engine.entries[plugin.id] = Entry(plugin)
        sealing.admit_settings(engine, plugin)
        entry.settled.set()
        entry.container = await engine.runtime.adopt(plugin.id)
        if plugin.enabled and entry.container is not None:
            launch.connect(engine, entry)
            entry.advance(Trigger.ADOPT)
    await metrics.serve(engine)
    await publish.publish(engine)
    await boot.look(engine)


async def load(engine: Engine) -> None:
    """Read every record from disk, and seal what still holds secrets."""
    await sealing.load_key(engine)
    loaded, broken = await asyncio.to_thread(engine.plugin_store.load_all)
    for what in broken:
        log.error(f"set aside a broken plugin record: {what}")
    engine.keep_blobs = bool(broken)
    for plugin in loaded:
        entry = Entry(plugin)
        await replacement.recall(engine, entry)
        entry.settled.set()
        engine.entries[plugin.id] = entry
        sealing.admit_settings(engine, plugin)
    volumes, broken = await asyncio.to_thread(engine.volume_store.load_all)
    for what in broken:
        log.error(f"set aside a broken volume record: {what}")
    sealed = await sealing.seal_records(engine, volumes)
    engine.volumes.update({volume.name: volume for volume in sealed})
    images, broken = await asyncio.to_thread(engine.image_store.load_all)
    for what in broken:
        log.error(f"set aside a broken image record: {what}")
    engine.images.update({image.id: image for image in images})
    await boot.load(engine)


async def settle(engine: Engine, entry: Entry) -> None:
    """Adopt, start, stop or clean up after one plugin, by (enabled, alive)."""
    plugin = entry.plugin
    entry.container = await engine.runtime.adopt(plugin.id)
    if plugin.enabled and entry.container is not None and entry.previous is None:
        entry.mounted.update(await references.held(engine, plugin))
        adopt(engine, entry)
        await metrics.offer(engine, entry)
        return
    if entry.container is not None:
        log.warning("stopping a plugin that is not enabled or not confirmed", plugin=plugin.id)
    await launch.stop(engine, entry)
    await launch.forgotten(entry)
    await engine.runtime.purge(plugin.id)
    if plugin.enabled:
        entry.state = PluginState.BACKOFF
        entry.settled.clear()
        if entry.previous is None:
            supervise.watch(engine, entry)
        else:
            engine.spawn(replacement.conclude(engine, entry), f"conclude {plugin.name}")


def _try_later(engine: Engine, entry: Entry, cause: BaseException) -> None:
    """Have a plugin that could not be settled started as one that died, with backoff and a limit."""
    entry.last_error = str(cause)
    if entry.plugin.enabled and entry.supervisor is None and entry.previous is None:
        entry.state = PluginState.BACKOFF
        entry.settled.clear()
        supervise.watch(engine, entry)


def adopt(engine: Engine, entry: Entry) -> None:
    """Take over a plugin that an earlier agent started."""
    try:
        launch.connect(engine, entry)
    except errors.PlugindError:
        entry.container = None
        raise
    entry.advance(Trigger.ADOPT)
    path = engine.log_path(entry.plugin.id)
    logs.follow_output(engine, entry, path.stat().st_size if path.exists() else 0)
    supervise.watch(engine, entry)
    log.info("adopted a running plugin", plugin=entry.plugin.id)


async def leave(engine: Engine) -> None:
    """Let go of every plugin without stopping any (the agent's own stop)."""
    working = list(engine.background)
    for task in working:
        task.cancel()
    if working:
        # What must come to its end may wait for a driver. The next start finishes what is left.
        late = (await asyncio.wait(working, timeout=engine.options.stop_grace))[1]
        for task in late:
            log.warning(f"stopped before it could {task.get_name()}")
    await metrics.close(engine)
    await publish.close(engine)
    await boot.leave(engine)
    for entry in engine.entries.values():
        await supervise.cancel(entry)
        await logs.end_output(entry)
        if entry.socket is not None:
            await entry.socket.close()
    engine.events.close()
    await engine.registry.close()
