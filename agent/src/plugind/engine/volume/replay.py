# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Mounts of a driver that starts anew: recorded references are mounted once more, with their ids.

A plugin's FUSE mounts die with its process and are detached when it stops; a reboot takes those of
`local` as well. Whoever held one finds it again at the same path afterwards. One that cannot be
mounted is logged, its reference stays, and the others go on.
"""

from __future__ import annotations

import asyncio

from plugind import errors, log
from plugind.engine.context import Engine, Entry
from plugind.engine.volume import drivers, host_mounts, mounting, references, volumes
from plugind.engine.volume.local import LocalDriver
from plugind.model.volume import LOCAL, Volume


async def replay_mounts(engine: Engine, entry: Entry) -> None:
    """Mount again what the holders of the plugin's volumes had mounted; volumes at the same time."""
    if not entry.plugin.serves(drivers.CAPABILITY):
        return
    own = references.volumes_of(engine, entry.plugin)
    with entry.replaying():
        await asyncio.gather(*(_replay(engine, entry, volume) for volume in own))
    await host_mounts.refresh(engine, entry.plugin.name)


async def _replay(engine: Engine, entry: Entry, volume: Volume) -> None:
    async with engine.locks.holding(f"volume:{volume.name}"):
        for ref in await volumes.known_mounts(engine, volume.name):
            if (volume.name, ref.holder) in entry.mounted:
                continue  # somebody who holds it asked for it since
            try:
                handle = drivers.of_entry(engine, entry)
                path = await mounting.mount_again(engine, handle, volume.name, ref)
            except (errors.PlugindError, OSError) as exc:
                log.error(
                    f"cannot replay mount of volume {volume.name} for {ref.holder}: {exc}",
                    plugin=entry.plugin.id,
                )
                continue
            _tell(engine, volume, ref.holder, path)


async def replay_local(engine: Engine) -> None:
    """Mount again the `local` volumes with options that are held, after a reboot of the host."""
    local = LocalDriver(engine)
    for volume in sorted(engine.volumes.values(), key=lambda volume: volume.name):
        if volume.driver != LOCAL or not volume.options:
            continue
        async with engine.locks.holding(f"volume:{volume.name}"):
            refs = await volumes.known_mounts(engine, volume.name)
            try:
                lost = bool(refs) and await local.mount_options(volume.name)
            except (errors.PlugindError, OSError) as exc:
                log.error(f"cannot replay mount of volume {volume.name}: {exc}")
                continue
            for ref in refs if lost else ():
                _tell(engine, volume, ref.holder, ref.mountpoint)


def _tell(engine: Engine, volume: Volume, holder: str, path: str) -> None:
    engine.events.volume(
        "mount", volume.name, volume.driver, container=holder, destination=path, replayed="true"
    )
