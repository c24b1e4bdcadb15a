# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The API's application: every request takes the same way through `_dispatch`.

    peer credentials -> path -> route -> API version -> degraded? -> handler -> response

Whatever goes wrong on the way becomes a response in `status`. A request that changes something
is carried out to its end even if its client goes away, unless its route says otherwise; requests
in that state are awaited when the server stops.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from plugind import errors, log
from plugind.api import access, audit, call, routes, status, system, versions, wire
from plugind.api import stories as stories_
from plugind.api.call import Call
from plugind.api.ports import Stories

if TYPE_CHECKING:
    from plugind.engine.context import Engine

PeerOf = Callable[[asyncio.Transport | None], access.Peer]

# Registry tokens in X-Registry-Auth outgrow aiohttp's 8 KiB.
_MAX_HEADER = 64 * 1024
# Seconds that a stopping server waits for requests whose clients are gone.
_STOP_GRACE = 15.0


class _Api:
    """What every request needs, and the requests that outlive their clients."""

    def __init__(
        self, engine: Engine, stories: Stories, version: str, gid: int | None, peer_of: PeerOf
    ) -> None:
        self._engine = engine
        self._stories = stories
        self._server = system.detect_server(version)
        self._gid = gid
        self._peer_of = peer_of
        self._unfinished: set[asyncio.Task[web.StreamResponse]] = set()
        self._headers = {
            "Api-Version": versions.CURRENT,
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Server": f"Docker/{version} (linux)",
        }

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            peer = self._require_member(request)
            route, admitted = self._admit(request, peer)
            if route.access is access.Access.READ:
                return await self._answer(route, admitted)
            with audit.told(_unversioned(request), peer) as outcome:
                response = await self._answer(route, admitted)
                outcome.status = response.status
                return response
        except aiohttp.ClientConnectionResetError:
            raise  # there is nobody left to answer
        except Exception as exc:  # noqa: BLE001 - the one place where errors become responses
            return status.render(exc, f"{request.method} {request.path}", self._engine.redact)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what every response carries, and what the handler set for this one."""
        response.headers.update(self._headers)
        response.headers.update(request.get(call.HEADERS, {}))

    async def stop(self, _: web.Application) -> None:
        """Wait for requests that go on without their clients."""
        if self._unfinished:
            late = (await asyncio.wait(self._unfinished, timeout=_STOP_GRACE))[1]
            for task in late:
                log.warning(f"request abandoned at shutdown: {task.get_name()}")

    def _require_member(self, request: web.Request) -> access.Peer:
        peer = self._peer_of(request.transport)
        try:
            access.require_member(peer, self._gid)
        except errors.Forbidden as exc:
            log.warning(f"{request.method} {request.path}: {exc}", **audit.describe(peer))
            raise
        return peer

    def _admit(self, request: web.Request, peer: access.Peer) -> tuple[routes.Route, Call]:
        asked, path = versions.split_prefix(_decode_path(request))
        route, name = routes.TABLE.match(request.method, path)
        api_version = versions.require_served(asked)
        if route.access is access.Access.WRITE and self._engine.degraded:
            raise errors.Unavailable(self._engine.degraded)
        return route, Call(
            request=request,
            engine=self._engine,
            stories=self._stories,
            server=self._server,
            name=name,
            api_version=api_version,
            query=wire.parse_query(request.rel_url.raw_query_string),
            peer=peer,
        )

    async def _answer(self, route: routes.Route, admitted: Call) -> web.StreamResponse:
        if route.gone is routes.Gone.FINISH:
            return await self._finish(route, admitted)
        return await route.handler(admitted)

    async def _finish(self, route: routes.Route, admitted: Call) -> web.StreamResponse:
        """Run the handler in a task of its own, which a client that goes away does not cancel."""
        task = asyncio.ensure_future(_handle(route, admitted))
        task.set_name(admitted.doing)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return await asyncio.shield(task)


def make_app(
    engine: Engine,
    *,
    version: str,
    group_gid: int | None,
    stories: Stories = stories_,
    peer_of: PeerOf = access.peer_of,
) -> web.Application:
    """Return the application. Members of `group_gid` may use it, besides root."""
    api = _Api(engine, stories, version, group_gid, peer_of)
    app = web.Application(client_max_size=wire.MAX_JSON)
    # The one route of aiohttp's own router: `routes` does the work. Names may contain newlines.
    app.router.add_route("*", r"/{path:[\s\S]*}", api.dispatch)
    app.on_response_prepare.append(api.add_headers)
    app.on_shutdown.append(api.stop)
    return app


def make_runner(app: web.Application, *, shutdown_timeout: float = 5.0) -> web.AppRunner:
    """Return the runner to serve the application with: it notices clients that go away."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=shutdown_timeout,
        max_line_size=_MAX_HEADER,
        max_field_size=_MAX_HEADER,
    )


async def _handle(route: routes.Route, admitted: Call) -> web.StreamResponse:
    try:
        return await route.handler(admitted)
    except Exception as exc:  # noqa: BLE001 - rendered here, so that an orphan's error is logged too
        return status.render(exc, admitted.doing, admitted.engine.redact)


def _unversioned(request: web.Request) -> str:
    """Return what a line in the log calls the request, the same for clients of any version."""
    return f"{request.method} {versions.split_prefix(request.path)[1]}"


def _decode_path(request: web.Request) -> str:
    try:
        return urllib.parse.unquote(request.rel_url.raw_path, errors="strict")
    except UnicodeDecodeError as exc:
        raise errors.InvalidParameter(f"invalid path: {exc}") from exc
