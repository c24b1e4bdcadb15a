# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Settings of an installed plugin, and what `set` means (moby `v2/settable.go`).

Settings are values, never shared with the config: `set` is atomic (all arguments or none), device
paths survive a restart, mount sources survive an upgrade. The messages are Docker's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from plugind import errors
from plugind.model import config as config_
from plugind.model.secrets import MASK, SecretPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`Plugin.Settings`: what the runtime spec is made of, after the user's choices."""

    env: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    args: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    mounts: tuple[config_.PluginMount, ...] = ()
    devices: tuple[config_.PluginDevice, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the settings as the Engine API spells them."""
        return {
            "Args": list(self.args),
            "Devices": [device.to_json() for device in self.devices],
            "Env": list(self.env),
            "Mounts": [mount.to_json() for mount in self.mounts],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One parsed argument of `set`: `NAME[.FIELD][=VALUE]`."""

    name: str
    field: str
    value: str = dataclasses.field(repr=False)


def default_settings(config: config_.PluginConfig) -> Settings:
    """Return the settings a freshly installed plugin has."""
    return Settings(
        env=tuple(f"{env.name}={env.value}" for env in config.env if env.value is not None),
        args=config.args.value or (),
        mounts=config.mounts,
        devices=config.devices,
    )


def parse_assignment(text: str) -> Assignment:
    """Split at the first `=`, and the name part after its last `.`."""
    name, equals, value = text.partition("=")
    if not name:
        raise errors.InvalidParameter(
            f'cannot set "{MASK if text.strip("=") else text}": invalid format, must be <name>[.<field>][=<value>]'
        )
    del equals  # no "=" means an empty value, as in the original
    return Assignment(name=name, field="", value=value)


def apply_assignments(
    config: config_.PluginConfig,
    settings: Settings,
    arguments: Iterable[str],
    policy: SecretPolicy | None = None,
) -> Settings:
    """Return `settings` with every argument applied; any bad one raises and nothing changes.

    With a policy, a secret that is set to what is shown of its present value stays as it is, and
    one that is set to any other mask is refused: the value itself is not known.
    """
    for text in arguments:
        settings = _apply(config, settings, parse_assignment(text), policy)
    return settings


def find_secrets(settings: Settings, policy: SecretPolicy) -> tuple[str, ...]:
    """Return the secret values among the settings."""
    pairs = (entry.partition("=") for entry in settings.env)
    found = [part for name, _, value in pairs for part in policy.find(name, value)]
    return (*found, *policy.find_in_args(settings.args))


def merge_settings(
    old: config_.PluginConfig, current: Settings, new: config_.PluginConfig
) -> Settings:
    """Return the settings after an upgrade from `old` to `new`.

    What the user changed and `new` still lets be set is kept; everything else is the new default.
    """
    merged = default_settings(new)
    for assignment in changed_assignments(old, current):
        try:
            merged = _apply(new, merged, assignment)
        except errors.PlugindError:
            continue  # the new version has no such setting
    return merged


def changed_assignments(config: config_.PluginConfig, current: Settings) -> list[Assignment]:
    """Return the assignments that lead from the defaults of `config` to `current`."""
    default = default_settings(config)
    changed = []
    for entry in current.env:
        if entry not in default.env:
            name, _, value = entry.partition("=")
            changed.append(Assignment(name=name, field="value", value=value))
    # By position, not by name: most mounts have no name, and two of them are not one.
    for mount, was_mount in zip(current.mounts, default.mounts, strict=False):
        if mount.source is not None and mount.source != was_mount.source:
            changed.append(Assignment(name=mount.name, field="source", value=mount.source))
    for device, was_device in zip(current.devices, default.devices, strict=False):
        if device.path is not None and device.path != was_device.path:
            changed.append(Assignment(name=device.name, field="path", value=device.path))
    if current.args != default.args:
        value = " ".join(current.args)
        changed.append(Assignment(name=config.args.name, field="value", value=value))
    return changed


def _apply(
    config: config_.PluginConfig,
    settings: Settings,
    wanted: Assignment,
    policy: SecretPolicy | None = None,
) -> Settings:
    """Search env, mounts, devices, args; the first item with that name wins."""
    for name, field in _readings(wanted):
        for env in config.env:
            if env.name == name:
                _require_settable(name, field, env.settable, "value")
                value = _unmasked_env(settings, name, wanted.value, policy)
                return replace(settings, env=_set_env(settings.env, name, value))
        for position, mount in enumerate(config.mounts):
            if mount.name == name:
                _require_settable(name, field, mount.settable, "source")
                if mount.source is None:
                    raise errors.InvalidParameter("plugin config has no mount source")
                changed = replace(settings.mounts[position], source=wanted.value)
                return replace(settings, mounts=_put(settings.mounts, position, changed))
        for position, device in enumerate(config.devices):
            if device.name == name:
                _require_settable(name, field, device.settable, "path")
                if device.path is None:
                    raise errors.InvalidParameter("plugin config has no device path")
                moved = replace(settings.devices[position], path=wanted.value)
                return replace(settings, devices=_put(settings.devices, position, moved))
        if config.args.name == name:
            _require_settable(name, field, config.args.settable, "value")
            # An empty value means no arguments; the original passes one empty argument.
            args = tuple(part for part in wanted.value.split(" ") if part)
            return replace(settings, args=_unmasked_args(settings, args, policy))
    raise errors.InvalidParameter(f'setting "{wanted.name}" not found in the plugin configuration')


def _readings(wanted: Assignment) -> Iterable[tuple[str, str]]:
    """Yield how the name can be read: with its field split off, then as a name with a dot.

    `config.json` files name variables `linode.token`, so a dot does not always start a field.
    """
    if wanted.field:
        yield wanted.name, wanted.field
        return
    head, dot, tail = wanted.name.rpartition(".")
    if dot and head:
        yield head, tail
    yield wanted.name, ""


def _require_settable(
    name: str, field: str, settable: tuple[str, ...] | None, only_field: str
) -> None:
    allowed = settable or ()
    if not field:
        if len(allowed) > 1:
            raise errors.InvalidParameter(
                f'"{name}": multiple fields are settable, one must be specified: '
                + ", ".join(allowed)
            )
        if only_field not in allowed:
            raise errors.InvalidParameter(f'"{name}" is not settable')
    elif field not in allowed or field != only_field:
        raise errors.InvalidParameter(f'"{name}.{field}" is not settable')


def _unmasked_env(settings: Settings, name: str, value: str, policy: SecretPolicy | None) -> str:
    if policy is None or not policy.is_masked(name, value):
        return value
    current = {entry.partition("=")[0]: entry.partition("=")[2] for entry in settings.env}
    if value == policy.mask(name, current.get(name, "")):
        return current[name]
    raise _masked(name)


def _unmasked_args(
    settings: Settings, args: tuple[str, ...], policy: SecretPolicy | None
) -> tuple[str, ...]:
    if policy is None or not policy.is_masked_in_args(args):
        return args
    if list(args) == policy.mask_args(settings.args):
        return settings.args
    raise _masked("args")


def _masked(name: str) -> errors.InvalidParameter:
    return errors.InvalidParameter(
        f'cannot set "{name}": {MASK} is how a secret is shown; set the value itself'
    )


def _set_env(env: tuple[str, ...], name: str, value: str) -> tuple[str, ...]:
    entry = f"{name}={value}"
    names = [existing.partition("=")[0] for existing in env]
    if name in names:
        return _put(env, names.index(name), entry)
    return (*env, entry)


def _put(items: tuple[T, ...], position: int, item: T) -> tuple[T, ...]:
    return (*items[:position], item, *items[position + 1 :])
