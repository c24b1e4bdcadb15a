# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The engine's metrics: `GET /metrics` at a socket of their own, and the plugins that collect them.

    serve, close       the agent begins, and ends
    start_collecting   a collector runs from now on: the socket, MetricsCollector.StartMetrics
    stop_collecting    it is about to be stopped: MetricsCollector.StopMetrics
    offer              it ran while the agent was away, and has a dead socket

A collector finds the socket at /run/docker/metrics.sock, as with Docker. What goes wrong is logged
and fails nothing else.
"""

from __future__ import annotations

import asyncio
import functools

from plugind import errors, log
from plugind.engine.context import Engine, Entry
from plugind.host import listener
from plugind.model import metrics
from plugind.model.lifecycle import PluginState
from plugind.rpc.server import Answer, Request, Server

CAPABILITY = "metricscollector"
_TARGET = "/metrics"
_PLAIN = "text/plain; charset=utf-8"
_BACKLOG = 64
_MAX_BODY = 64 << 10
_GRACE = 1.0
#: Seconds for an answer. A plugin that does not stop collecting is stopped all the same.
_START, _STOP = 30.0, 5.0


async def serve(engine: Engine) -> None:
    """Listen. That it cannot is logged."""
    server = Server(functools.partial(_handle, engine), max_body=_MAX_BODY)
    path = engine.metrics_socket
    try:
        bound = await asyncio.to_thread(listener.listen_at, path, backlog=_BACKLOG)
    except OSError as exc:
        log.error(f"cannot serve metrics: {exc.strerror}", path=path)
        return
    listening = await asyncio.get_running_loop().create_server(server, sock=bound, backlog=_BACKLOG)

    async def close() -> None:
        listening.close()
        await server.close(_GRACE)

    engine.close_metrics = close


async def close(engine: Engine) -> None:
    """Stop listening. The socket's name stays: collectors go on, and the agent comes back."""
    if engine.close_metrics is not None:
        await engine.close_metrics()
        engine.close_metrics = None


def count(engine: Engine) -> metrics.Counts:
    """Count what there is now."""
    volumes: dict[str, int] = {}
    mounts: dict[str, int] = {}
    for volume in engine.volumes.values():
        volumes[volume.driver] = volumes.get(volume.driver, 0) + 1
        try:
            held = len(engine.volume_store.mounts(volume.name))
        except errors.PlugindError:
            continue  # who has it mounted cannot be read: that is logged already
        mounts[volume.driver] = mounts.get(volume.driver, 0) + held
    return metrics.Counts(
        version=engine.options.version,
        degraded=bool(engine.degraded),
        plugins=tuple(_count_plugin(engine, entry) for entry in engine.entries.values()),
        volumes=volumes,
        mounts=mounts,
        host_mounts=len(engine.host_mounts),
    )


def start_collecting(engine: Engine, entry: Entry) -> None:
    """Tell a collector that has just been started to begin; nobody waits for it."""
    if entry.plugin.serves(CAPABILITY):
        engine.spawn(_start(engine, entry), f"start the metrics of {entry.plugin.name}")


async def stop_collecting(engine: Engine, entry: Entry) -> None:
    """Tell a collector to end, if it is the agent that stops it."""
    if entry.plugin.serves(CAPABILITY) and entry.state is PluginState.STOPPING:
        await _call(engine, entry, "StopMetrics", _STOP)


async def offer(engine: Engine, entry: Entry) -> None:
    """Give a collector the socket that is listened at now."""
    if not entry.plugin.serves(CAPABILITY):
        return
    try:
        await asyncio.to_thread(engine.host.offer_metrics, engine.dirs(entry.plugin.id))
    except errors.PlugindError as exc:
        log.error(f"cannot offer metrics: {exc}", plugin=entry.plugin.id)


async def _start(engine: Engine, entry: Entry) -> None:
    await offer(engine, entry)
    await _call(engine, entry, "StartMetrics", _START)


async def _call(engine: Engine, entry: Entry, method: str, timeout: float) -> None:
    try:
        # A client of its own: the entry's may be waiting for another version of the plugin.
        socket = engine.dialer.connect(engine.socket_path(entry.plugin))
        try:
            await socket.call(f"MetricsCollector.{method}", None, timeout=timeout)
        finally:
            await socket.close()
    except errors.PlugindError as exc:
        log.warning(f"MetricsCollector.{method} failed: {exc}", plugin=entry.plugin.id)


def _count_plugin(engine: Engine, entry: Entry) -> metrics.PluginCounts:
    front = engine.fronts.get(entry.plugin.name)
    return metrics.PluginCounts(
        name=entry.plugin.name,
        state=entry.state,
        restarts=entry.restarts,
        front_requests=None if front is None else front.requests,
        front_waiting=0 if front is None else front.waiting,
    )


async def _handle(engine: Engine, request: Request, answer: Answer) -> None:
    path = request.target.partition("?")[0]
    if path != _TARGET:
        await answer.send(404, _PLAIN, b"404 page not found\n")
    elif request.verb != "GET":
        await answer.send(405, _PLAIN, f"{request.verb} is not allowed\n".encode())
    else:
        content = metrics.render(metrics.metrics(count(engine)))
        await answer.send(200, metrics.CONTENT_TYPE, content.encode())
