# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who holds a volume mounted: what a holder's name says, and whether it can still be there.

    64 hex digits        a container of this engine, by its id
    mount:<host path>    a host mount of this engine (`engine.hostmounts`)
    podman, dockerd ...  a consumer of a front socket, perhaps followed by a short id
    anything else        a name that an operator or a program chose

Processes that held a volume are gone after a reboot of the host; a host mount is a record, so it is
made again, and a free name is nobody's to judge.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Container

MOUNT_PREFIX = "mount:"
_CONTAINER = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FRONT = re.compile(r"(podman|dockerd)([-:/ ].*)?", re.ASCII | re.DOTALL)
_SHORT = 12


class Kind(enum.Enum):
    """What a holder is."""

    CONTAINER = "container"
    MOUNT = "host mount"
    FRONT = "consumer of a front socket"
    OTHER = "holder"


def kind(holder: str) -> Kind:
    """Return what the holder of that name is."""
    if holder.startswith(MOUNT_PREFIX):
        return Kind.MOUNT
    if _CONTAINER.fullmatch(holder):
        return Kind.CONTAINER
    if _FRONT.fullmatch(holder):
        return Kind.FRONT
    return Kind.OTHER


def of_mount(path: str) -> str:
    """Return the holder's name of the host mount at `path`."""
    return MOUNT_PREFIX + path


def mount_path(holder: str) -> str:
    """Return the path of a host mount's holder."""
    return holder.removeprefix(MOUNT_PREFIX)


def show(holder: str) -> str:
    """Return the holder as messages name it: a container by the id that people know."""
    return holder[:_SHORT] if kind(holder) is Kind.CONTAINER else holder


def gone(
    holder: str,
    *,
    rebooted: bool,
    mounts: Container[str],
    containers: Container[str] | None,
) -> str:
    """Return why the holder cannot hold anything any more, "" if it can.

    `mounts` are the paths of the host mounts that there are; `containers` the ids of the containers
    that exist, None if that is not known.
    """
    what = kind(holder)
    if what is Kind.MOUNT:
        return "" if mount_path(holder) in mounts else "there is no such host mount"
    if rebooted and what in (Kind.CONTAINER, Kind.FRONT):
        return "the host was rebooted"
    if what is Kind.CONTAINER and containers is not None and holder not in containers:
        return "there is no such container"
    return ""
