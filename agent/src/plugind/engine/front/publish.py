# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Front sockets: one for the name of each installed plugin, and the files that tell consumers.

    publish      after whatever changes the set of plugins: listen, withdraw, write files
    close        the agent stops: sockets' names stay, so that a path exists at all times

A front listens from the installation to the removal of its plugin, enabled or not: consumers look for
the path once and remember it. A failure here is logged and fails nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from pathlib import Path, PurePath

from plugind import errors, log
from plugind.engine.context import Engine, Front
from plugind.engine.front import announce, passthrough, traffic
from plugind.engine.front import front as front_
from plugind.host import listener, peercred
from plugind.model import front as protocol
from plugind.model import publishing
from plugind.rpc.server import Answer, Request, Server

_BACKLOG = 512
_MAX_BODY = 32 << 20
#: Seconds for requests under way when the agent stops or the plugin is removed.
_GRACE = 5.0


async def publish(engine: Engine) -> None:
    """Listen for every installed plugin and for no other, and tell consumers about it."""
    async with engine.locks.holding("publish"):
        wanted = {e.plugin.name for e in engine.entries.values()}
        for name in sorted(engine.fronts.keys() - wanted):
            await engine.fronts.pop(name).close()
        for name in sorted(wanted - engine.fronts.keys()):
            try:
                engine.fronts[name] = await _listen(engine, name)
            except OSError as exc:
                log.error(f"cannot open the front of plugin {name}: {exc.strerror}")
        await asyncio.to_thread(announce.announce, engine)


async def close(engine: Engine) -> None:
    """Stop listening. The files stay: the plugins go on running, and the agent comes back."""
    await asyncio.gather(*(front.close() for front in engine.fronts.values()))
    engine.fronts.clear()


async def _listen(engine: Engine, name: str) -> Front:
    """Open the front of a plugin; from now on its requests are answered."""
    path = publishing.front_path(engine.fronts_dir, name)
    bound = await asyncio.to_thread(_bind, engine.fronts_dir, path)
    try:
        raw: set[asyncio.Task[None]] = set()
        front = Front(name=name, path=path, close=_nothing)
        server = Server(functools.partial(_handle, engine, front), max_body=_MAX_BODY)

        def connected() -> asyncio.BaseProtocol:
            # What the plugin speaks may change with its version.
            if protocol.is_raw(front_.entry_of(engine, front).plugin.config.interface):
                return _raw(engine, front, raw)
            return server()

        listening = await asyncio.get_running_loop().create_server(
            connected, sock=bound, backlog=_BACKLOG
        )
    except BaseException:
        bound.close()
        raise

    async def close() -> None:
        listening.close()
        for task in raw:
            task.cancel()
        await server.close(_GRACE)

    front.close = close
    return front


def _bind(fronts: Path, path: PurePath) -> socket.socket:
    """Return a socket that listens at `path`, which appears by one rename, over an older one."""
    directory = Path(path).parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fronts.chmod(0o700)
    return listener.listen_at(Path(path), backlog=_BACKLOG)


def _raw(engine: Engine, front: Front, tasks: set[asyncio.Task[None]]) -> asyncio.BaseProtocol:
    """Return the protocol of a connection that is passed through."""

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(passthrough.serve(engine, front, (reader, writer)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    reader = asyncio.StreamReader(limit=passthrough.CHUNK)
    return asyncio.StreamReaderProtocol(reader, connected)


async def _handle(engine: Engine, front: Front, request: Request, answer: Answer) -> None:
    """Answer one HTTP request."""
    method = request.target.removeprefix("/")
    front.requests += 1
    if request.content is None:
        reply = protocol.failure(method, f"{method}: the body is too large", 413)
    elif request.verb != "POST":
        reply = protocol.failure(method, f"{request.verb} is not allowed", 405)
    elif method == protocol.READ_LOGS:
        await _stream(engine, front, request.content, answer)
        return
    else:
        process = _process(answer.peer) if method in traffic.CHANGING else ""
        reply = await front_.answer(engine, front, method, request.content, process)
    await answer.send(reply.status, reply.content_type, reply.content)


async def _stream(engine: Engine, front: Front, content: bytes, answer: Answer) -> None:
    """Pass an answer on as it comes, for as long as it comes."""
    begun = False
    try:
        async with front_.stream(engine, front, protocol.READ_LOGS, content) as found:
            status, content_type, chunks = found
            await answer.begin(status, content_type)
            begun = True
            async for chunk in chunks:
                await answer.write(chunk)
        await answer.end()
    except errors.PlugindError as exc:
        if begun:
            # A stream that breaks off must not look like one that has come to its end.
            log.warning(f"a stream of plugin {front.name} broke off: {exc}")
            answer.abort()
            return
        status = 400 if isinstance(exc, errors.InvalidParameter) else 500
        reply = protocol.failure(protocol.READ_LOGS, exc.message, status)
        await answer.send(reply.status, reply.content_type, reply.content)


def _process(connection: socket.socket | None) -> str:
    """Return the name of the process at the other end, "" if the kernel cannot say."""
    if connection is None:
        return ""
    try:
        pid = peercred.peer_credentials(connection).pid
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


async def _nothing() -> None:
    """Close a front that does not listen yet."""
