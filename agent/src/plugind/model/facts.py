# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the runtime spec has to know about the host and the plugin's place on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

NETWORK_FILES = ("/etc/hosts", "/etc/resolv.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """`machine` as uname(1) has it, `version` is major and minor."""

    machine: str = ""
    version: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryKill:
    """The kernel killed a process for want of memory.

    `limit` is the one that it had reached, in bytes; None: it was the host that had none left.
    """

    limit: int | None = None


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
    directory yields every device beneath it). `thermal_throttle` are the CPUs' files of that name,
    which are hidden from plugins. `network_files` are those of the host's name resolution that
    exist. `swap_accounted` says that swap can be limited as well as memory. `log_fifos` is the
    host's directory of a real dockerd's log fifos, `metrics_socket` where the engine's metrics are
    served for this plugin; "" if the plugin is to have none.
    """

    devices: dict[str, tuple[DeviceNode, ...]]
    thermal_throttle: tuple[str, ...] = ()
    network_files: tuple[str, ...] = NETWORK_FILES
    cgroup_v2: bool = False
    swap_accounted: bool = False
    kernel: Kernel = field(default_factory=Kernel)
    log_fifos: str = ""
    metrics_socket: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDirs:
    """Absolute host paths of one plugin.

    `sockets` is what the plugin sees as /run/docker/plugins; whoever creates it gives it to the
    config's `user`. `empty` is an empty directory, shared by all plugins.
    """

    root: PurePath
    rootfs: PurePath
    propagated_mount: PurePath
    sockets: PurePath
    empty: PurePath
