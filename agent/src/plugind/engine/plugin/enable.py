# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Enable and disable: `enabled` on disk becomes true only after the plugin's socket answered."""

from __future__ import annotations

from plugind import checkpoint, errors
from plugind.engine import ending, lookup
from plugind.engine.context import Engine, Entry
from plugind.engine.plugin import configure, launch, supervise
from plugind.engine.volume import references, replay
from plugind.model.lifecycle import PluginState, Trigger
from plugind.model.plugin import Plugin


async def enable(engine: Engine, text: str, *, timeout: float) -> Plugin:
    """Start plugin `text`; `timeout` is the deadline in seconds, 0 for the configured one."""
    if timeout < 0:
        raise errors.InvalidParameter(f"negative value is invalid for timeout: {timeout:g}")
    entry = lookup.entry(engine, text)
    async with lookup.held(engine, entry):
        name = entry.plugin.name
        if entry.plugin.enabled and entry.state is not PluginState.FAILED:
            raise errors.Conflict(f"plugin already enabled: plugin {name} is enabled")
        await supervise.cancel(entry)
        entry.advance(Trigger.ENABLE)
        try:
            await launch.start(engine, entry, deadline=timeout or engine.options.enable_timeout)
            await ending.to_the_end(_record_enabled(engine, entry))
        except BaseException as exc:
            await ending.to_the_end(_unwind(engine, entry, exc))
            raise
        entry.advance(Trigger.READY)
        entry.failures = entry.restarts = 0
        entry.last_error = ""
        supervise.watch(engine, entry)
        plugin = entry.plugin
        engine.events.plugin("enable", plugin)
    # Who held a mount through a forced disable has it again when this returns. Without the lock: a
    # driver that hangs now can be disabled.
    await replay.replay_mounts(engine, entry)
    return plugin


async def disable(engine: Engine, text: str, *, force: bool) -> Plugin:
    """Stop plugin `text`. `force` stops it although volumes use it."""
    entry = lookup.entry(engine, text)
    async with lookup.held(engine, entry):
        plugin = entry.plugin
        if not force:
            await references.require_unused(engine, plugin)
        if not plugin.enabled:
            raise errors.Conflict(
                f"plugin is already disabled: plugin {plugin.name} found but disabled"
            )
        await ending.to_the_end(stop_and_record(engine, entry))
    engine.events.plugin("disable", entry.plugin)
    return entry.plugin


async def stop_and_record(engine: Engine, entry: Entry) -> None:
    """Stop an enabled plugin, whatever it is doing, and record that it is disabled."""
    await supervise.cancel(entry)
    entry.advance(Trigger.DISABLE)
    checkpoint.checkpoint("disable:before-stop")
    entry.last_exit = await launch.stop(engine, entry)
    checkpoint.checkpoint("disable:before-commit")
    await configure.save(engine, entry, entry.plugin.with_enabled(False))
    checkpoint.checkpoint("disable:after-commit")
    entry.advance(Trigger.STOPPED)


async def _record_enabled(engine: Engine, entry: Entry) -> None:
    checkpoint.checkpoint("enable:before-commit")
    # The commit point: from here on a restart of the agent brings the plugin back.
    await configure.save(engine, entry, entry.plugin.with_enabled(True))
    checkpoint.checkpoint("enable:after-commit")


async def _unwind(engine: Engine, entry: Entry, cause: BaseException) -> None:
    entry.last_error = str(cause)
    entry.advance(Trigger.FAILED)
    await launch.stop(engine, entry)
    if entry.plugin.enabled:
        await configure.save(engine, entry, entry.plugin.with_enabled(False))
    entry.advance(Trigger.STOPPED)
