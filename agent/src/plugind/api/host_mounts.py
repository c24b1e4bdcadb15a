# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`/plugind/mounts`: volumes mounted at paths of the host. A path in an address is quoted."""

from __future__ import annotations

from aiohttp import web

from plugind import errors
from plugind.api import wire
from plugind.api.call import Call
from plugind.model import host_mount

_TEXTS = {
    "path": "Path",
    "volume": "Volume",
    "propagation": "Propagation",
    "mode": "Mode",
    "owner": "Owner",
    "group": "Group",
}


async def list_mounts(call: Call) -> web.Response:
    """List host mounts with their states."""
    return wire.json_response(await call.stories.list_host_mounts(call.engine))


async def inspect(call: Call) -> web.Response:
    """Show one host mount."""
    return wire.json_response(await call.stories.inspect_host_mount(call.engine, call.name))


async def mount(call: Call) -> web.Response:
    """Mount a volume at a path, or repair the mount that is recorded."""
    body = await call.object()
    document = {key: wire.get_string(body, name) for key, name in _TEXTS.items()}
    wanted = host_mount.parse({**document, "read_only": _flag(body, "ReadOnly")})
    shown = await call.stories.mount_on_host(
        call.engine, wanted, allow_nonempty=_flag(body, "AllowNonempty")
    )
    return wire.json_response(shown)


async def unmount(call: Call) -> web.Response:
    """Unmount; with `force` also from its users. Answers what could not be done."""
    left = await call.stories.unmount_on_host(call.engine, call.name, force=call.flag("force"))
    return wire.json_response({"Warnings": [left] if left else []})


def _flag(body: dict[str, object], name: str) -> bool:
    value = body.get(name.lower())
    if value is None or isinstance(value, bool):
        return bool(value)
    raise errors.InvalidParameter(f"invalid JSON: cannot unmarshal field {name}: want a bool")
