# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The built-in `local` driver: a directory per volume, with a mount on it if options say so.

volumes/<hash>/_data     the volume; what `type`, `o` and `device` name is mounted here on use
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from plugind import errors
from plugind.engine import sealing
from plugind.model import volume as volume_
from plugind.model.volume import LOCAL, DriverVolume, VolumeRequest

if TYPE_CHECKING:
    from plugind.engine.context import Engine

_OPTIONS = ("type", "o", "device", "size")


class LocalDriver:
    """Volumes as directories of the engine's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, name: str, options: Mapping[str, str] | None) -> None:
        """Check name and options; the directory comes with the record."""
        volume_.require_local_name(name)
        for key in options or {}:
            if key not in _OPTIONS:
                raise errors.InvalidParameter(f'create {name}: invalid option: "{key}"')
        mounted = {key for key in options or {} if key in ("type", "device")}
        if "size" in (options or {}):
            raise errors.Unsupported(
                f'create {name}: option "size" needs project quotas, which plugind does not set; '
                "for a bounded volume use type=tmpfs, device=tmpfs, o=size=..."
            )
        if mounted and mounted != {"type", "device"}:
            missing = ({"type", "device"} - mounted).pop()
            raise errors.InvalidParameter(f'create {name}: missing required option: "{missing}"')

    async def get(self, name: str) -> DriverVolume:
        """Return the volume; NoSuchVolume if it is not one of ours."""
        record = self._engine.volumes.get(name)
        if record is None or record.driver != LOCAL:
            raise errors.NoSuchVolume(f"get {name}: no such volume")
        return DriverVolume(name=name, mountpoint=await self.path(name))

    async def list(self) -> tuple[DriverVolume, ...]:
        """Return every local volume."""
        own = [volume.name for volume in self._engine.volumes.values() if volume.driver == LOCAL]
        return tuple([DriverVolume(name=name, mountpoint=await self.path(name)) for name in own])

    async def remove(self, name: str) -> None:
        """Unmount what options mounted; the data goes with the record, never through a mount."""
        await self.get(name)
        target = self._engine.volume_store.data_dir(name)
        await asyncio.to_thread(self._engine.host.unmount, target)

    async def path(self, name: str) -> str:
        """Return the volume's directory."""
        return str(self._engine.volume_store.data_dir(name))

    async def mount(self, name: str, mount_id: str) -> str:
        """Mount what the options say, unless it is mounted already."""
        del mount_id
        await self.mount_options(name)
        return await self.path(name)

    async def mount_options(self, name: str) -> bool:
        """Mount what the options say; False if there are none, or if it is mounted already."""
        record = self._engine.volumes[name]
        if not record.options:
            return False
        target = self._engine.volume_store.data_dir(name)
        secret = await asyncio.to_thread(self._engine.volume_store.mount_options, name)
        options = dict(secret or record.options)
        sealing.admit(self._engine, VolumeRequest(name=name, driver=LOCAL, options=options))
        try:
            return await asyncio.to_thread(self._engine.host.mount_local, options, target)
        except errors.PlugindError as exc:  # mount(8) is quoted with all of its arguments
            raise errors.System(sealing.redact(self._engine, exc.message, name)) from exc

    async def unmount(self, name: str, mount_id: str) -> None:
        """Unmount after the last use."""
        refs = self._engine.volume_store.mounts(name)
        record = self._engine.volumes[name]
        if record.options and not [ref for ref in refs if ref.id != mount_id]:
            target = self._engine.volume_store.data_dir(name)
            await asyncio.to_thread(self._engine.host.unmount, target)

    async def capabilities(self) -> str:
        """Return `local`."""
        return "local"
