# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Replace what an enabled plugin runs with, in one step, with a way back.

    drain -> stop -> put in place (commit) -> start -> socket answers -> mounts replayed -> confirm
                          |                     `-- fails: stop, put back (commit), start the old one
                          `-- fails: start the old one

A new version (`upgrade`) and other settings (`configure`) are put in place here. The plugin is
enabled on disk all the time, so calls wait as they do for a restart; requests at the front are held.
What is not confirmed has its way back on disk, and a boot decides by that alone:

    plugin.json  way back             boot
    enabled      previous/            unconfirmed: started; confirmed if it answers, rolled back if not
    enabled      settings_before      the same, with the settings before
    disabled     either               confirmed: an upgrade of a disabled plugin has nothing to prove
    either       back/                the roll back is finished; the old version is as it was
    either       none                 nothing was under way, or it was not committed

A process that is alive is stopped first, because nobody knows how far it came.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from plugind import checkpoint, errors, log
from plugind.engine import ending, ports, sealing
from plugind.engine.context import Engine, Entry
from plugind.engine.front import publish
from plugind.engine.plugin import garbage, launch, supervise
from plugind.engine.volume import drivers, replay, volumes
from plugind.model.lifecycle import PluginState, Trigger
from plugind.model.plugin import Plugin
from plugind.store import records

_EXPECTED = (errors.PlugindError, OSError)
#: Seconds until the exit of a process is known whose socket is gone.
_NOTICED = 2.0


async def replace(
    engine: Engine, entry: Entry, new: Plugin, put: Callable[[], None], *, deadline: float
) -> None:
    """Let the plugin, which is enabled, run as `new`, which `put` brings to the disk.

    The entry's lock is held. `deadline` is how long it may take to answer, in seconds. On any
    failure the old one runs again, and the error says why, and whether it does. Once begun, it is
    brought to its end although its caller is cancelled.
    """
    with entry.holding():
        await ending.to_the_end(_replace(engine, entry, new, put, deadline))


async def _replace(
    engine: Engine, entry: Entry, new: Plugin, put: Callable[[], None], deadline: float
) -> None:
    # What an earlier change left must not be taken for this one's way back.
    entry.plugin = old = await asyncio.to_thread(engine.plugin_store.confirm, entry.plugin)
    entry.previous = old
    async with _way_back(engine, entry, new):
        await _stop(engine, entry)
        checkpoint.checkpoint("replace:after-stop")
        await asyncio.to_thread(put)
        checkpoint.checkpoint("replace:after-commit")
        entry.plugin = new
        sealing.admit_settings(engine, new)
        entry.advance(Trigger.ENABLE)
        await _run(engine, entry, deadline)


async def conclude(engine: Engine, entry: Entry) -> None:
    """At boot: start what nobody has confirmed; what does not answer is rolled back."""
    async with entry.lock:
        new = entry.plugin
        if new.id not in engine.entries or entry.previous is None:
            return
        if entry.state is not PluginState.BACKOFF:  # somebody disabled it before this began
            await _confirm(engine, entry)
            return
        with entry.holding():
            try:
                async with _way_back(engine, entry, new):
                    entry.advance(Trigger.ELAPSED)
                    await _run(engine, entry, engine.options.enable_timeout)
            except errors.PlugindError as exc:
                log.error(str(exc), plugin=new.id)
            else:
                log.info("confirmed what was put in place before the restart", plugin=new.id)
    await garbage.collect(engine)


async def recall(engine: Engine, entry: Entry) -> None:
    """At boot: remember what to go back to, or confirm where there is nothing to prove."""
    plugin = entry.plugin
    try:
        entry.previous = await asyncio.to_thread(engine.plugin_store.unconfirmed, plugin)
    except records.Broken as exc:
        log.warning(f"there is no way back to the previous version: {exc}", plugin=plugin.id)
    if not plugin.enabled or entry.previous is None:
        await _confirm(engine, entry)
    else:
        sealing.admit_settings(engine, entry.previous)


