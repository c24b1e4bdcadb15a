# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""References of holders that are gone, found at boot and dropped: `model.holder` says whose they are.

    the host was rebooted    nothing is mounted any more, so no driver is asked; before plugins are
                             settled, so that nobody mounts again for a holder that is gone
    only the agent was away  a driver that runs still has its mounts: it is asked, in the background

Every reference that goes is an event, `volume unmount` with the reason.
"""

from __future__ import annotations

import asyncio

from plugind import errors, log
from plugind.engine import ending
from plugind.engine.context import Engine
from plugind.engine.volume import drivers, mounting, volumes
from plugind.model import holder as holder_
from plugind.model.volume import MountRef
from plugind.store import boot

Stale = tuple[str, MountRef, str]


async def drop_after_reboot(engine: Engine) -> None:
    """Drop what held volumes before the host was rebooted."""
    boot_id = await asyncio.to_thread(engine.host.boot_id)
    if await asyncio.to_thread(boot.load, engine.layout) not in ("", boot_id):
        for name, ref, why in await _find(engine, rebooted=True):
            await _drop(engine, name, ref, why)
    # Last, so that a crash before it means that all is looked at again.
    await asyncio.to_thread(boot.save, engine.layout, boot_id)


async def release_gone(engine: Engine) -> None:
    """Release what holders hold that do not exist any more. Takes as long as drivers take."""
    for name, ref, why in await _find(engine, rebooted=False):
        try:
            await _release(engine, name, ref, why)
        except (errors.PlugindError, OSError) as exc:
            log.error(f"cannot release volume {name} of {ref.holder}, which is gone: {exc}")


async def _find(engine: Engine, *, rebooted: bool) -> list[Stale]:
    found = []
    for name in sorted(engine.volumes):
        for ref in await volumes.known_mounts(engine, name):
            why = holder_.gone(
                ref.holder,
                rebooted=rebooted,
                mounts=engine.host_mounts,
                containers=engine.containers.entries,
            )
            if why:
                found.append((name, ref, why))
    return found


async def _release(engine: Engine, name: str, ref: MountRef, why: str) -> None:
    record = engine.volumes.get(name)
    if record is None:
        return
    if await drivers.is_gone(engine, record.driver):
        await _drop(engine, name, ref, why)
    else:
        await mounting.unmount_volume(engine, name, ref.holder, reason=why)


async def _drop(engine: Engine, name: str, ref: MountRef, why: str) -> None:
    async with engine.locks.holding(f"volume:{name}"):
        if ref not in await volumes.mounts(engine, name):
            return
        await ending.to_the_end(mounting.drop_reference(engine, name, ref))
    driver = engine.volumes[name].driver
    log.warning(f"dropped a reference: {why}", volume=name, holder=ref.holder)
    engine.events.volume("unmount", name, driver, container=ref.holder, reason=why)
