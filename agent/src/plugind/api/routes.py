# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every endpoint, in one table, and how a path finds its line.

A line says method, path, what it does to the engine's state (a degraded engine refuses writes),
what becomes of it when its client goes away, and the handler. `{name}` stands for anything,
slashes included; lines without it win. A request is matched by one dictionary look-up, then by
prefix and suffix among the lines of its method.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from plugind import errors
from plugind.api import containers, host_mounts, images, native, plugins, system, volumes
from plugind.api.access import Access
from plugind.api.call import Call

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Gone(enum.Enum):
    """What happens to a request whose client went away."""

    STOP = "cancel it"
    FINISH = "carry it out to its end"


READ, WRITE = Access.READ, Access.WRITE
STOP, FINISH = Gone.STOP, Gone.FINISH

# fmt: off
ROUTES: tuple[tuple[str, str, Access, Gone, Handler], ...] = (
    ("GET",    "/_ping",                          READ,  STOP,   system.ping),
    ("HEAD",   "/_ping",                          READ,  STOP,   system.ping),
    ("GET",    "/version",                        READ,  STOP,   system.version),
    ("GET",    "/info",                           READ,  STOP,   system.info),
    ("GET",    "/events",                         READ,  STOP,   system.events),
    ("GET",    "/distribution/{name}/json",       READ,  STOP,   system.distribution),
    ("POST",   "/auth",                           READ,  STOP,   system.log_in),
    ("GET",    "/system/df",                      READ,  STOP,   system.disk_usage),

    ("GET",    "/containers/json",                READ,  STOP,   containers.list_containers),
    ("POST",   "/containers/create",              WRITE, FINISH, containers.create),
    ("POST",   "/containers/prune",               WRITE, FINISH, containers.prune),
    ("GET",    "/containers/{name}/json",         READ,  STOP,   containers.inspect),
    ("GET",    "/containers/{name}/logs",         READ,  STOP,   containers.logs),
    ("POST",   "/containers/{name}/start",        WRITE, FINISH, containers.start),
    ("POST",   "/containers/{name}/stop",         WRITE, FINISH, containers.stop),
    ("POST",   "/containers/{name}/restart",      WRITE, FINISH, containers.restart),
    ("POST",   "/containers/{name}/kill",         WRITE, FINISH, containers.kill),
    ("POST",   "/containers/{name}/resize",       WRITE, FINISH, containers.resize),
    ("POST",   "/containers/{name}/wait",         WRITE, STOP,   containers.wait),
    ("POST",   "/containers/{name}/attach",       WRITE, STOP,   containers.attach),
    ("DELETE", "/containers/{name}",              WRITE, FINISH, containers.remove),
    ("GET",    "/containers/{name}/attach/ws",    READ,  STOP,   containers.unserved),
    ("GET",    "/containers/{name}/archive",      READ,  STOP,   containers.unserved),
    ("HEAD",   "/containers/{name}/archive",      READ,  STOP,   containers.unserved),
    ("PUT",    "/containers/{name}/archive",      WRITE, STOP,   containers.unserved),
    ("GET",    "/containers/{name}/changes",      READ,  STOP,   containers.unserved),
    ("GET",    "/containers/{name}/export",       READ,  STOP,   containers.unserved),
    ("GET",    "/containers/{name}/stats",        READ,  STOP,   containers.unserved),
    ("GET",    "/containers/{name}/top",          READ,  STOP,   containers.unserved),
    ("POST",   "/containers/{name}/exec",         WRITE, STOP,   containers.unserved),
    ("POST",   "/containers/{name}/pause",        WRITE, STOP,   containers.unserved),
    ("POST",   "/containers/{name}/unpause",      WRITE, STOP,   containers.unserved),
    ("POST",   "/containers/{name}/rename",       WRITE, STOP,   containers.unserved),
    ("POST",   "/containers/{name}/update",       WRITE, STOP,   containers.unserved),

    ("GET",    "/networks",                       READ,  STOP,   system.empty_list),
    ("POST",   "/networks/prune",                 WRITE, FINISH, system.prune_networks),
    ("GET",    "/networks/{name}",                READ,  STOP,   system.no_network),

    ("GET",    "/plugins",                        READ,  STOP,   plugins.list_plugins),
    ("GET",    "/plugins/privileges",             READ,  STOP,   plugins.privileges),
    ("GET",    "/plugins/{name}/json",            READ,  STOP,   plugins.inspect),
    ("DELETE", "/plugins/{name}",                 WRITE, FINISH, plugins.remove),
    ("POST",   "/plugins/pull",                   WRITE, STOP,   plugins.pull),
    ("POST",   "/plugins/create",                 WRITE, STOP,   plugins.create),
    ("POST",   "/plugins/{name}/enable",          WRITE, FINISH, plugins.enable),
    ("POST",   "/plugins/{name}/disable",         WRITE, FINISH, plugins.disable),
    ("POST",   "/plugins/{name}/push",            WRITE, STOP,   plugins.push),
    # Where docker SDK 7's push_plugin posts to, by mistake; a Docker Engine answers it 404.
    ("POST",   "/plugins/{name}/pull",            WRITE, STOP,   plugins.push),
    ("POST",   "/plugins/{name}/upgrade",         WRITE, STOP,   plugins.upgrade),
    ("POST",   "/plugins/{name}/set",             WRITE, FINISH, plugins.configure),

    ("GET",    "/images/json",                    READ,  STOP,   images.list_images),
    ("GET",    "/images/{name}/json",             READ,  STOP,   images.inspect),
    ("POST",   "/images/create",                  WRITE, STOP,   images.create),
    ("POST",   "/images/load",                    WRITE, STOP,   images.load),
    ("POST",   "/images/prune",                   WRITE, FINISH, images.prune),
    ("POST",   "/images/{name}/tag",              WRITE, FINISH, images.tag),
    ("DELETE", "/images/{name}",                  WRITE, FINISH, images.remove),
    ("GET",    "/images/get",                     READ,  STOP,   images.unsupported),
    ("GET",    "/images/search",                  READ,  STOP,   images.unsupported),
    ("GET",    "/images/{name}/get",              READ,  STOP,   images.unsupported),
    ("GET",    "/images/{name}/history",          READ,  STOP,   images.unsupported),
    ("POST",   "/images/{name}/push",             WRITE, STOP,   images.unsupported),
    ("POST",   "/build/prune",                    WRITE, FINISH, system.prune_builds),
    ("POST",   "/build",                          WRITE, STOP,   images.unsupported),
    ("POST",   "/commit",                         WRITE, STOP,   images.unsupported),

    ("GET",    "/volumes",                        READ,  STOP,   volumes.list_volumes),
    ("POST",   "/volumes/create",                 WRITE, FINISH, volumes.create),
    ("POST",   "/volumes/prune",                  WRITE, FINISH, volumes.prune),
    ("GET",    "/volumes/{name}",                 READ,  STOP,   volumes.inspect),
    ("PUT",    "/volumes/{name}",                 WRITE, FINISH, volumes.update),
    ("DELETE", "/volumes/{name}",                 WRITE, FINISH, volumes.remove),

    ("GET",    "/plugind/version",                READ,  STOP,   native.version),
    ("GET",    "/plugind/plugins",                READ,  STOP,   native.list_plugins),
    ("GET",    "/plugind/plugins/{name}/logs",    READ,  STOP,   native.logs),
    ("GET",    "/plugind/plugins/{name}",         READ,  STOP,   native.inspect),
    ("POST",   "/plugind/plugins/{name}/rpc",     WRITE, FINISH, native.rpc),
    ("POST",   "/plugind/plugins/{name}/upgrade", WRITE, STOP,   native.upgrade),
    ("POST",   "/plugind/plugins/{name}/set",     WRITE, FINISH, native.configure),
    ("GET",    "/plugind/volumes/{name}/holders", READ,  STOP,   native.holders),
    ("POST",   "/plugind/volumes/{name}/mount",   WRITE, FINISH, native.mount),
    ("POST",   "/plugind/volumes/{name}/unmount", WRITE, FINISH, native.unmount),
    ("DELETE", "/plugind/volumes/{name}",         WRITE, FINISH, native.remove_volume),
    ("GET",    "/plugind/mounts",                 READ,  STOP,   host_mounts.list_mounts),
    ("GET",    "/plugind/mounts/{name}",          READ,  STOP,   host_mounts.inspect),
    ("POST",   "/plugind/mounts",                 WRITE, FINISH, host_mounts.mount),
    ("DELETE", "/plugind/mounts/{name}",          WRITE, FINISH, host_mounts.unmount),
    ("POST",   "/plugind/apply",                  WRITE, FINISH, native.apply),
    ("POST",   "/plugind/rollback",               WRITE, FINISH, native.roll_back),
    ("POST",   "/plugind/query",                  READ,  STOP,   native.query),
)
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A line of the table."""

    access: Access
    gone: Gone
    handler: Handler


class Table:
    """The routes, laid out for matching."""

    def __init__(self, routes: tuple[tuple[str, str, Access, Gone, Handler], ...]) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._named: dict[str, list[tuple[str, str, Route]]] = {}
        for method, path, access, gone, handler in routes:
            route = Route(access=access, gone=gone, handler=handler)
            prefix, named, suffix = path.partition("{name}")
            if named:
                self._named.setdefault(method, []).append((prefix, suffix, route))
            else:
                self._exact[method, path] = route

    def match(self, method: str, path: str) -> tuple[Route, str]:
        """Return the route and the name in the path; NotFound in Docker's words."""
        route = self._exact.get((method, path))
        if route is not None:
            return route, ""
        for prefix, suffix, route in self._named.get(method, ()):
            name = path[len(prefix) : len(path) - len(suffix)]
            if path == prefix + name + suffix:
                return route, name
        raise errors.NotFound("page not found")


TABLE = Table(ROUTES)
