# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes: create, list, inspect, remove, prune (moby `volume/service`, its defects mended).

A driver's error never erases a record: only a definite "no such volume" means absent. Volumes of
a disabled or failing driver stay listed, with a warning, and every call answers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from plugind import checkpoint, errors, log
from plugind.engine import ending, sealing
from plugind.engine.context import Engine
from plugind.engine.volume import drivers, listing
from plugind.engine.volume.drivers import Driver
from plugind.model import volume as volume_
from plugind.model.volume import ANONYMOUS_LABEL, LOCAL, DriverVolume, Volume, VolumeRequest

list_volumes = listing.list_volumes


async def create_volume(
    engine: Engine,
    *,
    name: str,
    driver: str,
    options: dict[str, str] | None,
    labels: dict[str, str] | None,
    secret_options: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Create a volume, or return the one that exists under that name and driver.

    `secret_options` names options that are secrets besides those that patterns and labels name.
    """
    if not name:
        name = secrets.token_hex(32)
        labels = {**(labels or {}), ANONYMOUS_LABEL: ""}
        driver = driver or LOCAL
    async with engine.locks.holding(f"volume:{name}"):
        wanted = VolumeRequest(
            name=name,
            driver=drivers.canonical(engine, driver),
            options=options or None,
            labels=labels or None,
            created_at=listing.rfc3339(engine.clock.now_ns()),
            secret_options=secret_options,
        )
        sealing.admit(engine, wanted)
        existing = await _existing(engine, name, driver)
        if existing is not None:
            return existing
        handle = await _driver_for_create(engine, name, driver)
        wanted = replace(wanted, driver=handle.name, scope=await handle.scope())
        sealing.admit(engine, wanted)  # the driver may have been found only now
        created = await _create(engine, handle, wanted)
    if created:
        engine.events.volume("create", name, handle.name)
    return volume_.render(engine.volumes[name], mountpoint="", status=None)


async def inspect_volume(engine: Engine, name: str) -> dict[str, Any]:
    """Return the Engine API object of a volume, with its driver's status."""
    record, handle, found = await find(engine, name)
    return volume_.render(
        listing.merge(record, found, handle.name, await handle.scope()),
        mountpoint=handle.host_path(found.mountpoint),
        status=found.status,
    )


async def remove_volume(engine: Engine, name: str, *, force: bool) -> str:
    """Remove a volume; return what could not be done, "" if everything was.

    With `force` record and references go, whatever the driver says or does not say. Only what a
    driver that runs has mounted is refused even then, as in Docker.
    """
    left = ""
    async with engine.locks.holding(f"volume:{name}"):
        record = engine.volumes.get(name)
        held = {ref.holder for ref in await mounts(engine, name)}
        # A container that does not run has nothing mounted, and needs its volumes all the same.
        holders = sorted(held.union(engine.containers.using_volume(name)))
        if holders and not (force and record and await drivers.is_gone(engine, record.driver)):
            raise errors.Conflict(f"remove {name}: volume is in use - [{', '.join(holders)}]")
        try:
            driver_name = await _remove_from_driver(engine, name)
        except errors.NoSuchVolume:
            if record is None and not force:
                raise
            driver_name = record.driver if record else ""
        except errors.PlugindError as exc:
            if not force or record is None or record.driver == LOCAL:
                raise
            driver_name, left = record.driver, _left(record, holders, exc)
        if record is not None:
            await ending.to_the_end(forget_volume(engine, name))
    if left:
        log.warning(left, volume=name, driver=driver_name)
    if driver_name:
        attributes = {"forced": "true", "left": left} if left else {}
        engine.events.volume("destroy", name, driver_name, **attributes)
    return left


def _left(record: Volume, holders: list[str], cause: errors.PlugindError) -> str:
    """Say what a forced removal did not do."""
    held = f", and dropped its references ({', '.join(holders)})" if holders else ""
    return (
        f"cleared the record of volume {record.name}{held}, but its driver {record.driver} did not "
        f"remove it: {cause}"
    )


async def prune_volumes(
    engine: Engine, *, everything: bool, labels: frozenset[str], without_labels: frozenset[str]
) -> tuple[list[str], int]:
    """Remove unused `local` volumes without options; return their names and the bytes freed."""
    removed, freed = [], 0
    for record in sorted(engine.volumes.values(), key=lambda volume: volume.name):
        if record.driver != LOCAL or record.options:
            continue
        if not everything and ANONYMOUS_LABEL not in (record.labels or {}):
            continue
        if not listing.has_labels(record, labels):
            continue
        if any(listing.has_labels(record, frozenset({label})) for label in without_labels):
            continue
        try:
            if await mounts(engine, record.name) or engine.containers.using_volume(record.name):
                continue
            size = await asyncio.to_thread(_size, engine.volume_store.data_dir(record.name))
            await remove_volume(engine, record.name, force=False)
        except errors.PlugindError as exc:
            # Somebody uses it since, or was quicker; the others go, and what went is said.
            log.warning(f"not pruned: {exc}", volume=record.name)
            continue
        removed.append(record.name)
        freed += size
    engine.events.volume("prune", "", LOCAL, reclaimed=str(freed))
    return removed, freed


def _size(directory: Path) -> int:
    """Return the bytes that the files below `directory` hold; some may go meanwhile."""
    total = 0
    for folder, _, files in os.walk(directory):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, file)).st_size
    return total


