# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Starting and stopping a plugin's process: the steps, and their unwinding in reverse order.

    start: host facts -> runtime spec -> run -> socket answers -> client
    stop:  client closed -> TERM, grace, KILL -> mounts released; the runtime forgets it meanwhile

`Plugin.Activate` is never asked: real plugins answer it wrongly or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil

from plugind import checkpoint, errors, log
from plugind.engine import ending, logs, metrics, ports
from plugind.engine.context import Engine, Entry
from plugind.model.confinement import format_size
from plugind.model.plugin import Plugin
from plugind.spec import runtime as spec_runtime

_SIGKILLED = 137


async def start(engine: Engine, entry: Entry, *, deadline: float) -> None:
    """Run the plugin and connect to its socket within `deadline` seconds.

    PluginFailed carries the deadline or the exit status, and the plugin's last lines.
    """
    plugin = entry.plugin
    socket_path = engine.socket_path(plugin)
    dirs = engine.dirs(plugin.id)
    await forgotten(entry)
    facts = await asyncio.to_thread(engine.host.prepare, plugin, dirs)
    confinement = engine.options.confinement.of(plugin.name)
    spec = spec_runtime.runtime_spec(plugin, dirs, facts, confinement)
    log_path = engine.log_path(plugin.id)
    log_start = log_size(engine, plugin.id)
    try:
        socket_path.unlink(missing_ok=True)
        entry.container = await engine.runtime.start(plugin.id, spec, log_path)
        checkpoint.checkpoint("enable:after-start")
        logs.follow_output(engine, entry, log_start)
        await _wait_listening(engine, plugin, entry.container, deadline, log_start)
    except BaseException:
        await asyncio.shield(stop(engine, entry))
        raise
    connect(engine, entry)
    metrics.start_collecting(engine, entry)


def log_size(engine: Engine, plugin_id: str) -> int:
    """Return how many bytes of output there are: where that of the next run begins."""
    path = engine.log_path(plugin_id)
    return path.stat().st_size if path.exists() else 0


async def last_lines(engine: Engine, plugin_id: str, log_start: int) -> tuple[str, ...]:
    """Return the last lines of a run's output, for errors: without secrets."""
    path, count = engine.log_path(plugin_id), engine.options.error_lines
    lines = await asyncio.to_thread(logs.last_lines, path, log_start, count)
    return tuple(engine.redact(line) for line in lines)


def describe_kill(container: ports.Container, status: int | None) -> str:
    """Return what the kernel killed in a plugin that has ended with `status`, "" for nothing."""
    kill = container.memory_kill()
    if kill is None:
        return ""
    who = "killed" if status == _SIGKILLED else "one of its processes was killed"
    if kill.limit is None:
        return f"{who}: the host was out of memory"
    return f"{who}: out of its memory limit of {format_size(kill.limit)}"


def connect(engine: Engine, entry: Entry) -> None:
    """Give the entry a client for its plugin's socket."""
    entry.socket = engine.dialer.connect(engine.socket_path(entry.plugin))
    entry.scope = None
    entry.started_at = engine.clock.monotonic()


async def stop(engine: Engine, entry: Entry) -> int | None:
    """Stop the plugin's process if it runs and release what it held. Safe to call twice."""
    status = None
    plugin_id = entry.plugin.id
    if entry.socket is not None:
        await metrics.stop_collecting(engine, entry)
        await entry.socket.close()
        entry.socket = None
    container = entry.container
    if container is not None:
        status = await container.stop(engine.options.stop_grace)
        entry.container = None
    entry.mounted.clear()
    try:
        await logs.end_output(entry)
        await asyncio.to_thread(_release, engine, entry.plugin)
    finally:
        # Not before the rest: it starts a program, and the loop stands still for that.
        if container is not None:
            entry.forgetting = engine.spawn(
                ending.to_the_end(_forget(engine, plugin_id, container)), f"forget {plugin_id}"
            )
    return status


async def forgotten(entry: Entry) -> None:
    """Wait until the runtime has forgotten the process that was stopped last."""
    if entry.forgetting is not None:
        await asyncio.wait([entry.forgetting])
        entry.forgetting = None


async def _forget(engine: Engine, plugin_id: str, container: ports.Container) -> None:
    """Let the runtime forget a process that has ended: its state, its cgroup, its bundle.

    Nobody waits for it but the next start, which needs the name. A crash leaves it to the boot.
    """
    try:
        await container.delete()
    except errors.PlugindError as exc:
        log.warning(f"purging what the runtime could not delete: {exc}", plugin=plugin_id)
        await engine.runtime.purge(plugin_id)


def _release(engine: Engine, plugin: Plugin) -> None:
    engine.host.release(engine.dirs(plugin.id))
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(engine.layout.socket_dir(plugin.id))


async def _wait_listening(
    engine: Engine,
    plugin: Plugin,
    container: ports.Container,
    deadline: float,
    log_start: int,
) -> None:
    exited = asyncio.ensure_future(container.wait())
    try:
        await engine.dialer.wait_listening(engine.socket_path(plugin), deadline, exited=exited)
    except errors.Unavailable:
        lines = await last_lines(engine, plugin.id, log_start)
        socket = plugin.config.interface.socket
        if exited.done():
            status = exited.result()
            why = describe_kill(container, status)
            raise errors.PluginFailed(
                f"cannot enable plugin {plugin.name}: its process exited with status {status} "
                f"before it listened on {socket}" + (f" ({why})" if why else ""),
                exit_status=status,
                last_lines=lines,
            ) from None
        raise errors.PluginFailed(
            f"cannot enable plugin {plugin.name}: nothing listens on {socket} after "
            f"{deadline:g} s, and its process still runs (it was stopped now)",
            last_lines=lines,
        ) from None
    finally:
        if not exited.done():
            exited.cancel()
            await asyncio.wait([exited])
    log.debug("plugin listens", plugin=plugin.id)
