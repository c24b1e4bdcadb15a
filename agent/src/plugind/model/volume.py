# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes: the record kept of one, what a driver says about it, and its Engine API object."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind import errors
from plugind.model import secrets
from plugind.model.secrets import SecretPolicy

LOCAL = "local"
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
ZERO_TIME = "0001-01-01T00:00:00Z"
#: (volume, option, value) -> digest
Digester = Callable[[str, str, str], str]
_LOCAL_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The record of a volume. `driver` is canonical: `local`, or a plugin's `name:tag`.

    `options` are as they are shown, secrets masked. `secret_digests` has, by option, what tells
    whether a value is the one that the volume was created with. Made by `seal` only.
    """

    name: str
    driver: str
    options: Mapping[str, str] | None = None
    secret_digests: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] | None = None
    created_at: str = ZERO_TIME
    scope: str = "local"

    def to_record(self) -> dict[str, Any]:
        """Return the volume as `volume.json` keeps it."""
        return {
            "name": self.name,
            "driver": self.driver,
            "options": None if self.options is None else dict(self.options),
            "secret_digests": dict(self.secret_digests),
            "labels": None if self.labels is None else dict(self.labels),
            "created_at": self.created_at,
            "scope": self.scope,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """A volume as somebody wants it, secrets included: it is sealed before it is recorded.

    `secret_options` are the names that the caller says are secrets.
    """

    name: str
    driver: str
    options: Mapping[str, str] | None = field(default=None, repr=False)
    labels: Mapping[str, str] | None = None
    created_at: str = ZERO_TIME
    scope: str = "local"
    secret_options: frozenset[str] = frozenset()

    def policy(self, base: SecretPolicy) -> SecretPolicy:
        """Return which of its options are secrets: patterns, the caller's names, its label's."""
        label = (self.labels or {}).get(secrets.OPTIONS_LABEL)
        return base.naming(self.secret_options, secrets.parse_names(label))

    def secrets(self, policy: SecretPolicy) -> tuple[str, ...]:
        """Return the secret values among its options."""
        pairs = (self.options or {}).items()
        return tuple(part for name, value in pairs for part in policy.find(name, value))

    def require_values(self, policy: SecretPolicy) -> None:
        """Raise if a secret is the mask of one: nobody can mean that."""
        for name, value in sorted((self.options or {}).items()):
            if policy.is_masked(name, value):
                raise errors.InvalidParameter(
                    f'create {self.name}: option "{name}" is {secrets.MASK}, which is how a '
                    "secret is shown; give the value itself"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverVolume:
    """A volume as its driver reports it (`VolumeDriver.Get` / `.List`)."""

    name: str
    mountpoint: str = ""
    created_at: str = ""
    status: Mapping[str, Any] = field(default_factory=dict, repr=False)


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
        # Records of 0.1 do not have it, and may hold secrets; `seal_again` mends them.
        secret_digests=record.get("secret_digests") or {},
        labels=record["labels"],
        created_at=record["created_at"],
        scope=record["scope"],
    )


def seal(request: VolumeRequest, policy: SecretPolicy, digest: Digester) -> Volume:
    """Return the record of a volume: without secrets, with a digest of each option that has one."""
    shown: dict[str, str] = {}
    digests: dict[str, str] = {}
    for name, value in (request.options or {}).items():
        shown[name] = policy.mask(name, value)
        if shown[name] != value:
            digests[name] = digest(request.name, name, value)
    return Volume(
        name=request.name,
        driver=request.driver,
        options=shown if request.options else None,
        secret_digests=digests,
        labels=request.labels,
        created_at=request.created_at,
        scope=request.scope,
    )


def seal_again(volume: Volume, policy: SecretPolicy, digest: Digester) -> Volume:
    """Return the record with what it still holds of secrets sealed: the same if there is nothing.

    Records of 0.1 hold them; so does one whose option was not known to be a secret until now.
    """
    found = find_clear(volume, policy)
    if not found:
        return volume
    options = dict(volume.options or {})
    # Of an option with a digest a part was masked before, and its digest is of the whole.
    digests = {name: digest(volume.name, name, options[name]) for name in found}
    masked = {name: policy.mask(name, options[name]) for name in found}
    return replace(
        volume,
        options={**options, **masked},
        secret_digests={**digests, **volume.secret_digests},
    )


def find_clear(volume: Volume, policy: SecretPolicy) -> list[str]:
    """Return the options of a record that hold a secret in clear."""
    options = (volume.options or {}).items()
    return [name for name, value in options if policy.mask(name, value) != value]


def differing(volume: Volume, declared: Mapping[str, str], digest: Digester) -> tuple[str, ...]:
    """Return the options whose values differ, or which only one side has, sorted.

    Secrets are compared by digest; System if one was made with another key.
    """
    options = volume.options or {}
    names = declared.keys() | options.keys()
    return tuple(sorted(n for n in names if _differs(volume, n, declared.get(n), digest)))


def _differs(volume: Volume, name: str, value: str | None, digest: Digester) -> bool:
    kept = volume.secret_digests.get(name)
    if value is None or kept is None:
        return value != (volume.options or {}).get(name)
    other = digest(volume.name, name, value)
    if not secrets.have_one_key(kept, other):
        raise errors.System(
            f'cannot compare option "{name}" of volume "{volume.name}": its digest was made with '
            "another secret.key; restore that file, or remove the volume and create it again"
        )
    return not secrets.equal(kept, other)


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
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > 255 or any(c in "\0\n" or "\ud800" <= c <= "\udfff" for c in name):
        raise errors.InvalidParameter(
            f"create {name[:40]!r}: volume names are at most 255 bytes without NUL and newline, in UTF-8"
        )


def host_path(mountpoint: str, *, plugin_root: str, propagated_mount: str) -> str:
    """Scope a driver's own path to the host, as dockerd does, but by whole path components.

    `propagated_mount` is the config's value; what lies beneath it is on the host below
    `<plugin_root>/propagated-mount`, everything else below `<plugin_root>/rootfs`.
    """
    if not mountpoint:
        return ""
    parts = [part for part in mountpoint.split("/") if part and part != "."]
    if "\0" in mountpoint:
        raise errors.System(f"driver answered mountpoint {mountpoint!r}, which has a NUL in it")
    if ".." in parts:
        raise errors.System(f'driver answered mountpoint "{mountpoint}", which climbs with ".."')
    prefix = [part for part in propagated_mount.split("/") if part] if propagated_mount else []
    if prefix and parts[: len(prefix)] == prefix:
        return "/".join([plugin_root, "propagated-mount", *parts[len(prefix) :]])
    return "/".join([plugin_root, "rootfs", *parts])