@contextlib.asynccontextmanager
async def _way_back(engine: Engine, entry: Entry, new: Plugin) -> AsyncIterator[None]:
    """Whatever fails inside: let the old one run again, and raise what came of it."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - a surprise leads back as well
        if not isinstance(exc, _EXPECTED):
            log.error("unexpected failure while a plugin was replaced", exc=exc, plugin=new.id)
        await _go_back(engine, entry, new, exc)
    finally:
        await publish.publish(engine)  # another version may serve other interfaces


async def _stop(engine: Engine, entry: Entry) -> None:
    """Stop the old one once its calls have ended; those that come from now on wait."""
    await supervise.cancel(entry)
    entry.advance(Trigger.DISABLE)
    socket = entry.socket
    if socket is not None:
        socket.patience = engine.patience(entry)
        await socket.drain(engine.options.stop_grace)
    try:
        entry.last_exit = await launch.stop(engine, entry)
    finally:
        if socket is not None:
            socket.resume()


async def _run(engine: Engine, entry: Entry, deadline: float) -> None:
    """Start what is in place, and confirm it once what consumers hold is mounted again."""
    log_start = launch.log_size(engine, entry.plugin.id)
    await launch.start(engine, entry, deadline=deadline)
    checkpoint.checkpoint("replace:after-start")
    container, socket = entry.container, entry.socket
    if container is None or socket is None:
        raise errors.System(f"plugin {entry.plugin.name} is running without a process")
    # If it dies now, another one follows, and calls have to outlast that.
    usual, socket.patience = socket.patience, engine.patience(entry)
    entry.advance(Trigger.READY)
    await asyncio.gather(_probe(engine, entry), replay.replay_mounts(engine, entry))
    checkpoint.checkpoint("replace:after-mounts")
    await _require_alive(engine, entry.plugin, container, log_start)
    socket.patience = usual
    entry.failures = entry.restarts = 0
    entry.last_error = ""
    supervise.watch(engine, entry)
    await _confirm(engine, entry)


async def _require_alive(
    engine: Engine, plugin: Plugin, container: ports.Container, log_start: int
) -> None:
    """Raise if the process died of what it was asked for since it answered first."""
    exited = asyncio.ensure_future(container.wait())
    try:
        path = engine.socket_path(plugin)
        await engine.dialer.wait_listening(path, _NOTICED, exited=exited)
    except errors.Unavailable:
        how = (
            f"its process exited with status {exited.result()}" if exited.done() else "it was deaf"
        )
        raise errors.PluginFailed(
            f"cannot keep plugin {plugin.name} running: {how} after its volumes were mounted again",
            exit_status=exited.result() if exited.done() else None,
            last_lines=await launch.last_lines(engine, plugin.id, log_start),
        ) from None
    finally:
        exited.cancel()
        await asyncio.wait([exited])


async def _probe(engine: Engine, entry: Entry) -> None:
    """Ask a volume driver what every driver can say. That it does not is worth a line, no more."""
    if not entry.plugin.serves(drivers.CAPABILITY):
        return
    handle = drivers.of_entry(engine, entry)
    try:
        async with asyncio.timeout(engine.options.list_timeout):
            await handle.scope()
            await handle.calls.list()
    except TimeoutError:
        log.warning("the plugin listens, and does not answer yet", plugin=entry.plugin.id)
    except errors.PlugindError as exc:
        log.warning(f"the plugin answers with an error: {exc}", plugin=entry.plugin.id)


async def _confirm(engine: Engine, entry: Entry) -> None:
    """Give up the way back. If the disk refuses, the next boot tries the plugin once more."""
    try:
        entry.plugin = await asyncio.to_thread(engine.plugin_store.confirm, entry.plugin)
    except _EXPECTED as exc:
        log.warning(f"cannot drop the previous version: {exc}", plugin=entry.plugin.id)
    entry.previous = None


async def _go_back(engine: Engine, entry: Entry, new: Plugin, cause: Exception) -> None:
    """Put the old one in place again, start it, and raise what came of it all."""
    entry.last_error = str(cause)
    doing, again, not_either = _words(new, entry.previous)
    await supervise.cancel(entry)
    if entry.state is PluginState.RUNNING:
        entry.advance(Trigger.DISABLE)
    elif entry.state is PluginState.STARTING:
        entry.advance(Trigger.FAILED)
    await launch.stop(engine, entry)
    kind = volumes.type_of(cause) if isinstance(cause, errors.PlugindError) else errors.System
    failure: Exception | None = None
    try:
        entry.plugin = await asyncio.to_thread(engine.plugin_store.revert, new.id)
    except _EXPECTED as exc:
        failure = exc
    else:
        entry.previous = None
        checkpoint.checkpoint("replace:after-revert")
        engine.events.plugin("rolled back", entry.plugin, error=str(cause))
    failure = await _start_again(engine, entry) or failure
    if failure is None:
        raise kind(f"cannot {doing}, so {again}: {cause}") from cause
    raise kind(f"cannot {doing}: {cause}\nand {not_either}: {failure}") from cause


async def _start_again(engine: Engine, entry: Entry) -> Exception | None:
    """Start what is in place now; if that fails, supervision goes on trying. Return why it failed."""
    entry.advance(Trigger.ENABLE)
    try:
        await launch.start(engine, entry, deadline=engine.options.enable_timeout)
    except Exception as exc:  # noqa: BLE001 - told to the caller, with what came first
        entry.failures += 1
        entry.last_error = str(exc)
        entry.advance(Trigger.EXITED)
        supervise.watch(engine, entry)
        return exc
    entry.advance(Trigger.READY)
    supervise.watch(engine, entry)
    await replay.replay_mounts(engine, entry)
    return None


def _words(new: Plugin, old: Plugin | None) -> tuple[str, str, str]:
    """Return what was tried, and how to say that the old one runs again, or does not."""
    if new.settings_before is not None:
        back = "runs again with its old settings"
        return (
            f"set plugin {new.name}",
            f"it {back}",
            "it does not run with its old settings either",
        )
    before = f"its old version {old.remote if old is not None else ''}".rstrip()
    doing = f"upgrade plugin {new.name} to {new.remote}"
    return doing, f"{before} runs again", f"{before} does not run either"
