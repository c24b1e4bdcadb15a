# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Which values are hidden wherever a person or a log may read them.

A value is hidden because of its *name*: whoever calls a variable `AWS_SECRET_KEY` means it. Hiding
too much is harmless (nothing is computed from a masked value), so the words match anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "********"
_SECRET = re.compile(r"passw|passphrase|token|secret|key|credential|auth", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """True if a value of that name is not to be shown."""
    return _SECRET.search(name) is not None


def mask(name: str, value: str) -> str:
    """Return `value`, or the mask if `name` looks secret. An empty value hides nothing."""
    return MASK if value and is_secret(name) else value


def mask_mapping(values: Mapping[str, str]) -> dict[str, str]:
    """Return `values` sorted by name, with the secret ones masked."""
    return {name: mask(name, values[name]) for name in sorted(values)}


def mask_args(args: Iterable[str]) -> list[str]:
    """Mask `--password=x` and `--password x` in a list of arguments."""
    shown: list[str] = []
    hide_next = False
    for arg in args:
        name, equals, value = arg.partition("=")
        if hide_next and not arg.startswith("-"):
            shown.append(MASK)
            hide_next = False
        elif equals and value and is_secret(name):
            shown.append(f"{name}={MASK}")
        else:
            hide_next = arg.startswith("-") and not equals and is_secret(arg)
            shown.append(arg)
    return shown


def mask_plugin(plugin: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Engine API plugin object with the secret values of its settings masked."""
    shown = dict(plugin)
    settings = shown.get("Settings")
    if isinstance(settings, Mapping):
        env = [_mask_entry(entry) for entry in settings.get("Env") or ()]
        shown["Settings"] = {**settings, "Env": env, "Args": mask_args(settings.get("Args") or ())}
    return shown


def mask_volume(volume: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Engine API volume object with its secret options masked."""
    shown = dict(volume)
    options = shown.get("Options")
    if isinstance(options, Mapping):
        shown["Options"] = {name: mask(name, str(value)) for name, value in options.items()}
    return shown


def _mask_entry(entry: str) -> str:
    name, equals, value = entry.partition("=")
    return f"{name}{equals}{mask(name, value)}"
