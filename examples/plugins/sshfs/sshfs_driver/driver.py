# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The volume driver: which volumes there are, who holds them, and when to mount and unmount.

A volume is mounted at ROOT/<name> with its first holder and unmounted with its last; a holder is the ID
of a Mount call. Holders live in memory only, because the mounts do not outlive the process either:
sshfs runs inside the plugin, so that at the start nothing is mounted, and an engine that wants a mount
back asks again.

Two kinds of lock: `lock` guards the table of volumes and is never held for long; each volume has one of
its own that is held while sshfs connects, so that a server that does not answer delays nobody else.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sshfs_driver.mounts import Mounts
from sshfs_driver.options import parse_target
from sshfs_driver.records import Record, Records
from volumeplugin import NAME, DriverError, log


class Volume:
    """A record and who holds it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.holders: set[str] = set()
        self.lock = threading.Lock()
        self.removed = False


def now() -> str:
    """The time, in the only form that engines accept."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SshfsDriver:
    """The methods of the protocol."""

    scope = "local"  # another host knows nothing of these volumes

    def __init__(
        self, root: Path, records: Records, mounts: Mounts, clock: Callable[[], str] = now
    ) -> None:
        self.root = root
        self.records = records
        self.mounts = mounts
        self.clock = clock
        self.lock = threading.Lock()
        self.volumes = {name: Volume(record) for name, record in records.load().items()}
        # FUSE mounts of an earlier life: their processes are gone, the mount points still in the way.
        for point in self.clear():
            log(f"Detached dead mount {point}")

    def create(self, name: str, options: Mapping[str, str]) -> None:
        if not NAME.fullmatch(name):
            raise DriverError(f"cannot create volume {name!r}: not a valid name")
        parse_target(options)
        with self.lock:
            existing = self.volumes.get(name)
            if existing is not None:
                # An engine that lost our answer asks again, and means the same volume.
                if existing.record.options == dict(options):
                    return
                raise DriverError(f"volume {name} exists already, with other options")
            self.volumes[name] = Volume(Record(dict(options), self.clock()))
            try:
                self.save()
            except OSError:
                del self.volumes[name]
                raise

    def get(self, name: str) -> dict[str, Any]:
        volume = self.find(name)
        return {
            "Name": name,
            "Mountpoint": str(self.root / name),
            "CreatedAt": volume.record.created,
            "Status": {
                "sshcmd": volume.record.options.get("sshcmd", ""),
                "options": sorted(volume.record.options),
                "mounts": len(volume.holders),
            },
        }

    def list(self) -> list[dict[str, Any]]:
        with self.lock:
            names = sorted(self.volumes)
        return [{"Name": name, "Mountpoint": str(self.root / name)} for name in names]

    def path(self, name: str) -> str:
        self.find(name)
        return str(self.root / name)

    def remove(self, name: str) -> None:
        volume = self.find(name)
        with volume.lock, self.lock:
            if volume.holders:
                raise DriverError(
                    f"cannot remove volume {name}: mounted {len(volume.holders)} times"
                )
            if volume.removed:
                raise not_found(name)
            del self.volumes[name]
            try:
                self.save()
            except OSError:
                self.volumes[name] = volume
                raise
            volume.removed = True

    def mount(self, name: str, mount_id: str) -> str:
        volume, where = self.find(name), self.root / name
        with volume.lock:
            if volume.removed:
                raise not_found(name)
            if volume.holders and not self.mounts.alive(where):
                log(f"{name}: the connection is dead, mounting again")
                self.mounts.detach(where)
                self.attach(volume, where)
            elif not volume.holders:
                self.attach(volume, where)
            volume.holders.add(mount_id)
        return str(where)

    def unmount(self, name: str, mount_id: str) -> None:
        volume, where = self.find(name), self.root / name
        with volume.lock:
            if mount_id not in volume.holders:
                return  # from before our restart; what it stood for is unmounted already
            if volume.holders == {mount_id}:
                self.mounts.detach(where)
                where.rmdir()
            volume.holders.discard(mount_id)  # only now: after a failure the call can be repeated

    def close(self) -> None:
        """Unmount everything. Without locks: a connection that hangs must not delay the end."""
        for point in self.clear():
            log(f"Unmounted {point}")

    def clear(self) -> list[Path]:
        """Detach whatever of ours is mounted, and remove the empty directories that come to light."""
        points = self.mounts.detach_all(self.root)
        for point in points:
            with contextlib.suppress(OSError):  # the next mount uses it again
                point.rmdir()
        return points

    def attach(self, volume: Volume, where: Path) -> None:
        """Mount a volume and leave nothing behind if that fails."""
        where.mkdir(mode=0o755, exist_ok=True)
        try:
            self.mounts.attach(parse_target(volume.record.options), where)
        except DriverError:
            where.rmdir()
            raise

    def find(self, name: str) -> Volume:
        with self.lock:
            volume = self.volumes.get(name)
        if volume is None:
            raise not_found(name)
        return volume

    def save(self) -> None:
        """Write the table down; the caller holds `lock`."""
        self.records.save({name: volume.record for name, volume in self.volumes.items()})


def not_found(name: str) -> DriverError:
    """In the words that engines and people expect."""
    return DriverError(f"volume {name} not found")
