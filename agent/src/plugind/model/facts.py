# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the runtime spec has to know about the host and the plugin's place on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device on the host: `type` is "c" or "b"."""

    path: str
    type: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Read once before a spec is made, so that making it is a pure function.

    `devices` maps each device path that the plugin's settings name to the nodes found there (a
    directory yields every device beneath it). `masked_paths` are those of the defaults that exist.
    """

    devices: dict[str, tuple[DeviceNode, ...]]
    thermal_throttle: tuple[str, ...] = ()
    cgroup_v2: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDirs:
    """Absolute host paths of one plugin."""

    root: PurePosixPath
    rootfs: PurePosixPath
    propagated_mount: PurePosixPath
    sockets: PurePosixPath
    empty: PurePosixPath
