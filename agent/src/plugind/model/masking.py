# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Engine API objects as they are shown: `secrets.SecretPolicy` applied to their parts.

An object of our own engine says which names a label or a caller added, in `SecretSettings` of a
plugin; a volume's label says it on every engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugind.model import secrets
from plugind.model.secrets import MASK, SecretPolicy


def mask_mapping(values: Mapping[str, str], policy: SecretPolicy) -> dict[str, str]:
    """Return `values` sorted by name, with the secret ones masked."""
    return {name: policy.mask(name, values[name]) for name in sorted(values)}


def mask_env(entries: list[str], policy: SecretPolicy) -> list[str]:
    """Return `NAME=value` entries with the secret values masked."""
    return [_mask_entry(entry, policy) for entry in entries]


def mask_plugin(plugin: Mapping[str, Any], policy: SecretPolicy) -> dict[str, Any]:
    """Return a plugin object with the secrets of its settings, and of their defaults, masked."""
    policy = policy.naming(plugin.get("SecretSettings") or ())
    shown = dict(plugin)
    settings, config = shown.get("Settings"), shown.get("Config")
    if isinstance(settings, Mapping):
        env = mask_env(list(settings.get("Env") or ()), policy)
        args = policy.mask_args(settings.get("Args") or ())
        shown["Settings"] = {**settings, "Env": env, "Args": args}
    if isinstance(config, Mapping):
        shown["Config"] = _mask_config(config, policy)
    return shown


def mask_volume(volume: Mapping[str, Any], policy: SecretPolicy) -> dict[str, Any]:
    """Return a volume object with its secret options, and what its driver says of them, masked."""
    shown = dict(volume)
    options, status = shown.get("Options"), shown.get("Status")
    label = (shown.get("Labels") or {}).get(secrets.OPTIONS_LABEL)
    policy = policy.naming(secrets.parse_names(label))
    if isinstance(options, Mapping):
        shown["Options"] = {name: policy.mask(name, str(value)) for name, value in options.items()}
        if isinstance(status, Mapping):
            known = secrets.KnownValues(
                part for name, value in options.items() for part in policy.find(name, str(value))
            )
            shown["Status"] = secrets.walk(status, policy, known.redact)
    return shown


def _mask_config(config: Mapping[str, Any], policy: SecretPolicy) -> dict[str, Any]:
    shown = dict(config)
    if isinstance(shown.get("Env"), list):
        shown["Env"] = [
            {**env, "Value": policy.mask(str(env.get("Name") or ""), env["Value"])}
            if env.get("Value")
            else env
            for env in shown["Env"]
        ]
    args = shown.get("Args")
    if isinstance(args, Mapping) and args.get("Value"):
        shown["Args"] = {**args, "Value": policy.mask_args(args["Value"])}
    return shown


def _mask_entry(entry: str, policy: SecretPolicy) -> str:
    name, equals, value = entry.partition("=")
    return f"{name}{equals}{policy.mask(name, value)}"


__all__ = ["MASK", "mask_env", "mask_mapping", "mask_plugin", "mask_volume"]
