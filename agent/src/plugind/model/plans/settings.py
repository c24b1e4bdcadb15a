# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Settings in a plan: which arguments of `set` lead to what is declared, and how that looks.

Arguments always name their field (`DEBUG.value=1`, `data.source=/srv`), because an engine takes
what follows the last dot of a name for a field, and real plugins have variables like
`linode.token`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind import errors
from plugind.model import config as config_
from plugind.model import masking
from plugind.model import settings as settings_
from plugind.model.desired import DesiredSettings
from plugind.model.secrets import SecretPolicy
from plugind.model.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting that differs. `argument` is what `set` is called with."""

    what: str
    name: str
    argument: str = field(repr=False)


def compute_changes(
    config: config_.PluginConfig, current: Settings, wanted: DesiredSettings
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return what has to be set, and why some of it cannot be.

    A setting that has the declared value already is no change and no problem, settable or not.
    """
    values = _current_values(current)
    values["args", config.args.name] = " ".join(current.args)
    changes = []
    problems = []
    for change, value in _declared(config, wanted):
        if values.get((change.what, change.name)) == value:
            continue
        if change.what == "args" and not change.name:
            problems.append("the plugin's arguments have no name, so they cannot be set")
            continue
        try:
            settings_.apply_assignments(config, current, [change.argument])
        except errors.PlugindError as exc:
            problems.append(str(exc))
        changes.append(change)
    return tuple(changes), tuple(problems)


def require_changes(
    config: config_.PluginConfig, current: Settings, wanted: DesiredSettings
) -> tuple[str, ...]:
    """Return the arguments of `set`; InvalidParameter lists everything that cannot be set."""
    changes, problems = compute_changes(config, current, wanted)
    if problems:
        raise errors.InvalidParameter("cannot set: " + "; ".join(problems))
    return tuple(change.argument for change in changes)


def merge(old: config_.PluginConfig, current: Settings, new: config_.PluginConfig) -> Settings:
    """Return the settings after an upgrade, as far as what an engine shows of the old version tells.

    It shows the present place of a mount or device as its default, too. So nobody can tell whether
    the new version keeps it; where that matters the place is unknown (None), and is set if declared.
    """
    merged, values = settings_.merge_settings(old, current, new), _current_values(current)
    default = settings_.default_settings(new)

    def is_known(what: str, name: str, place: str | None) -> bool:
        return values.get((what, name), place) == place

    return replace(
        merged,
        mounts=tuple(
            mount
            if is_known("mounts", mount.name, was.source) or "source" not in (mount.settable or ())
            else replace(mount, source=None)
            for mount, was in zip(merged.mounts, default.mounts, strict=True)
        ),
        devices=tuple(
            device
            if is_known("devices", device.name, was.path) or "path" not in (device.settable or ())
            else replace(device, path=None)
            for device, was in zip(merged.devices, default.devices, strict=True)
        ),
    )


def show(
    settings: Settings | None, wanted: DesiredSettings, policy: SecretPolicy
) -> dict[str, Any]:
    """Return the present values of the managed settings, masked; None: not known yet."""
    if settings is None or not wanted:
        return {}
    values = _current_values(settings)
    shown: dict[str, Any] = {}
    if wanted.env:
        env = {name: values.get(("env", name)) for name in sorted(wanted.env)}
        shown["env"] = {n: None if v is None else policy.mask(n, v) for n, v in env.items()}
    if wanted.args is not None:
        shown["args"] = policy.mask_args(settings.args)
    for what, names in (("mounts", wanted.mounts), ("devices", wanted.devices)):
        if names:
            shown[what] = {name: values.get((what, name)) for name in sorted(names)}
    return shown


def show_wanted(
    wanted: DesiredSettings,
    before: Mapping[str, Any],
    changes: tuple[Change, ...] | None,
    policy: SecretPolicy,
) -> dict[str, Any]:
    """Return the declared values, masked; a secret that replaces another one is marked as new.

    `changes` None means that the plugin's present values are not known.
    """
    shown: dict[str, Any] = {}
    if wanted.env:
        changed = {change.name for change in changes or () if change.what == "env"}
        was = before.get("env", {})
        shown["env"] = masking.mask_mapping(wanted.env, policy)
        for name, value in shown["env"].items():
            # An upgrade may change a value on the way to what it was; a mask hides what differs.
            if name in changed and value == was.get(name) and masking.MASK in value:
                shown["env"][name] = f"{value} (changed)"
    if wanted.args is not None:
        shown["args"] = policy.mask_args(wanted.args)
        changed_args = any(change.what == "args" for change in changes or ())
        if changed_args and shown["args"] == before.get("args"):
            shown["args"] = [*shown["args"], "(changed)"]
    if wanted.mounts:
        shown["mounts"] = dict(sorted(wanted.mounts.items()))
    if wanted.devices:
        shown["devices"] = dict(sorted(wanted.devices.items()))
    return shown


def _declared(config: config_.PluginConfig, wanted: DesiredSettings) -> list[tuple[Change, str]]:
    """Return each declared setting with its value; arguments are compared as a whole."""
    found: list[tuple[Change, str]] = []
    for what, values, attribute in (
        ("env", wanted.env, "value"),
        ("mounts", wanted.mounts, "source"),
        ("devices", wanted.devices, "path"),
    ):
        for name, value in values.items():
            argument = f"{name}.{attribute}={value}"
            found.append((Change(what=what, name=name, argument=argument), value))
    if wanted.args is not None:
        name, value = config.args.name, " ".join(wanted.args)
        found.append((Change(what="args", name=name, argument=f"{name}.value={value}"), value))
    return found


def _current_values(settings: Settings) -> dict[tuple[str, str], str]:
    values: dict[tuple[str, str], str] = {}
    for entry in settings.env:
        name, _, value = entry.partition("=")
        values["env", name] = value
    for mount in settings.mounts:
        if mount.source is not None:
            values["mounts", mount.name] = mount.source
    for device in settings.devices:
        if device.path is not None:
            values["devices", device.name] = device.path
    return values
