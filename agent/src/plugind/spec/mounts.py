# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The mounts of a plugin, in this order; a later one wins over an earlier one at the same place:

    defaults    propagatedMount    mounts of the settings    /run/docker/plugins    hosts, resolv.conf
    /run/docker/logging    /run/docker/metrics.sock

Mended: mounts come from the settings, where `set` put them; an empty source is an empty directory
instead of the bundle with all its secrets; a mount over /dev replaces the defaults there, and
nothing else.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Any

from plugind import errors
from plugind.model import config as config_
from plugind.model import facts as facts_
from plugind.model import plugin as plugin_
from plugind.spec import defaults

_BIND = frozenset(("bind", "rbind"))


def compute_mounts(
    plugin: plugin_.Plugin, dirs: facts_.PluginDirs, facts: facts_.HostFacts
) -> list[dict[str, Any]]:
    """Return the mounts of `plugin`, in the order in which they are to be made."""
    own = [_plugin_mount(mount, dirs) for mount in plugin.settings.mounts]
    mounts = _without_overridden(defaults.mounts(), (mount["destination"] for mount in own))
    if plugin.config.propagated_mount:
        mounts.append(
            _bind(
                str(dirs.propagated_mount), plugin.config.propagated_mount, "rbind", "rw", "rshared"
            )
        )
    mounts += own
    mounts.append(_bind(str(dirs.sockets), defaults.RUNTIME_DIR, "rbind", "rshared"))
    if plugin.config.network_type:
        # Any type at all, even one that means nothing, gets the host's names.
        mounts += [_bind(path, path, "rbind", "ro") for path in facts.network_files]
    if facts.log_fifos:
        # A dockerd that takes the plugin for a legacy one names its fifos by the host's paths.
        mounts.append(_bind(facts.log_fifos, defaults.LOG_FIFOS, "rbind", "rslave"))
    if facts.metrics_socket:
        # A slave, so that it sees the socket of the agent's next start; see host/shown.py.
        mounts.append(_bind(facts.metrics_socket, defaults.METRICS_SOCKET, "rbind", "ro", "rslave"))
    return mounts


def _without_overridden(
    mounts: list[dict[str, Any]], destinations: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the default mounts but for those in /dev that one of `destinations` replaces.

    A bind over /dev itself replaces all of them: it brings its own pts, mqueue and shm.
    """
    taken = {_normal(path) for path in destinations}

    def is_overridden(place: str) -> bool:
        if place != "/dev" and not place.startswith("/dev/"):
            return False
        return place in taken or "/dev" in taken

    return [mount for mount in mounts if not is_overridden(mount["destination"])]


def _plugin_mount(mount: config_.PluginMount, dirs: facts_.PluginDirs) -> dict[str, Any]:
    if mount.source is None:
        raise errors.System("mount source is not specified")
    options = list(mount.options or ())
    is_bind = mount.type == "bind" or not _BIND.isdisjoint(options)
    if not is_bind:
        return {
            "destination": mount.destination,
            "type": mount.type,
            "source": mount.source,
            "options": options,
        }
    if not mount.source:
        # runc takes "" for the bundle, whose config.json holds every secret of the environment.
        return _bind(str(dirs.empty), mount.destination, "bind", "ro")
    if _BIND.isdisjoint(options):
        # Type "bind" without the option (rclone) means mount(2) without MS_BIND, which fails.
        options.insert(0, "rbind")
    return _bind(mount.source, mount.destination, *options)


def _bind(source: str, destination: str, *options: str) -> dict[str, Any]:
    return {
        "destination": destination,
        "type": "bind",
        "source": source,
        "options": list(options),
    }


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))
