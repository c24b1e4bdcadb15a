# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One request at a plugin's front socket: hold, record, forward, rewrite.

    Plugin.Activate     answered from config.json, whatever the plugin does now; while a plugin comes
                        back to volumes that are mounted, when they are mounted again
    VolumeDriver.*      recorded by `traffic`
    everything else     forwarded

A request waits while its plugin starts, restarts or is replaced, bounded in time and number. What
was sent is never sent again here, and every request gets an answer: a consumer that loses its
connection would repeat the request, and dockerd does so with an empty body.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

from plugind import errors, log
from plugind.engine import ports, sealing
from plugind.engine.context import Engine, Entry, Front
from plugind.engine.front import traffic
from plugind.engine.volume import references
from plugind.model import front as front_
from plugind.model import volume as volume_
from plugind.model.front import Reply
from plugind.model.lifecycle import PluginState
from plugind.rpc.volume import QUICK, SLOW

T = TypeVar("T")
Attempt = Callable[[ports.PluginSocket], Awaitable[T]]
#: Requests of one front that wait at the same time.
MOST_WAITING = 512
#: Seconds for an answer where the protocol names no limit; consumers have their own.
_LONGEST = 600.0
#: Seconds until the agent has noticed that a process is gone whose socket refuses.
_NOTICED = 2.0
#: Seconds that Activate waits: a consumer's other plugins wait behind it.
_PATIENCE = 10.0


async def answer(engine: Engine, front: Front, method: str, content: bytes, process: str) -> Reply:
    """Answer a request; an error is an answer, too. `process` is the name of who asks."""
    reply = await _answer(engine, front, method, content, process)
    # What a consumer is told ends in its logs, and in its users' terminals.
    if method in front_.SHOWING:
        reply = front_.with_statuses(reply, functools.partial(_redacted_status, engine, front))
    return front_.with_words(
        method, reply, lambda text: sealing.redact(engine, text, front_.volume_name(content))
    )


def _redacted_status(engine: Engine, front: Front, volume: str, status: Any) -> Any:
    record = engine.volumes.get(volume)
    own = [record] if record is not None and record.driver == front.name else []
    return sealing.redact_document(engine, status, own)


async def _answer(engine: Engine, front: Front, method: str, content: bytes, process: str) -> Reply:
    try:
        content = front_.prepare(method, content)
        if method == front_.ACTIVATE:
            await restored(engine, front)
            return front_.activation(entry_of(engine, front).plugin.config.interface)
        if method in traffic.CHANGING:
            # Who cannot be served hears so at once, not behind others, and leaves no trace.
            await ready(engine, front, _until(engine, front))
        forward = functools.partial(exchange, engine, front)
        if method.startswith(front_.VOLUME + "."):
            return await traffic.answer(engine, front, forward, method, content, process)
        return await forward(method, content)
    except errors.InvalidParameter as exc:
        return front_.failure(method, exc.message, 400)
    except errors.PlugindError as exc:
        return front_.failure(method, exc.message)
    except Exception as exc:  # noqa: BLE001 - a consumer without an answer would ask again
        log.error(f"cannot answer {method} at the front of {front.name}", exc=exc)
        return front_.failure(method, f"cannot answer {method}: internal error")


async def exchange(
    engine: Engine, front: Front, method: str, content: bytes, *, limit: float | None = None
) -> Reply:
    """Forward a request and return the answer as consumers understand it.

    `limit`, in seconds, bounds the wait for the plugin and for its answer; None is the usual one.
    """
    seconds = _limit_of(method) if limit is None else limit
    entry, (status, content_type, body) = await deliver(
        engine, front, lambda socket: socket.forward(method, content, timeout=seconds), limit
    )
    host_path = functools.partial(
        volume_.host_path,
        plugin_root=str(engine.layout.plugin_dir(entry.plugin.id)),
        propagated_mount=entry.plugin.config.propagated_mount,
    )
    reply = Reply(status=status, content=body, content_type=content_type)
    return front_.normalise(method, reply, host_path)


@contextlib.asynccontextmanager
async def stream(
    engine: Engine, front: Front, method: str, content: bytes
) -> AsyncIterator[tuple[int, str, AsyncIterator[bytes]]]:
    """Forward a request whose answer is long; give status, content type and the body as it comes."""
    content = front_.prepare(method, content)
    async with contextlib.AsyncExitStack() as stack:

        def attempt(
            socket: ports.PluginSocket,
        ) -> Awaitable[tuple[int, str, AsyncIterator[bytes]]]:
            return stack.enter_async_context(socket.stream(method, content, timeout=_LONGEST))

        yield (await deliver(engine, front, attempt))[1]


