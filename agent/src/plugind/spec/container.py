# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The OCI runtime spec of a one-off container: Docker's default container.

    container_spec(container, place) -> dict, ready for config.json in a bundle

A later mount wins over an earlier one at the same place:

    defaults    hosts, resolv.conf, hostname    the container's own mounts, shallow targets first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from plugind.model.containers.container import Container
from plugind.model.containers.mounts import BIND, TMPFS, VOLUME, ContainerMount
from plugind.model.facts import Kernel
from plugind.model.seccomp import Seccomp
from plugind.spec import defaults
from plugind.spec import seccomp as seccomp_

#: Docker's options for a tmpfs that says nothing else.
_TMPFS = ("noexec", "nosuid", "nodev")
_NEGATIVES = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIds:
    """Who a process runs as, by numbers."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What was prepared on the host.

    `files` maps paths in the container to files on the host, `volumes` the targets of volumes to
    where they are mounted. `masked` are paths to hide besides the usual ones. `seccomp` is the choice
    of profile, `kernel` what it is resolved for.
    """

    rootfs: PurePath
    user: UserIds = field(default_factory=UserIds)
    files: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    masked: tuple[str, ...] = ()
    seccomp: Seccomp = field(default_factory=Seccomp)
    kernel: Kernel = field(default_factory=Kernel)


def container_spec(container: Container, place: Place) -> dict[str, Any]:
    """Return the runtime spec of `container`."""
    process = container.process
    own_network = container.network != "host"
    rules = seccomp_.compute_filter(place.seccomp, defaults.CAPABILITIES, place.kernel)
    return {
        "ociVersion": defaults.OCI_VERSION,
        "hostname": process.hostname,
        "process": {
            "terminal": process.tty,
            "user": {
                "uid": place.user.uid,
                "gid": place.user.gid,
                "additionalGids": list(place.user.groups),
            },
            "args": list(process.args),
            "env": list(process.env),
            "cwd": process.working_dir or "/",
            "capabilities": _capabilities(place.user),
            "noNewPrivileges": False,
        },
        "root": {"path": str(place.rootfs), "readonly": container.read_only},
        "mounts": _mounts(container, place),
        "linux": {
            "cgroupsPath": f"{defaults.CGROUP_PARENT}/{container.id}",
            "namespaces": [
                {"type": name} for name in defaults.NAMESPACES if own_network or name != "network"
            ],
            "resources": {"devices": defaults.device_rules()},
            "maskedPaths": [*defaults.MASKED_PATHS, *place.masked],
            "readonlyPaths": list(defaults.READONLY_PATHS),
            **({"seccomp": rules} if rules else {}),
        },
    }


def _capabilities(user: UserIds) -> dict[str, list[str]]:
    """Return Docker's default set; a user other than root can only gain it by a setuid program."""
    every = list(defaults.CAPABILITIES)
    held = every if user.uid == 0 else []
    return {
        "bounding": every,
        "permitted": list(held),
        "effective": list(held),
        "inheritable": [],
    }


def _mounts(container: Container, place: Place) -> list[dict[str, Any]]:
    own = [_own_mount(mount, place) for mount in container.mounts]
    taken = {mount.target for mount in container.mounts}
    kept = _without(defaults.mounts(), taken)
    files = [
        _bind(source, target, read_only=False)
        for target, source in place.files.items()
        if target not in taken
    ]
    return [*kept, *files, *own]


def _without(mounts: Iterable[dict[str, Any]], taken: set[str]) -> list[dict[str, Any]]:
    """Return the default mounts but for those that the container replaces."""
    return [mount for mount in mounts if mount["destination"] not in taken]


def _own_mount(mount: ContainerMount, place: Place) -> dict[str, Any]:
    if mount.type == TMPFS:
        return {
            "destination": mount.target,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": _tmpfs_options(mount),
        }
    source = {BIND: mount.source, VOLUME: place.volumes.get(mount.target, "")}[mount.type]
    return _bind(source, mount.target, read_only=mount.read_only)


def _tmpfs_options(mount: ContainerMount) -> list[str]:
    named = [key if not value else f"{key}={value}" for key, value in mount.options.items()]
    usual = [word for word in _TMPFS if not any(_NEGATIVES.get(key) == word for key in named)]
    return [*(word for word in usual if word not in named), *named] + (
        ["ro"] if mount.read_only else []
    )


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["rbind", "ro" if read_only else "rw", "rprivate"],
    }
