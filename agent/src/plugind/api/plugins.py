# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`/plugins`: Docker's managed plugin endpoints."""

from __future__ import annotations

from aiohttp import web

from plugind import errors
from plugind.api import archives, filters, stream, wire
from plugind.api.call import Call
from plugind.model import reference
from plugind.model.reference import Reference

# Pull and upgrade name the plugin here; the CLI takes it for the requests that follow.
NAME_HEADER = "Docker-Plugin-Name"


async def list_plugins(call: Call) -> web.Response:
    """List plugins by `enabled` and `capability`."""
    wanted = filters.parse(call.query.get("filters", ""), ("enabled", "capability"))
    found = call.stories.list_plugins(
        call.engine,
        enabled=filters.get_bool(wanted, "enabled"),
        capabilities=wanted.get("capability", frozenset()),
    )
    return wire.json_response([plugin.to_json(call.engine.options.secrets) for plugin in found])


async def inspect(call: Call) -> web.Response:
    """Show one plugin."""
    plugin = call.stories.find(call.engine, call.name)
    return wire.json_response(plugin.to_json(call.engine.options.secrets))


async def privileges(call: Call) -> web.Response:
    """Say what a plugin in a registry asks for: null if nothing, as in the original."""
    asked = await call.stories.fetch_privileges(call.engine, call.remote(), call.credentials)
    return wire.json_response([privilege.to_json() for privilege in asked] or None)


async def pull(call: Call) -> web.StreamResponse:
    """Install a plugin from a registry."""
    remote, accepted = call.remote(), await call.privileges()
    given = call.query.get("name", "")
    name = reference.parse_name(given) if given else remote.tagged()
    call.set_header(NAME_HEADER, name.familiar)
    return await stream.progress(
        call,
        lambda progress: call.stories.install(
            call.engine,
            remote,
            name=name,
            accepted=accepted,
            credentials=call.credentials,
            progress=progress,
        ),
    )


async def create(call: Call) -> web.Response:
    """Create a plugin from a tar with config.json and rootfs/."""
    name = _parse_new_name(call.query.get("name", ""))
    with archives.sent_by_client():
        await call.stories.create(call.engine, name, wire.read_chunks(call.request))
    return web.Response(status=204)


async def enable(call: Call) -> web.Response:
    """Start a plugin; 0 seconds leave the deadline to the engine."""
    timeout = wire.parse_int(call.query.get("timeout", ""))
    if timeout < 0:
        raise errors.InvalidParameter("negative value for timeout")
    await call.stories.enable(call.engine, call.name, timeout=float(timeout))
    return web.Response()


async def disable(call: Call) -> web.Response:
    """Stop a plugin."""
    await call.stories.disable(call.engine, call.name, force=call.flag("force"))
    return web.Response()


async def remove(call: Call) -> web.Response:
    """Remove a plugin."""
    await call.stories.remove(call.engine, call.name, force=call.flag("force"))
    return web.Response()


async def upgrade(call: Call) -> web.StreamResponse:
    """Replace a plugin's content by another reference's."""
    remote, accepted = call.remote(), await call.privileges()
    plugin = call.stories.find(call.engine, call.name)
    call.set_header(NAME_HEADER, plugin.name)
    return await stream.progress(
        call,
        lambda progress: call.stories.upgrade(
            call.engine,
            call.name,
            remote,
            accepted=accepted,
            credentials=call.credentials,
            progress=progress,
        ),
    )


async def configure(call: Call) -> web.Response:
    """Change settings: `["NAME=VALUE", ...]`."""
    arguments = wire.require_strings(await call.json())
    await call.stories.configure(call.engine, call.name, arguments)
    return web.Response(status=204)


async def push(call: Call) -> web.StreamResponse:
    """Upload a plugin under its name."""
    return await stream.progress(
        call,
        lambda progress: call.stories.push(
            call.engine, call.name, credentials=call.credentials, progress=progress
        ),
    )


def _parse_new_name(text: str) -> Reference:
    try:
        parsed = reference.parse(text)
    except errors.InvalidParameter as exc:
        raise errors.InvalidParameter(f"failed to parse reference {text}: {exc}") from exc
    if parsed.digest:
        raise errors.InvalidParameter("canonical references are not permitted")
    return parsed.tagged()
