# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The host without mounts: implements `engine.ports.Host` and writes down what it is asked for."""

from __future__ import annotations

from pathlib import Path

from plugind import errors
from plugind.host import arch, rootfs
from plugind.model.facts import HostFacts, PluginDirs
from plugind.model.plugin import Plugin


class FakeMachine:
    """Checks entrypoints and lays directories as the real one; `mounts` are the local ones."""

    def __init__(self) -> None:
        self.mounts: dict[Path, dict[str, str]] = {}
        self.released: list[str] = []
        self.refuse_mounts = ""
        self.boots = 1

    def prepare(self, plugin: Plugin, dirs: PluginDirs) -> HostFacts:
        arch.check_entrypoint(Path(dirs.rootfs), plugin.config, env=plugin.settings.env)
        rootfs.prepare_rootfs(Path(dirs.rootfs))
        for path in (dirs.sockets, dirs.empty, dirs.propagated_mount):
            Path(path).mkdir(parents=True, exist_ok=True)
        return HostFacts(devices={}, network_files=())

    def release(self, dirs: PluginDirs) -> None:
        self.released.append(dirs.root.name)

    def boot_id(self) -> str:
        return f"boot-{self.boots}"

    def reboot(self) -> None:
        """Another boot: nothing is mounted any more."""
        self.boots += 1
        self.mounts.clear()

    def mount_local(self, options: dict[str, str], target: Path) -> bool:
        if self.refuse_mounts:
            raise errors.System(self.refuse_mounts)
        if target in self.mounts:
            return False
        self.mounts[target] = options
        return True

    def unmount(self, target: Path) -> None:
        self.mounts.pop(target, None)
