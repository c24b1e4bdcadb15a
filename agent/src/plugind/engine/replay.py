# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Mounts of a plugin that runs again: recorded references are mounted once more, with their ids.

A plugin's FUSE mounts die with its process and are detached when it stops. Whoever held one finds
it again at the same path after the restart. One that cannot be mounted is logged, its reference
stays, and the others go on.
"""

from __future__ import annotations

from plugind import errors, log
from plugind.engine import drivers, mounting, references, volumes
from plugind.engine.context import Engine, Entry


async def replay_mounts(engine: Engine, entry: Entry) -> None:
    """Mount again what the holders of the plugin's volumes had mounted."""
    if not entry.plugin.serves(drivers.CAPABILITY):
        return
    for volume in references.volumes_of(engine, entry.plugin):
        async with engine.locks.holding(f"volume:{volume.name}"):
            for ref in await volumes.mounts(engine, volume.name):
                try:
                    handle = drivers.of_entry(engine, entry)
                    path = await mounting.mount_again(engine, handle, volume.name, ref)
                except (errors.PlugindError, OSError) as exc:
                    log.error(
                        f"cannot replay mount of volume {volume.name} for {ref.holder}: {exc}",
                        plugin=entry.plugin.id,
                    )
                    continue
                engine.events.volume(
                    "mount",
                    volume.name,
                    volume.driver,
                    container=ref.holder,
                    destination=path,
                    replayed="true",
                )
