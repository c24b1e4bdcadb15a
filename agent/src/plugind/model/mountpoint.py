# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Where a volume is, as a directory that cannot be left: a driver chose the path, and owns what is on it.

A symbolic link on the way means what it means to the plugin, and never another place of the host:

    relative                        below the directory where it is read, `..` ends at its root
    absolute, propagated mount      below `propagated-mount/`
    absolute, granted to it         that path of the host: the plugin can write there by itself
    absolute, anything else         below `rootfs/`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugind import errors
from plugind.model.config import PluginMount

_BIND = frozenset(("bind", "rbind"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """What an absolute link names: paths below `prefix` are below `directory` of the host.

    `granted` is a directory of the host's own, which somebody else may have links in.
    """

    prefix: str
    directory: str
    granted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mountpoint:
    """A directory: `path` below `root`, a directory of the host. `roots`: what links may name."""

    root: str
    path: str = ""
    roots: tuple[Root, ...] = ()

    def __str__(self) -> str:
        return "/".join([self.root, *split(self.path)])

    def follow(self, link: str) -> tuple[Root, list[str]]:
        """Return what an absolute link names: the root, and the parts of the path below it."""
        parts = split(link)
        own = Root(prefix="/", directory=self.root)
        fitting = [root for root in (own, *self.roots) if _is_below(parts, split(root.prefix))]
        # The longest wins, and of those as long the last.
        root = max(reversed(fitting), key=lambda root: len(split(root.prefix)))
        return root, parts[len(split(root.prefix)) :]


def of_plugin(
    host_path: str, *, plugin_root: str, propagated_mount: str, mounts: Sequence[PluginMount] = ()
) -> Mountpoint:
    """Return what `volume.host_path` has made of a driver's path, as a directory to be opened.

    `mounts` are those of the plugin's settings: what they bind, writable, was granted to it.
    """
    part, _, path = host_path.removeprefix(f"{plugin_root}/").partition("/")
    if part not in ("rootfs", "propagated-mount") or not host_path.startswith(f"{plugin_root}/"):
        raise errors.System(f'"{host_path}" is not in the directory of its plugin')
    roots = [Root(prefix="/", directory=f"{plugin_root}/rootfs")]
    roots += [
        Root(prefix=mount.source, directory=mount.source, granted=True)
        for mount in mounts
        if mount.source and mount.source.startswith("/") and _is_writable_bind(mount)
    ]
    if split(propagated_mount):
        roots.append(Root(prefix=propagated_mount, directory=f"{plugin_root}/propagated-mount"))
    return Mountpoint(root=f"{plugin_root}/{part}", path=path, roots=tuple(roots))


def split(path: str) -> list[str]:
    """Return the parts of a path that mean something."""
    return [part for part in path.split("/") if part not in ("", ".")]


def _is_below(parts: list[str], prefix: list[str]) -> bool:
    return parts[: len(prefix)] == prefix


def _is_writable_bind(mount: PluginMount) -> bool:
    options = set(mount.options or ())
    is_bind = mount.type == "bind" or not _BIND.isdisjoint(options)
    return is_bind and options.isdisjoint(("ro", "rro"))