async def deliver(
    engine: Engine, front: Front, attempt: Attempt[T], limit: float | None = None
) -> tuple[Entry, T]:
    """Make an attempt at the plugin that runs; again if nothing was sent, as long as one may wait."""
    loop = asyncio.get_running_loop()
    until = _until(engine, front) if limit is None else loop.time() + limit
    while True:
        entry, socket = await ready(engine, front, until)
        moved = entry.moved
        try:
            return entry, await attempt(socket)
        except errors.Unavailable as exc:
            if not exc.harmless:
                raise
            # The process may have ended just now. Then the agent is about to start another.
            with _held(front):
                try:
                    async with asyncio.timeout_at(min(until, loop.time() + _NOTICED)):
                        await moved.wait()
                except TimeoutError:
                    raise exc from None


async def ready(engine: Engine, front: Front, until: float) -> tuple[Entry, ports.PluginSocket]:
    """Return the running plugin and its socket; wait for it until that time of the loop.

    Conflict at once if it is disabled; Unavailable if it takes too long or too many wait already.
    """
    entry = entry_of(engine, front)
    if entry.state is PluginState.RUNNING and entry.socket is not None:
        return entry, entry.socket
    with _held(front):
        try:
            async with asyncio.timeout_at(until):
                while True:
                    entry = entry_of(engine, front)
                    if entry.state is PluginState.RUNNING and entry.socket is not None:
                        return entry, entry.socket
                    _require_coming(entry)
                    await entry.moved.wait()
        except TimeoutError:
            text = f"plugin {front.name} is {entry.state.value}, and did not answer in time"
            raise errors.Unavailable(_with_cause(text, entry)) from None


async def restored(engine: Engine, front: Front) -> None:
    """Wait while volumes that consumers hold are about to be mounted again, for a while at most.

    Podman counts mounts itself: for the second container it asks for nothing but Activate, and takes
    the path that it knows. Before the replay an empty directory is there.
    """
    entry = entry_of(engine, front)
    if entry.state is PluginState.RUNNING and not entry.replays:
        return
    if not await references.held(engine, entry.plugin):
        return
    with _held(front), contextlib.suppress(TimeoutError, errors.Conflict):
        async with asyncio.timeout(_PATIENCE):
            while entry.replays or entry.state is not PluginState.RUNNING:
                if entry.state is not PluginState.RUNNING:
                    _require_coming(entry)
                await entry.moved.wait()


def _require_coming(entry: Entry) -> None:
    """Raise Conflict unless the plugin will be there by itself."""
    is_under_way = entry.state in (PluginState.STARTING, PluginState.STOPPING, PluginState.BACKOFF)
    # Enabled, and not yet looked at: the agent has just begun.
    is_unsettled = entry.plugin.enabled and entry.state is PluginState.DISABLED
    if is_under_way or is_unsettled or entry.holds:
        return
    text = f"plugin {entry.plugin.name} found but disabled"
    raise errors.Conflict(_with_cause(text, entry) if entry.state is PluginState.FAILED else text)


@contextlib.contextmanager
def _held(front: Front) -> Iterator[None]:
    if front.waiting >= MOST_WAITING:
        raise errors.Unavailable(
            f"plugin {front.name} does not answer, and {front.waiting} requests wait for it already"
        )
    front.waiting += 1
    try:
        yield
    finally:
        front.waiting -= 1


def entry_of(engine: Engine, front: Front) -> Entry:
    """Return the plugin of a front; NotFound if it was removed just now."""
    for entry in engine.entries.values():
        if entry.plugin.name == front.name:
            return entry
    raise errors.NotFound(f'plugin "{front.name}" not found')


def _until(engine: Engine, front: Front) -> float:
    """Return how long a request waits for its plugin, as a time of the loop."""
    return asyncio.get_running_loop().time() + engine.patience(entry_of(engine, front))


def _limit_of(method: str) -> float:
    interface, _, name = method.partition(".")
    if interface != front_.VOLUME:
        return _LONGEST
    return SLOW if name in ("Create", "Mount") else QUICK


def _with_cause(text: str, entry: Entry) -> str:
    return f"{text}: {entry.last_error}" if entry.last_error else text
