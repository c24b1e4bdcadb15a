# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The way back from a run, as a declaration: what was, of everything that its plan changes. Pure.

    undo(plan, observed) -> Desired          carried out on whatever the host is like by then, so it
                                             undoes what was really done, and that once
    to_document, parse_declaration           how it is kept across a crash

What is declared so cannot bring back the data of a volume that was removed: `lost` says so. Nor can
an engine take a variable's value away: it becomes empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from plugind.model import desired as desired_
from plugind.model import steps
from plugind.model.desired import (
    Desired,
    DesiredMount,
    DesiredPlugin,
    DesiredSettings,
    DesiredVolume,
)
from plugind.model.digest import Digest
from plugind.model.host_mount import HostMount
from plugind.model.observed import Observed, ObservedMount, ObservedPlugin
from plugind.model.plans import plan
from plugind.model.reference import Reference
from plugind.model.secrets import MASK
from plugind.model.steps import Plan, Problem, Step


def undo(plan_: Plan, observed: Observed) -> Desired:
    """Return what was, of each resource that the plan changes, as a declaration.

    `observed` is what the plan was made from. It is forced: who uses what a run has changed, uses it
    since then. Credentials are those of the declaration.
    """
    plugins: dict[str, DesiredPlugin] = {}
    volumes: dict[str, DesiredVolume] = {}
    mounts: dict[str, DesiredMount] = {}
    for step in plan_.steps:
        if step.plugin is not None and step.changes:
            name = step.plugin.name
            plugins[name] = _plugin(step.plugin, observed.plugins.get(name))
        if step.volume is not None and step.volume.name not in observed.volumes:
            name = step.volume.name
            volumes[name] = DesiredVolume(name=name, state=desired_.ABSENT, force=True)
        if step.mount is not None:
            path = step.mount.mount.path
            mounts[path] = _mount(path, (observed.mounts or {}).get(path))
    return Desired(
        plugins=tuple(_requiring(plugin, plugins) for plugin in plugins.values()),
        volumes=tuple(volumes.values()),
        mounts=tuple(mounts.values()),
    )


def to_document(desired: Desired) -> dict[str, Any]:
    """Return a way back as a JSON declaration, without credentials; it has settings' secrets."""
    return {
        "plugins": [_plugin_document(plugin) for plugin in desired.plugins],
        "volumes": [
            {"name": volume.name, "state": volume.state, "force": volume.force}
            for volume in desired.volumes
        ],
        "mounts": [_mount_document(mount) for mount in desired.mounts],
    }


def gently(desired: Desired, observed: Observed) -> Desired:
    """Return a way back for later: what is in use by then is not taken away.

    A plugin that runs before and afterwards may stop for a moment; one may be disabled as long as
    none of its volumes is mounted.
    """

    def gentle(plugin: DesiredPlugin) -> DesiredPlugin:
        have = observed.plugins.get(plugin.name)
        is_unused = have is not None and not have.disturbed
        if plugin.state == desired_.ENABLED or (plugin.state == desired_.DISABLED and is_unused):
            return plugin
        return replace(plugin, force=False)

    return replace(
        desired,
        plugins=tuple(gentle(plugin) for plugin in desired.plugins),
        volumes=tuple(replace(volume, force=False) for volume in desired.volumes),
        mounts=tuple(replace(mount, force=False) for mount in desired.mounts),
    )


def without_volumes(desired: Desired, observed: Observed) -> tuple[Desired, tuple[str, ...]]:
    """Return a way back that removes no volume, and the names of those that it keeps for that.

    What a change created may have data by now.
    """
    kept = tuple(v.name for v in desired.volumes if v.name in observed.volumes)
    return replace(desired, volumes=()), kept


def settle(desired: Desired, observed: Observed) -> Desired:
    """Return the way back without emptying variables that have no value now either."""
    return replace(desired, plugins=tuple(_settle(p, observed) for p in desired.plugins))


def possible(desired: Desired, observed: Observed) -> tuple[Plan, tuple[Problem, ...]]:
    """Return the plan of what can be done of a way back, and why the rest of it cannot."""
    problems: list[Problem] = []
    made = plan.plan(desired, observed)
    while made.problems:
        problems += made.problems
        impossible = {problem.resource for problem in made.problems}
        desired = replace(
            desired,
            plugins=tuple(p for p in desired.plugins if p.resource not in impossible),
            volumes=tuple(v for v in desired.volumes if v.resource not in impossible),
            mounts=tuple(m for m in desired.mounts if m.resource not in impossible),
        )
        made = plan.plan(desired, observed)
    return made, tuple(problems)


def lost(done: Iterable[Step]) -> tuple[str, ...]:
    """Say what steps that were done have taken away for good."""
    texts = {
        steps.VOLUME_REMOVE: "volume {} was removed with its data, which cannot be undone",
        steps.PLUGIN_REMOVE: "plugin {} was removed with what it kept in itself, which cannot be undone",
    }
    return tuple(
        texts[step.kind].format(step.resource.partition("/")[2])
        for step in done
        if step.kind in texts
    )


