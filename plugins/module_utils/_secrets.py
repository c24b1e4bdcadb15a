# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which settings and volume options hold secrets, and how they are kept out of results and logs.

PRIVATE to this collection. `no_log` works on options of a module; the names inside `settings.env` or `options` are
the plugin's own, so they are judged by what they are called. Two nets, because neither is enough alone:

* masking by place (`masked`): the value under a telling name is replaced, whatever it is;
* masking by value (`values`): Ansible replaces it wherever it turns up, in error messages too. Not for very short
  values, which would take half of the output with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MASK = "********"
_SHORTEST = 6
# The agent's own rule (plugind.model.masking), so that both hide the same.
_TELLING = re.compile(r"passw|passphrase|token|secret|key|credential|auth", re.IGNORECASE)
# Keys of ours that the expression would take for secrets' names.
_HARMLESS = frozenset({"credentials"})
_WORDS = frozenset({"true", "false", "none", "null"})


def is_secret(name: str) -> bool:
    """True if what stands under this name should not be shown."""
    return name not in _HARMLESS and _TELLING.search(name) is not None


def values(params: Any) -> set[str]:
    """Return the secret values in a module's parameters that Ansible shall censor everywhere."""
    return {
        value
        for value in _walk(params)
        if len(value) >= _SHORTEST and value.lower() not in _WORDS and value != MASK
    }


def _walk(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            scalar = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            if scalar and is_secret(str(key)):
                yield str(value)
            else:
                yield from _walk(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _walk(value)


def masked(node: Any) -> Any:
    """Return a copy in which the values under telling names are masked.

    `NAME=value` texts, as in a plugin's `Settings.Env`, and `{"Name", "Value"}` pairs, as in its `Config.Env`, too.
    """
    if isinstance(node, dict):
        named = node.get("Name")
        if isinstance(named, str) and isinstance(node.get("Value"), str) and is_secret(named):
            return {**node, "Value": _cover(node["Value"])}
        return {key: _under(str(key), value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [masked(value) for value in node]
    if isinstance(node, str):
        name, equals, value = node.partition("=")
        if equals and value and re.fullmatch(r"[A-Za-z_][\w.-]*", name) and is_secret(name):
            return name + "=" + MASK
    return node


def _under(key: str, value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)) or value is None or isinstance(value, bool):
        return masked(value)
    return _cover(value) if is_secret(key) else masked(value)


def _cover(value: Any) -> Any:
    """Nothing to hide in nothing: an empty value says that the secret is not set."""
    return value if value == "" else MASK