async def mounts(engine: Engine, name: str) -> tuple[volume_.MountRef, ...]:
    """Return who holds the volume mounted; Broken or System if that cannot be told."""
    return engine.volume_store.mounts(name)


async def known_mounts(engine: Engine, name: str) -> tuple[volume_.MountRef, ...]:
    """The same for who looks at many volumes: what cannot be read is logged, and the rest go on."""
    try:
        return await mounts(engine, name)
    except (errors.PlugindError, OSError) as exc:
        log.error(f"cannot tell who holds volume {name} mounted: {exc}")
        return ()


async def find(engine: Engine, name: str) -> tuple[Volume | None, Driver, DriverVolume]:
    """Return record, driver and the driver's answer of a volume that exists.

    A volume without a record is looked for in every running driver.
    """
    record = engine.volumes.get(name)
    if record is None:
        owner = await _search(engine, name)
        if owner is not None:
            return None, *owner
        raise errors.NoSuchVolume(f"get {name}: no such volume")
    handle = await _driver_of(engine, record)
    try:
        return record, handle, await handle.calls.get(name)
    except errors.NoSuchVolume:
        raise errors.NoSuchVolume(f"get {name}: no such volume") from None


async def _existing(engine: Engine, name: str, driver: str) -> dict[str, Any] | None:
    """Return the volume that already has this name, None if it may be created."""
    record = engine.volumes.get(name)
    if record is None:
        return None
    if driver and drivers.canonical(engine, driver) != record.driver:
        raise errors.Conflict(
            f"create {name}: driver '{record.driver}' already has volume '{name}': "
            "volume name must be unique"
        )
    try:
        handle = await drivers.driver(engine, record.driver)
        found = await handle.calls.get(name)
    except errors.NoSuchVolume:
        await ending.to_the_end(forget_volume(engine, name))
        return None
    except errors.PlugindError as exc:
        raise errors.Conflict(
            f"create {name}: found reference to volume '{name}' in driver '{record.driver}', "
            f"but got an error while checking the driver: {exc}: volume name must be unique"
        ) from exc
    return volume_.render(record, mountpoint=handle.host_path(found.mountpoint), status=None)


async def _driver_for_create(engine: Engine, name: str, driver: str) -> Driver:
    """Return the driver to create with: the named one, else who already has it, else local."""
    if not driver:
        owner = await _search(engine, name)
        if owner is not None and owner[0].name != LOCAL:
            return owner[0]
    try:
        return await drivers.driver(engine, driver)
    except (errors.Conflict, errors.NotFound) as exc:
        raise type(exc)(f"create {name}: error looking up volume plugin {driver}: {exc}") from exc


