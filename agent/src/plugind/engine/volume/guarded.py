# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A volume driver whose words are gone through: no error and no status leaves with a secret.

Around `rpc.volume.VolumeDriver`, which understands the driver's own words first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from plugind import errors
from plugind.engine import sealing
from plugind.engine.context import Engine
from plugind.model.volume import DriverVolume
from plugind.rpc.volume import VolumeDriver


class GuardedDriver:
    """See `drivers.Calls`."""

    def __init__(self, engine: Engine, calls: VolumeDriver) -> None:
        self._engine = engine
        self._calls = calls

    async def create(self, name: str, options: Mapping[str, str] | None) -> None:
        """Create a volume; the driver gets the secrets."""
        with self._guarded(name):
            await self._calls.create(name, options)

    async def get(self, name: str) -> DriverVolume:
        """Return a volume; NoSuchVolume if it is not there."""
        with self._guarded(name):
            return self._without_secrets(await self._calls.get(name))

    async def list(self) -> tuple[DriverVolume, ...]:
        """Return every volume."""
        with self._guarded():
            return tuple(self._without_secrets(found) for found in await self._calls.list())

    async def remove(self, name: str) -> None:
        """Remove a volume."""
        with self._guarded(name):
            await self._calls.remove(name)

    async def path(self, name: str) -> str:
        """Return where a volume is mounted."""
        with self._guarded(name):
            return await self._calls.path(name)

    async def mount(self, name: str, mount_id: str) -> str:
        """Mount a volume for a holder."""
        with self._guarded(name):
            return await self._calls.mount(name, mount_id)

    async def unmount(self, name: str, mount_id: str) -> None:
        """Undo `mount`."""
        with self._guarded(name):
            await self._calls.unmount(name, mount_id)

    async def capabilities(self) -> str:
        """Return the scope."""
        with self._guarded():
            return await self._calls.capabilities()

    @contextlib.contextmanager
    def _guarded(self, name: str = "") -> Iterator[None]:
        try:
            yield
        except errors.PlugindError as exc:
            exc.message = sealing.redact(self._engine, exc.message, name)
            exc.args = (exc.message,)
            raise

    def _without_secrets(self, found: DriverVolume) -> DriverVolume:
        if not found.status:
            return found
        record = self._engine.volumes.get(found.name)
        own = [record] if record is not None else []
        return replace(found, status=sealing.redact_document(self._engine, found.status, own))