def _plugin(wanted: DesiredPlugin, have: ObservedPlugin | None) -> DesiredPlugin:
    if have is None:
        return DesiredPlugin(
            name=wanted.name,
            state=desired_.ABSENT,
            force=True,
            timeout=wanted.timeout,
            requires=wanted.requires,
        )
    source = _pinned(have)
    same_registry = source and wanted.source and source.domain == wanted.source.domain
    return DesiredPlugin(
        name=wanted.name,
        source=source,
        state=desired_.ENABLED if have.enabled else desired_.DISABLED,
        grant=None,
        grant_declared=True,
        settings=_settings(have, wanted),
        secret_settings=wanted.secret_settings | have.secret_settings,
        credentials=wanted.credentials if same_registry else None,
        timeout=wanted.timeout,
        force=True,
        requires=wanted.requires,
    )


def _pinned(have: ObservedPlugin) -> Reference | None:
    """Return where the plugin came from, by digest as far as the engine knows it."""
    if not have.reference.domain:
        return None  # an engine with a looser grammar: there is no name that a registry knows
    if have.digest is None:
        return have.reference
    return replace(have.reference, digest=Digest.parse(have.digest))


def _settings(have: ObservedPlugin, wanted: DesiredPlugin) -> DesiredSettings:
    """Return all that can be set, as it was.

    What cannot be declared is left out: a name with `=`, and the mask of a secret as a value.
    """
    config, settings = have.config, have.settings
    values = dict(entry.partition("=")[::2] for entry in settings.env)
    settable = [env.name for env in config.env if "value" in (env.settable or ())]
    env = {n: values[n] for n in settable if n in values and MASK not in values[n]}
    env |= {name: "" for name in settable if name in wanted.settings.env and name not in values}
    args = " ".join(settings.args)
    has_args = config.args.name and "value" in (config.args.settable or ()) and MASK not in args
    return DesiredSettings(
        env=env,
        args=tuple(part for part in args.split(" ") if part) if has_args else None,
        mounts={
            mount.name: mount.source
            for mount in settings.mounts
            if _is_name(mount.name)
            and mount.source is not None
            and "source" in (mount.settable or ())
        },
        devices={
            device.name: device.path
            for device in settings.devices
            if _is_name(device.name)
            and device.path is not None
            and "path" in (device.settable or ())
        },
    )


def _is_name(name: str) -> bool:
    return bool(name) and "=" not in name


def _mount(path: str, have: ObservedMount | None) -> DesiredMount:
    if have is None:
        gone = HostMount(path=path, volume="")
        return DesiredMount(mount=gone, state=desired_.ABSENT, force=True)
    return DesiredMount(mount=have.mount, allow_nonempty=True, force=True)


def _requiring(plugin: DesiredPlugin, others: Mapping[str, DesiredPlugin]) -> DesiredPlugin:
    """Return the plugin with those requirements that can be kept on the way back."""

    def can_be_required(name: str) -> bool:
        other = others.get(name)
        if other is None:
            return False
        return other.state != desired_.ABSENT or plugin.state == desired_.ABSENT

    return replace(plugin, requires=tuple(filter(can_be_required, plugin.requires)))


def _settle(plugin: DesiredPlugin, observed: Observed) -> DesiredPlugin:
    have = observed.plugins.get(plugin.name)
    if have is None:
        return plugin
    has_value = {entry.partition("=")[0] for entry in have.settings.env}
    env = {n: value for n, value in plugin.settings.env.items() if value or n in has_value}
    return replace(plugin, settings=replace(plugin.settings, env=env))


def _plugin_document(plugin: DesiredPlugin) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": plugin.name,
        "state": plugin.state,
        "timeout": plugin.timeout,
        "force": plugin.force,
        "requires": list(plugin.requires),
    }
    if plugin.state == desired_.ABSENT:
        return document
    settings = plugin.settings
    document |= {
        "grant": "all",
        "settings": {
            "env": dict(settings.env),
            "mounts": dict(settings.mounts),
            "devices": dict(settings.devices),
        },
        "secret_settings": sorted(plugin.secret_settings),
    }
    if plugin.source is not None:
        document["source"] = str(plugin.source)
    if settings.args is not None:
        document["settings"]["args"] = list(settings.args)
    return document


def _mount_document(wanted: DesiredMount) -> dict[str, Any]:
    mount = wanted.mount
    document = {"path": mount.path, "state": wanted.state, "force": wanted.force}
    if wanted.state == desired_.ABSENT:
        return document
    return {
        **document,
        "volume": mount.volume,
        "read_only": mount.read_only,
        "propagation": mount.propagation,
        "allow_nonempty": wanted.allow_nonempty,
    }
