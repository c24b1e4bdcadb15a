# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The host without real mounts: implements `engine.ports.Host` and writes down what it is asked for.

A table stands for the kernel's. What a plugin mounts is one line in it, new with every start, because
a FUSE mount that was made anew is another one than before:

    machine.table                       what is mounted, later lines on earlier ones
    machine.unmounted_by_hand(path)     somebody unmounts, or
    machine.mounted_by_hand(path)       mounts something there
    machine.busy[path] = "..."          unbind refuses, and names this
    machine.links[path] = other          a driver's path leads elsewhere, "" leads to nothing
    machine.plain = True                volumes are directories of the disk, as localdir's
    machine.renamed(old, new)           and what shows them follows a rename
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from plugind import errors
from plugind.host import arch, binds, rootfs
from plugind.host.mounts import Mount, stack_at
from plugind.model.facts import HostFacts, PluginDirs
from plugind.model.mountpoint import Mountpoint
from plugind.model.plugin import Plugin

ROOT = Mount(
    id=1, parent=0, device="0:1", root="/", path="/", options=("rw",), shared=0, fstype="ext4",
    source="/dev/root",
)  # fmt: skip


class FakeMachine:
    """Checks entrypoints and lays directories as the real one; `mounts` are the local ones."""

    def __init__(self) -> None:
        self.mounts: dict[Path, dict[str, str]] = {}
        self.table = [ROOT]
        self.released: list[str] = []
        self.plain = False
        self.refuse_mounts = ""
        self.refuse_release = ""
        self.busy: dict[Path, str] = {}
        self.links: dict[str, str] = {}
        #: Plugins that were shown the metrics' socket, by id.
        self.offered: list[str] = []
        self.boots = 1
        self._devices = itertools.count(2)

    def prepare(self, plugin: Plugin, dirs: PluginDirs) -> HostFacts:
        arch.check_entrypoint(Path(dirs.rootfs), plugin.config, env=plugin.settings.env)
        rootfs.prepare_rootfs(Path(dirs.rootfs))
        for path in (dirs.sockets, dirs.empty, dirs.propagated_mount):
            Path(path).mkdir(parents=True, exist_ok=True)
        where = Path(dirs.propagated_mount)
        if self.plain:
            self._add(where, device=ROOT.device, root=str(where), fstype=ROOT.fstype)
        else:
            self._add(where, fstype="fuse.toy")
        return HostFacts(devices={}, network_files=())

    def offer_metrics(self, dirs: PluginDirs) -> None:
        self.offered.append(dirs.root.name)

    def release(self, dirs: PluginDirs) -> None:
        if self.refuse_release:
            raise errors.System(self.refuse_release)
        self.released.append(dirs.root.name)
        self.table = [m for m in self.table if not m.path.startswith(f"{dirs.root}/")]

    def boot_id(self) -> str:
        return f"boot-{self.boots}"

    def reboot(self) -> None:
        """Another boot: nothing is mounted any more."""
        self.boots += 1
        self.mounts.clear()
        self.table = [ROOT]

    def mount_local(self, options: dict[str, str], target: Path) -> bool:
        if self.refuse_mounts:
            raise errors.System(self.refuse_mounts)
        if target in self.mounts:
            return False
        self.mounts[target] = options
        self._add(target, fstype=options["type"])
        return True

    def unmount(self, target: Path) -> None:
        self.mounts.pop(target, None)
        self.unmounted_by_hand(target)

    def mount_table(self) -> list[Mount]:
        return list(self.table)

    def locate(self, source: Mountpoint) -> Path:
        found = self.links.get(str(source), str(source))
        if not found:
            raise errors.System(f'cannot open "{source}": No such file or directory')
        return Path(found)

    def bind(
        self, source: Mountpoint, target: Path, *, located: Path, read_only: bool, propagation: str
    ) -> None:
        if self.locate(source) != located:
            raise errors.System(f'cannot mount "{source}": it was "{located}"')
        if not target.is_dir():
            raise errors.System(f'cannot mount at "{target}": No such file or directory')
        shown = binds.source_of(located, self.table)
        options = ("ro" if read_only else "rw", propagation)
        self._add(target, device=shown.device, root=shown.root, options=options)

    def unbind(self, target: Path, *, detach: bool) -> None:
        if target in self.busy and not detach:
            raise errors.Conflict(f'cannot unmount "{target}": it is used by {self.busy[target]}')
        self.unmounted_by_hand(target)

    def mounted_by_hand(self, target: Path) -> None:
        """Mount something else there."""
        self._add(target, fstype="tmpfs", source="somebody")

    def unmounted_by_hand(self, target: Path) -> None:
        """Take the topmost mount away."""
        for mount in stack_at(target, self.table)[-1:]:
            self.table.remove(mount)

    def renamed(self, old: Path, new: Path) -> None:
        """A directory of the disk has another name; what shows it is still there."""
        self.table = [
            replace(mount, root=mount.root.replace(str(old), str(new), 1))
            if f"{mount.root}/".startswith(f"{old}/") and mount.device == ROOT.device
            else mount
            for mount in self.table
        ]

    def _add(
        self,
        path: Path,
        *,
        device: str = "",
        root: str = "/",
        options: tuple[str, ...] = ("rw",),
        fstype: str = "none",
        source: str = "none",
    ) -> None:
        number = next(self._devices)
        self.table.append(
            Mount(
                id=number,
                parent=1,
                device=device or f"0:{number}",
                root=root,
                path=str(path),
                options=options,
                shared=0,
                fstype=fstype,
                source=source,
            )
        )
