# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Ping, version, info, events, and honest answers about what this engine does not have."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from aiohttp import web

from plugind import errors
from plugind.api import filters, stream, versions, wire
from plugind.api import images as image_routes
from plugind.api.call import Call, Server
from plugind.model import event, reference
from plugind.model.event import Event
from plugind.registry import credentials

_GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_PING_HEADERS = {
    "Builder-Version": "2",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}
# Filters that Docker knows for things this engine never has: they match nothing.
_EVENT_FILTERS = (*event.FILTERS, "config", "network", "node", "secret", "service")

_PRUNE_FILTERS = ("label", "label!", "until")
_BUILD_FILTERS = (
    *_PRUNE_FILTERS, "description", "id", "inuse", "parent", "private", "shared", "type",
)  # fmt: skip


def detect_server(version: str) -> Server:
    """Read what /version and /info say of the host."""
    host = os.uname()
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        system = "Linux"  # a host without os-release
    return Server(
        version=version,
        kernel=host.release,
        machine=host.machine,
        hostname=host.nodename,
        operating_system=system,
        cpus=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


async def ping(call: Call) -> web.Response:
    """Say that the engine is there; clients negotiate the version by the headers."""
    response = web.Response(text="OK", headers=_PING_HEADERS)
    if call.request.method == "HEAD":
        response = web.Response(headers={**_PING_HEADERS, "Content-Length": "0"})
    response.content_type, response.charset = "text/plain", "utf-8"
    return response


async def version(call: Call) -> web.Response:
    """Answer `docker version`."""
    facts = _version_facts(call.server)
    engine = {"Name": "Engine", "Version": call.server.version}
    return wire.json_response(
        {
            "Platform": {"Name": "plugind"},
            "Components": [{**engine, "Details": {**facts, "Experimental": "false"}}],
            "Version": call.server.version,
            **facts,
        }
    )


async def info(call: Call) -> web.Response:
    """Answer `docker info`: this engine's fields over those that every client expects."""
    known = call.stories.info(call.engine)
    return wire.json_response({**_constant_info(call.server), **known})


async def events(call: Call) -> web.StreamResponse:
    """Stream events; the headers go out at once, or the client waits for the first event."""
    since, until = call.query.get("since", ""), call.query.get("until", "")
    since_ns, until_ns = wire.parse_moment(since), wire.parse_moment(until)
    if since_ns is not None and until_ns is not None and until_ns < since_ns:
        raise errors.InvalidParameter(
            f"`since` time ({since}) cannot be after `until` time ({until})"
        )
    wanted = filters.parse(call.query.get("filters", ""), _EVENT_FILTERS)
    with call.stories.subscribe(call.engine, since_ns=since_ns, until_ns=until_ns) as source:
        return await stream.each(call, "application/json", _render_events(source, wanted))


async def distribution(call: Call) -> web.Response:
    """Ask the registry which manifest a reference names now."""
    ref = reference.parse(call.name).with_default_tag()
    found = await call.stories.resolve(call.engine, ref, call.credentials)
    descriptor = {
        "mediaType": found.media_type,
        "digest": str(found.digest),
        "size": len(found.raw),
    }
    # A plugin's config names no platform, so there is none to tell.
    return wire.json_response({"Descriptor": descriptor, "Platforms": []})


async def log_in(call: Call) -> web.Response:
    """Check credentials with their registry, for `docker login`; the client keeps them itself."""
    document = await call.object()
    found = credentials.from_document(document)
    if found is None:
        raise errors.InvalidParameter("cannot log in: neither a user's name nor a token is given")
    await call.stories.log_in(call.engine, found)
    return wire.json_response({"Status": "Login Succeeded", "IdentityToken": ""})


async def disk_usage(call: Call) -> web.Response:
    """Answer `docker system df`: images, and volumes, whose size nobody has measured."""
    everything: frozenset[str] = frozenset()
    found, _ = await call.stories.list_volumes(
        call.engine, names=everything, drivers=everything, labels=everything, dangling=None
    )
    images = image_routes.usage(call)
    unknown = {"RefCount": -1, "Size": -1}
    return wire.json_response(
        {
            "LayersSize": sum(image["Size"] for image in images),
            "Images": images,
            "Containers": await call.stories.list_containers(call.engine, everything=True),
            "Volumes": [{**volume, "UsageData": unknown} for volume in found],
            "BuildCache": [],
            "BuilderSize": 0,
        }
    )


async def empty_list(call: Call) -> web.Response:
    """List containers or networks: there are none."""
    return wire.json_response([])


async def no_network(call: Call) -> NoReturn:
    """Inspect a network."""
    raise errors.NotFound(f"network {call.name} not found")


async def prune_networks(call: Call) -> web.Response:
    """Remove unused networks: there are none; `docker system prune` asks all the same."""
    filters.parse(call.query.get("filters", ""), _PRUNE_FILTERS)
    return wire.json_response({"NetworksDeleted": None})


async def prune_builds(call: Call) -> web.Response:
    """Remove what builds have left: there are none."""
    filters.parse(call.query.get("filters", ""), _BUILD_FILTERS)
    return wire.json_response({"CachesDeleted": None, "SpaceReclaimed": 0})


async def _render_events(
    source: AsyncIterator[Event], wanted: filters.Filters
) -> AsyncIterator[bytes]:
    async for one in source:
        if event.matches(one, wanted):
            yield wire.json_bytes(one.to_json()) + b"\n"


def _version_facts(server: Server) -> dict[str, str]:
    return {
        "ApiVersion": versions.CURRENT,
        "MinAPIVersion": versions.OLDEST,
        "Os": "linux",
        "Arch": _GO_ARCH.get(server.machine, server.machine),
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": server.kernel,
        "BuildTime": "",
    }


def _constant_info(server: Server) -> dict[str, Any]:
    now = dt.datetime.now(tz=dt.UTC)
    counters = (
        "Containers",
        "ContainersRunning",
        "ContainersPaused",
        "ContainersStopped",
        "Images",
    )
    return {
        "ID": "",
        **dict.fromkeys(counters, 0),
        "Driver": "",
        "DriverStatus": [],
        "Plugins": {"Volume": [], "Network": [], "Authorization": None, "Log": []},
        "SystemTime": now.isoformat().replace("+00:00", "Z"),
        "KernelVersion": server.kernel,
        "OperatingSystem": server.operating_system,
        "OSType": "linux",
        "Architecture": server.machine,
        "NCPU": server.cpus,
        "MemTotal": server.memory,
        "Name": server.hostname,
        "ServerVersion": server.version,
        "Labels": [],
        "ExperimentalBuild": False,
        "LiveRestoreEnabled": True,
        "Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False, "NodeID": ""},
        "SecurityOptions": [],
        "Warnings": None,
    }
