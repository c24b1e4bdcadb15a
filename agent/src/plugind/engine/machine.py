# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The real host behind `ports.Host`: entrypoint check, directories, mounts, device facts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from plugind.host import arch, beneath, binds, facts, mounts, proc, rootfs, shown
from plugind.model.facts import HostFacts, PluginDirs
from plugind.model.mountpoint import Mountpoint
from plugind.model.plugin import Plugin

_MOUNT_TIMEOUT = 60.0


class Machine:
    """This machine.

    `metrics` is the socket of the engine's metrics, for collectors; `log_fifos` a real dockerd's log
    fifos, for every log plugin. None for none.
    """

    def __init__(self, log_fifos: Path | None = None, metrics: Path | None = None) -> None:
        self._log_fifos = log_fifos
        self._metrics = metrics

    def prepare(self, plugin: Plugin, dirs: PluginDirs) -> HostFacts:
        """Check what can be known before the launch, and lay what the spec relies on."""
        arch.check_entrypoint(Path(dirs.rootfs), plugin.config, env=plugin.settings.env)
        rootfs.prepare_rootfs(Path(dirs.rootfs))
        sockets = Path(dirs.sockets)
        sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A plugin that does not run as root has to make its socket there all the same.
        os.chown(sockets, plugin.config.uid, plugin.config.gid)
        Path(dirs.empty).mkdir(mode=0o555, parents=True, exist_ok=True)
        if plugin.config.propagated_mount:
            target = Path(dirs.propagated_mount)
            target.mkdir(mode=0o755, exist_ok=True)
            mounts.make_shared_mountpoint(target)
        found = facts.gather_facts(plugin.settings)
        if self._metrics is not None and plugin.serves("metricscollector"):
            shown.lay(_metrics_place(dirs))
            found = replace(found, metrics_socket=str(_metrics_place(dirs)))
        if self._log_fifos is None or not plugin.serves("logdriver"):
            return found
        self._log_fifos.mkdir(mode=0o700, parents=True, exist_ok=True)
        return replace(found, log_fifos=str(self._log_fifos))

    def offer_metrics(self, dirs: PluginDirs) -> None:
        """Show the metrics' socket where the plugin's own place for it is."""
        if self._metrics is not None:
            shown.show(self._metrics, _metrics_place(dirs))

    def release(self, dirs: PluginDirs) -> None:
        """Unmount everything beneath the plugin's directory."""
        mounts.unmount_tree(Path(dirs.root))

    def mount_table(self) -> list[mounts.Mount]:
        """Return the mounts of this host."""
        return mounts.read_mounts()

    def locate(self, source: Mountpoint) -> Path:
        """Return where a directory is, links resolved."""
        return beneath.locate(source)

    def bind(
        self, source: Mountpoint, target: Path, *, located: Path, read_only: bool, propagation: str
    ) -> None:
        """Show `source` at `target` too."""
        binds.bind(source, target, located=located, read_only=read_only, propagation=propagation)

    def unbind(self, target: Path, *, detach: bool) -> None:
        """Undo `bind`."""
        binds.unbind(target, detach=detach)

    def boot_id(self) -> str:
        """Return the random id that the kernel gave this boot."""
        return facts.boot_id()

    def mount_local(self, options: dict[str, str], target: Path) -> bool:
        """Mount with mount(8), which knows every file system's helper (nfs, cifs)."""
        if mounts.is_mountpoint(target):
            return False
        argv = ["mount", "-t", options["type"]]
        if options.get("o"):
            argv += ["-o", options["o"]]
        argv += ["--", options["device"], str(target)]
        proc.run_blocking(argv, timeout=_MOUNT_TIMEOUT)
        return True

    def unmount(self, target: Path) -> None:
        """Unmount `target` and what is stacked on it."""
        mounts.unmount_tree(target)


def _metrics_place(dirs: PluginDirs) -> Path:
    return Path(dirs.root) / "metrics.sock"
