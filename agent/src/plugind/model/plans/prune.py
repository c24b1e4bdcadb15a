# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is pruned: what is on the host and not declared, as if it were declared absent."""

from __future__ import annotations

from dataclasses import replace

from plugind.model import desired as desired_
from plugind.model.desired import Desired, DesiredMount, DesiredPlugin, DesiredVolume
from plugind.model.host_mount import HostMount
from plugind.model.observed import Observed


def extend(desired: Desired, observed: Observed) -> Desired:
    """Return the declaration with what it prunes declared absent; nothing of it is forced.

    Only volumes of managed plugins are pruned. `local` ones are not a plugin's: on a Docker Engine
    they belong to containers.
    """
    plugins, volumes, mounts = desired.plugins, desired.volumes, desired.mounts
    if desired_.PLUGINS in desired.prune:
        declared = {plugin.name for plugin in plugins}
        names = sorted(observed.plugins.keys() - declared)
        plugins += tuple(DesiredPlugin(name=name, state=desired_.ABSENT) for name in names)
    if desired_.VOLUMES in desired.prune:
        declared = {volume.name for volume in volumes}
        volumes += tuple(
            DesiredVolume(
                name=name, driver=have.driver, driver_as_given=have.driver, state=desired_.ABSENT
            )
            for name, have in sorted(observed.volumes.items())
            if name not in declared and have.driver in observed.plugins
        )
    if desired_.MOUNTS in desired.prune:
        declared = {mount.mount.path for mount in mounts}
        mounts += tuple(
            DesiredMount(mount=HostMount(path=path, volume=""), state=desired_.ABSENT)
            for path in sorted((observed.mounts or {}).keys() - declared)
        )
    return replace(desired, plugins=plugins, volumes=volumes, mounts=mounts)
