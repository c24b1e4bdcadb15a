# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The planner: from what is declared and what is observed to the steps in between. Pure.

    observe -> needs(desired, observed) -> ask the registry, compare options -> plan(...)

`needs` names what has to be read besides the engine's lists, so a declaration that is fulfilled
contacts no registry. `plan` is the whole of dry run, diff and idempotence:

    1. host mounts that are declared absent or differ go, because a mount holds its volume;
       volumes that are declared absent go, because a volume holds its plugin
    2. plugins that are declared absent go
    3. plugins are installed, upgraded, set, enabled, disabled
    4. volumes go whose driver was disabled until now
    5. volumes are created
    6. volumes are mounted on the host
    7. plugins are verified; then what nothing else waits for of 1 and 2 goes: volumes and plugins,
       whose removal cannot be undone

A plugin's steps come after those of the plugins that it requires, its removal before theirs.

If anything cannot be done for a reason that can be known now, the plan has problems and none of
its steps is to be carried out.
"""

from __future__ import annotations

from dataclasses import dataclass

from plugind.model import desired as desired_
from plugind.model import requires
from plugind.model.desired import Desired, DesiredPlugin, DesiredVolume
from plugind.model.observed import Observed
from plugind.model.plans import mounts, verify, volumes
from plugind.model.plans import plugins as plan_plugins
from plugind.model.steps import Draft, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What has to be read before planning.

    offers       plugins whose source the registry has to be asked about
    comparisons  volumes whose options the engine has to compare with the declared ones
    """

    offers: tuple[DesiredPlugin, ...] = ()
    comparisons: tuple[DesiredVolume, ...] = ()


def needs(desired: Desired, observed: Observed) -> Needs:
    """Return what `plan` needs to know besides the engine's lists."""
    return Needs(
        offers=tuple(
            plugin
            for plugin in desired.plugins
            if plan_plugins.needs_offer(plugin, observed.plugins.get(plugin.name))
        ),
        comparisons=tuple(
            volume
            for volume in desired.volumes
            if volumes.needs_comparison(volume, observed.volumes.get(volume.name))
        ),
    )


def plan(desired: Desired, observed: Observed) -> Plan:
    """Return the steps from `observed` to `desired`, in order."""
    draft = Draft(desired, observed)
    for volume in desired.volumes:
        volumes.start_volume(draft, volume)
    for mount in desired.mounts:
        mounts.start_mount(draft, mount)
    for mount in desired.mounts:
        mounts.remove_mount(draft, mount)
    leaving = [volume for volume in desired.volumes if volume.state == desired_.ABSENT]
    late = [volume for volume in leaving if volumes.is_removed_late(draft, volume)]
    for volume in leaving:
        if volume not in late:
            volumes.remove_volume(draft, volume)
    plugins = in_order(desired)
    for plugin in plugins:
        plan_plugins.plan_plugin(draft, plugin)
    for volume in late:
        volumes.remove_volume(draft, volume)
    for volume in desired.volumes:
        if volume.state == desired_.PRESENT:
            volumes.plan_volume(draft, volume)
    for mount in desired.mounts:
        if mount.state != desired_.ABSENT:
            mounts.plan_mount(draft, mount)
    for plugin in plugins:
        verify.plan_verification(draft, plugin)
    return verify.defer_removals(draft.finish())


def in_order(desired: Desired) -> list[DesiredPlugin]:
    """Return the plugins in the order of their steps: absent ones first."""
    plugins = {plugin.name: plugin for plugin in desired.plugins}
    needed = {name: plugin.requires for name, plugin in plugins.items()}
    absent = [name for name, plugin in plugins.items() if plugin.state == desired_.ABSENT]
    others = [name for name in plugins if name not in absent]
    order = requires.order(absent, requires.inverted(needed)) + requires.order(others, needed)
    return [plugins[name] for name in order]
