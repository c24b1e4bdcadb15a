# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`/volumes`: Docker's volume endpoints."""

from __future__ import annotations

from typing import NoReturn

from aiohttp import web

from plugind import errors
from plugind.api import filters, wire
from plugind.api.call import Call

_LIST_FILTERS = ("dangling", "driver", "label", "name")
_PRUNE_FILTERS = ("all", "label", "label!")
# Before this version, prune removed named volumes as well.
_PRUNES_ANONYMOUS = (1, 42)


async def list_volumes(call: Call) -> web.Response:
    """List volumes; a driver that cannot answer is a warning."""
    wanted = _parse_list_filters(call.query.get("filters", ""))
    found, warnings = await call.stories.list_volumes(
        call.engine,
        names=wanted.get("name", frozenset()),
        drivers=wanted.get("driver", frozenset()),
        labels=wanted.get("label", frozenset()),
        dangling=filters.get_bool(wanted, "dangling"),
    )
    return wire.json_response({"Volumes": found, "Warnings": warnings or None})


async def inspect(call: Call) -> web.Response:
    """Show one volume."""
    return wire.json_response(await call.stories.inspect_volume(call.engine, call.name))


async def create(call: Call) -> web.Response:
    """Create a volume, or return the one that is there."""
    body = await call.object()
    if body.get("clustervolumespec") is not None:
        raise errors.Unavailable(
            "This node is not a swarm manager. Cluster volumes need swarm, which is unavailable"
        )
    created = await call.stories.create_volume(
        call.engine,
        name=wire.get_string(body, "Name"),
        driver=wire.get_string(body, "Driver"),
        options=wire.get_strings(body, "DriverOpts"),
        labels=wire.get_strings(body, "Labels"),
    )
    return wire.json_response(created, status=201)


async def update(call: Call) -> NoReturn:
    """Refuse: only swarm's cluster volumes can be updated."""
    raise errors.Unavailable(
        "volume update only valid for cluster volumes, but swarm is unavailable"
    )


async def remove(call: Call) -> web.Response:
    """Remove a volume."""
    await call.stories.remove_volume(call.engine, call.name, force=call.flag("force"))
    return web.Response(status=204)


async def prune(call: Call) -> web.Response:
    """Remove unused local volumes."""
    wanted = filters.parse(call.query.get("filters", ""), _PRUNE_FILTERS)
    everything = call.api_version < _PRUNES_ANONYMOUS or _parse_all(wanted)
    removed, freed = await call.stories.prune_volumes(
        call.engine,
        everything=everything,
        labels=wanted.get("label", frozenset()),
        without_labels=wanted.get("label!", frozenset()),
    )
    return wire.json_response({"VolumesDeleted": removed, "SpaceReclaimed": freed})


def _parse_list_filters(text: str) -> filters.Filters:
    try:
        return filters.parse(text, _LIST_FILTERS)
    except errors.InvalidParameter as exc:
        if exc.message == "invalid filter":  # Docker says where only for bad JSON
            raise errors.InvalidParameter(f"error reading volume filters: {exc}") from exc
        raise


def _parse_all(wanted: filters.Filters) -> bool:
    try:
        # Every value is read, so that a bad one is refused whatever the others say.
        return True in {wire.parse_go_bool(value) for value in wanted.get("all", ())}
    except errors.InvalidParameter as exc:
        raise errors.InvalidParameter(f"invalid filter 'all': {exc}") from exc
