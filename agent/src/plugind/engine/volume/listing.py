# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`GET /volumes`: what the records say and what the drivers say, brought together."""

from __future__ import annotations

import asyncio
import datetime
import re
from dataclasses import replace
from typing import Any

from plugind import errors
from plugind.engine.context import Engine
from plugind.engine.volume import drivers
from plugind.engine.volume.drivers import Driver
from plugind.model import volume as volume_
from plugind.model.lifecycle import PluginState
from plugind.model.volume import DriverVolume, Volume

Listed = tuple[Volume, str]


async def list_volumes(
    engine: Engine,
    *,
    names: frozenset[str] = frozenset(),
    drivers: frozenset[str] = frozenset(),
    labels: frozenset[str] = frozenset(),
    dangling: bool | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the volumes that pass the filters, by name, and warnings.

    A driver that cannot answer contributes a warning and the volumes that records know of it.
    """
    listed, warnings = await _gather(engine)
    chosen = []
    for volume, mountpoint in sorted(listed.values(), key=lambda item: item[0].name):
        if drivers and volume.driver not in drivers:
            continue
        if names and not any(_fits(value, volume.name) for value in names):
            continue
        if labels and not has_labels(volume, labels):
            continue
        if dangling is not None and dangling is await _is_used(engine, volume.name):
            continue
        chosen.append(volume_.render(volume, mountpoint=mountpoint, status=None))
    return chosen, warnings


async def _gather(engine: Engine) -> tuple[dict[str, Listed], list[str]]:
    listed: dict[str, Listed] = {}
    warnings: list[str] = []
    running = drivers.running(engine)
    answers = await asyncio.gather(*(_ask(engine, handle) for handle in running))
    unanswered = {volume.driver for volume in engine.volumes.values()}
    for handle, answer in zip(running, answers, strict=True):
        if isinstance(answer, str):
            warnings.append(f"list {handle.name}: {answer}")
            unanswered.add(handle.name)
            continue
        unanswered.discard(handle.name)
        found_volumes, scope = answer
        for found in found_volumes:
            record = engine.volumes.get(found.name)
            if record is not None and record.driver != handle.name:
                continue  # the name belongs to another driver's volume
            volume = merge(record, found, handle.name, scope)
            try:
                path = handle.host_path(found.mountpoint)
            except errors.PlugindError as exc:
                warnings.append(f"list {handle.name}: {exc}")
                path = ""
            listed.setdefault(found.name, (volume, path))
    warned = {handle.name for handle in running}
    for driver in sorted(unanswered):
        own = [volume for volume in engine.volumes.values() if volume.driver == driver]
        for volume in own:
            listed.setdefault(volume.name, (volume, ""))
        if own and driver not in warned:
            warnings.append(f"list {driver}: {_why(engine, driver)}")
    return listed, warnings


async def _ask(engine: Engine, handle: Driver) -> tuple[tuple[DriverVolume, ...], str] | str:
    """Return the driver's volumes and scope, or why it did not say: a list waits for nobody."""
    deadline = engine.options.list_timeout
    try:
        async with asyncio.timeout(deadline):
            return await handle.calls.list(), await handle.scope()
    except TimeoutError:
        return f"plugin {handle.name} did not answer within {deadline:g} s"
    except errors.PlugindError as exc:
        return exc.message


def _why(engine: Engine, driver: str) -> str:
    entry = drivers.lookup_entry(engine, driver)
    if entry is None:
        return f'plugin "{driver}" not found'
    if not entry.shown().enabled:
        why = f": {entry.last_error}" if entry.state is PluginState.FAILED else ""
        return f"plugin {driver} found but disabled{why}"
    return f"plugin {driver} is {entry.state.value}"


def merge(record: Volume | None, found: DriverVolume, driver: str, scope: str) -> Volume:
    """Return what is shown of a volume: the record's labels and options, the driver's time."""
    base = record or Volume(name=found.name, driver=driver)
    created = found.created_at or (base.created_at if record else "") or volume_.ZERO_TIME
    if base.scope == scope and base.created_at == created:
        return base
    return replace(base, scope=scope, created_at=created)


def has_labels(volume: Volume, wanted: frozenset[str]) -> bool:
    """True if the volume has every `key` or `key=value`."""
    own = volume.labels or {}
    for label in wanted:
        key, equals, value = label.partition("=")
        if key not in own or (equals and own[key] != value):
            return False
    return True


def rfc3339(time_ns: int) -> str:
    """Return Unix time in nanoseconds as RFC 3339 with seconds, in UTC."""
    moment = datetime.datetime.fromtimestamp(time_ns // 1_000_000_000, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _fits(value: str, name: str) -> bool:
    if value == name:
        return True
    try:
        return re.search(value, name) is not None
    except re.error:
        return False


async def _is_used(engine: Engine, name: str) -> bool:
    try:
        refs = engine.volume_store.mounts(name)
    except errors.PlugindError:
        return True  # as far as anybody can tell
    return bool(refs or engine.containers.using_volume(name))
