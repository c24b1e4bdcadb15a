# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes: the record kept of one, what a driver says about it, and its Engine API object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugind import errors

LOCAL = "local"
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
ZERO_TIME = "0001-01-01T00:00:00Z"
_LOCAL_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The record of a volume. `driver` is canonical: `local`, or a plugin's `name:tag`."""

    name: str
    driver: str
    options: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None
    created_at: str = ZERO_TIME
    scope: str = "local"

    def to_record(self) -> dict[str, Any]:
        """Return the volume as `volume.json` keeps it."""
        return {
            "name": self.name,
            "driver": self.driver,
            "options": None if self.options is None else dict(self.options),
            "labels": None if self.labels is None else dict(self.labels),
            "created_at": self.created_at,
            "scope": self.scope,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverVolume:
    """A volume as its driver reports it (`VolumeDriver.Get` / `.List`)."""

    name: str
    mountpoint: str = ""
    created_at: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRef:
    """One holder of a mounted volume. `id` is what Mount and Unmount carry."""

    holder: str
    id: str
    mountpoint: str = ""


def from_record(record: Mapping[str, Any]) -> Volume:
    """Read `volume.json` back; KeyError if it is broken."""
    return Volume(
        name=record["name"],
        driver=record["driver"],
        options=record["options"],
        labels=record["labels"],
        created_at=record["created_at"],
        scope=record["scope"],
    )


def render(volume: Volume, *, mountpoint: str, status: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the Engine API's Volume object; `status` appears only when there is one."""
    shown: dict[str, Any] = {
        "CreatedAt": volume.created_at or ZERO_TIME,
        "Driver": volume.driver,
        "Labels": None if volume.labels is None else dict(volume.labels),
        "Mountpoint": mountpoint,
        "Name": volume.name,
        "Options": None if volume.options is None else dict(volume.options),
        "Scope": volume.scope,
    }
    if status:
        shown["Status"] = dict(status)
    return shown


def require_local_name(name: str) -> None:
    """Raise with Docker's words unless `name` may name a volume of the `local` driver."""
    if len(name) == 1:
        raise errors.InvalidParameter(
            f"create {name}: volume name is too short, "
            "names should be at least two alphanumeric characters"
        )
    if not _LOCAL_NAME.fullmatch(name):
        raise errors.InvalidParameter(
            f'create {name}: "{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path"
        )


def require_plugin_volume_name(name: str) -> None:
    """Raise unless `name` can be sent to a driver; drivers decide the rest themselves."""
    if len(name.encode()) > 255 or "\0" in name or "\n" in name:
        raise errors.InvalidParameter(
            f"create {name[:40]!r}: volume names are at most 255 bytes without NUL and newline"
        )


def host_path(mountpoint: str, *, plugin_root: str, propagated_mount: str) -> str:
    """Scope a driver's own path to the host, as dockerd does, but by whole path components.

    `propagated_mount` is the config's value; what lies beneath it is on the host below
    `<plugin_root>/propagated-mount`, everything else below `<plugin_root>/rootfs`.
    """
    if not mountpoint:
        return ""
    parts = [part for part in mountpoint.split("/") if part and part != "."]
    if ".." in parts:
        raise errors.System(f'driver answered mountpoint "{mountpoint}", which climbs with ".."')
    prefix = [part for part in propagated_mount.split("/") if part] if propagated_mount else []
    if prefix and parts[: len(prefix)] == prefix:
        return "/".join([plugin_root, "propagated-mount", *parts[len(prefix) :]])
    return "/".join([plugin_root, "rootfs", *parts])