async def _create(engine: Engine, handle: Driver, wanted: VolumeRequest) -> bool:
    """Create at the driver unless it has the volume already; record it; True if created."""
    if handle.name != LOCAL:
        volume_.require_plugin_volume_name(wanted.name)
    created = await _create_at_driver(handle, wanted)
    if created:
        checkpoint.checkpoint("volume-create:after-driver")
    await ending.to_the_end(record_volume(engine, wanted))
    return created


async def _create_at_driver(handle: Driver, wanted: VolumeRequest) -> bool:
    """Create the volume unless the driver has it already; True if created."""
    if handle.name != LOCAL and await _get_or_none(handle, wanted.name) is not None:
        return False
    try:
        await handle.calls.create(wanted.name, wanted.options)
    except errors.PlugindError as exc:
        if exc.message.startswith("create "):
            raise
        raise type_of(exc)(f"create {wanted.name}: {exc}") from exc
    return True


def type_of(exc: errors.PlugindError) -> type[errors.PlugindError]:
    """Return the category of an error, for saying it again with more words."""
    for category in type(exc).__mro__:
        if category.__module__ == errors.__name__ and category is not errors.PluginFailed:
            return category
    return errors.System


async def record_volume(engine: Engine, request: VolumeRequest) -> None:
    """Write a volume's record, without its secrets, then remember it."""
    volume = sealing.seal(engine, request)
    await asyncio.to_thread(engine.volume_store.save, volume, request.options)
    engine.volumes[volume.name] = volume


async def forget_volume(engine: Engine, name: str) -> None:
    """Delete a volume's record with its mount references."""
    await asyncio.to_thread(engine.volume_store.delete, name)
    engine.volumes.pop(name, None)


async def _remove_from_driver(engine: Engine, name: str) -> str:
    """Ask the driver to remove the volume; return the driver's name."""
    _, handle, _ = await find(engine, name)
    try:
        await handle.calls.remove(name)
    except errors.NoSuchVolume:
        raise
    except errors.PlugindError as exc:
        raise type_of(exc)(f"remove {name}: {exc}") from exc
    return handle.name


async def _driver_of(engine: Engine, record: Volume) -> Driver:
    try:
        return await drivers.driver(engine, record.driver)
    except errors.PlugindError as exc:
        raise type_of(exc)(
            f'get {record.name}: error while checking if volume "{record.name}" exists in driver '
            f'"{record.driver}": error looking up volume plugin {record.driver}: {exc}'
        ) from exc


async def _search(engine: Engine, name: str) -> tuple[Driver, DriverVolume] | None:
    """Ask every running driver at once; one that says nothing in time does not have it."""
    await drivers.wait_for_held(engine)
    running = drivers.running(engine)

    async def ask(handle: Driver) -> DriverVolume | None:
        try:
            async with asyncio.timeout(engine.options.list_timeout):
                return await _get_or_none(handle, name)
        except TimeoutError:
            log.warning("driver does not answer", driver=handle.name, call="VolumeDriver.Get")
            return None

    answers = await asyncio.gather(*(ask(handle) for handle in running))
    pairs = zip(running, answers, strict=True)
    return next(((handle, found) for handle, found in pairs if found is not None), None)


async def _get_or_none(handle: Driver, name: str) -> DriverVolume | None:
    """Ask whether a driver has a volume; one that cannot say does not have it."""
    try:
        return await handle.calls.get(name)
    except errors.PlugindError:
        return None


def adopted(found: DriverVolume, handle: Driver, scope: str) -> VolumeRequest:
    """Return what to record of a volume that a driver has and we did not know of."""
    base = VolumeRequest(name=found.name, driver=handle.name, scope=scope)
    return replace(base, created_at=found.created_at or volume_.ZERO_TIME)
