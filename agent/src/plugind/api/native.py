# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`/plugind`: what Docker's API has no word for. Keys are spelled as in Docker's objects."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from plugind import errors
from plugind.api import access, stream, wire
from plugind.api.call import Call
from plugind.model import privileges
from plugind.model.plugin import Plugin


async def version(call: Call) -> web.Response:
    """Say which agent this is, whether it is degraded, and what confines plugins."""
    policy = call.engine.options.confinement
    shown = {
        "Version": call.server.version,
        "Degraded": call.engine.degraded,
        "Confinement": policy.general.to_json(),
        "ConfinedPlugins": sorted(policy.plugins),
    }
    return wire.json_response(shown)


async def list_plugins(call: Call) -> web.Response:
    """List plugins with their running state."""
    found = call.stories.list_plugins(call.engine, enabled=None, capabilities=frozenset())
    return wire.json_response([_render(call, plugin) for plugin in found])


async def inspect(call: Call) -> web.Response:
    """Show a plugin with its running state; to root with the secrets of its settings, if asked."""
    plugin = call.stories.find(call.engine, call.name)
    if call.flag("secrets"):
        access.require_root(call.peer)
        return wire.json_response(_render(call, plugin, clear=True))
    return wire.json_response(_render(call, plugin))


async def logs(call: Call) -> web.StreamResponse:
    """Stream a plugin's output, a line each."""
    plugin = call.stories.find(call.engine, call.name)
    lines = call.stories.read_logs(
        call.engine,
        plugin.id,
        tail=_parse_tail(call.query.get("tail", "")),
        follow=call.flag("follow"),
    )
    return await stream.each(call, "text/plain", lines)


async def rpc(call: Call) -> web.Response:
    """Call a method of a plugin's socket."""
    method, body = call.query.get("method", ""), await call.json()
    if body is not None and not isinstance(body, dict):
        raise errors.InvalidParameter("invalid JSON: the body must be an object")
    return wire.json_response(await call.stories.call(call.engine, call.name, method, body or {}))


async def upgrade(call: Call) -> web.StreamResponse:
    """Upgrade a plugin, enabled or not, to `Settings` too; `Privileges` are what is granted."""
    remote, body = call.remote(), await call.object()
    accepted = privileges.parse_privileges(body.get("privileges"))
    arguments, timeout = wire.require_strings(body.get("settings")), _parse_timeout(call)
    return await stream.progress(
        call,
        lambda progress: call.stories.upgrade_in_place(
            call.engine,
            call.name,
            remote,
            accepted=accepted,
            credentials=call.credentials,
            progress=progress,
            arguments=arguments,
            timeout=timeout,
        ),
    )


async def configure(call: Call) -> web.Response:
    """Change `Settings` of a plugin, enabled or not, with a way back."""
    arguments = wire.require_strings((await call.object()).get("settings"))
    timeout = _parse_timeout(call)
    await call.stories.reconfigure(call.engine, call.name, arguments, timeout=timeout)
    return web.Response(status=204)


async def mount(call: Call) -> web.Response:
    """Mount a volume for a holder; answer its path on the host."""
    holder = wire.get_string(await call.object(), "Holder")
    path = await call.stories.mount_for_client(call.engine, call.name, _require_holder(holder))
    return wire.json_response({"Mountpoint": path})


async def unmount(call: Call) -> web.Response:
    """Release a holder's mount."""
    holder = wire.get_string(await call.object(), "Holder")
    await call.stories.unmount_volume(call.engine, call.name, _require_holder(holder))
    return web.Response(status=204)


async def remove_volume(call: Call) -> web.Response:
    """Remove a volume as Docker's endpoint does, and say what `force` could not do."""
    left = await call.stories.remove_volume(call.engine, call.name, force=call.flag("force"))
    return wire.json_response({"Warnings": [left] if left else []})


async def holders(call: Call) -> web.Response:
    """Say who holds a volume mounted."""
    return wire.json_response(await call.stories.holders(call.engine, call.name))


async def apply(call: Call) -> web.Response:
    """Carry a declaration out, or with `dry_run` only plan it."""
    document, dry_run = await _document(call), call.flag("dry_run")
    return wire.json_response(await call.stories.apply(call.engine, document, dry_run=dry_run))


async def roll_back(call: Call) -> web.Response:
    """Undo the last change, or the one that is named if it is that, or with `dry_run` only say how."""
    result = await call.stories.roll_back(
        call.engine,
        wire.get_string(await call.object(), "id") or None,
        dry_run=call.flag("dry_run"),
        remove_volumes=call.flag("remove_volumes"),
    )
    return wire.json_response(result)


async def query(call: Call) -> web.Response:
    """Answer what the document asks for."""
    return wire.json_response(await call.stories.query(call.engine, await _document(call)))


def _render(call: Call, plugin: Plugin, *, clear: bool = False) -> dict[str, Any]:
    shown = plugin.to_native_json(call.engine.options.secrets, clear=clear)
    return {**shown, "Status": call.stories.status(call.engine, plugin)}


async def _document(call: Call) -> dict[str, Any]:
    document = await call.json()
    if not isinstance(document, dict):
        raise errors.InvalidParameter("invalid JSON: the body must be an object")
    return document


def _require_holder(holder: str) -> str:
    if not holder:
        raise errors.InvalidParameter("cannot tell whose mount this is: Holder is missing")
    return holder


def _parse_timeout(call: Call) -> float:
    """Return the seconds that a plugin may take to answer, 0 for what is configured."""
    timeout = wire.parse_int(call.query.get("timeout") or "0")
    if timeout < 0:
        raise errors.InvalidParameter("negative value for timeout")
    return float(timeout)


def _parse_tail(text: str) -> int | None:
    if text in ("", "all"):
        return None
    tail = wire.parse_int(text)
    if tail < 0:
        raise errors.InvalidParameter(f'invalid tail "{text}": want a number of lines, or all')
    return tail
