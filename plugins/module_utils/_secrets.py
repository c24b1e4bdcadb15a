# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which settings and volume options hold secrets, and how they are kept out of results and logs.

PRIVATE to this collection. `no_log` works on options of a module; the names inside `settings.env` or `options` are
the plugin's own. So they are judged by what they are called, by what the task names (`secret_options`,
`secret_settings`), and by what the agent answers in `secrets`, which knows the plugin's labels and its own options.
Before it has answered, all of them are secrets. Two nets, because neither is enough alone:

* masking by place (`masked`, `shown`): the value under a telling name is replaced, whatever it is;
* masking by value (`values`): Ansible replaces it wherever it turns up, in error messages too. Not for very short
  values, which would take half of the output with them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

MASK = "********"
_SHORTEST = 6
# The agent's own rule (plugind.model.secrets), so that both hide the same.
PATTERNS = (
    "password", "passwd", "passphrase", "secret", "token", "credential", "accesskey",
    "authorization", "key", "pass", "pwd", "auth",
)  # fmt: skip
_LONG = 5
_ABOUT = frozenset((
    "path", "file", "dir", "directory", "name", "url", "uri", "addr", "address", "ttl", "timeout",
    "type", "size", "length", "count", "options", "settings",
))  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Keys of ours that the rule would take for secrets' names.
_HARMLESS = frozenset(("credentials", "secrets"))
_WORDS = frozenset(("true", "false", "none", "null"))
# Where a task says what is a secret, and where it gives values that are judged by the plugin's own names.
_NAMING = ("secret_options", "secret_settings")
_FOREIGN = frozenset(("env", "options"))
# Options of a volume that is made for a moment: the agent does not say which of them are secrets.
_PROBE = "verify"
ARGS = "args"
#: Kinds whose answers say in `secrets` what else is one.
DECLARED = frozenset(("plugin", "volume", "apply"))
Names = Optional[frozenset]


def is_secret(name: str, named: frozenset[str] = frozenset()) -> bool:
    """True if what stands under this name should not be shown."""
    if named and name.casefold() in {other.casefold() for other in named}:
        return True
    return _tells(name)


@functools.lru_cache(maxsize=1024)
def _tells(name: str) -> bool:
    """Judge a name by its words; cached, because a declaration of fifty volumes has each one hundreds of times."""
    if name in _HARMLESS:
        return False
    words = [word.casefold() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    return any(_matches(pattern, word) for pattern in PATTERNS for word in words)


def names(kind: str, params: Any, answer: Mapping[str, Any] | None) -> Names:
    """Return the names that task and agent say are secrets; None as long as the agent has not said it."""
    said = (answer or {}).get("secrets")
    if kind in DECLARED and not isinstance(said, dict):
        return None
    listed = said.values() if isinstance(said, dict) else ()
    return named_in(params).union(*(frozenset(map(str, found)) for found in listed))


def named_in(params: Any) -> frozenset[str]:
    """Return the names that a task says are secrets."""
    return frozenset(_named(params))


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key in _NAMING:
            yield from map(str, node.get(key) or ())
        node = node.values()
    for value in node:
        if isinstance(value, (dict, list, tuple)):
            yield from _named(value)


def values(params: Any, named: Names = None) -> set[str]:
    """Return the secret values in a module's parameters that Ansible shall censor everywhere."""
    every = named_in(params) | (named or frozenset())
    return {
        value
        for value in _walk(params, every)
        if len(value) >= _SHORTEST and value.lower() not in _WORDS and value != MASK
    }


def _walk(node: Any, named: frozenset[str]) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == ARGS and ARGS in named:
                listed = value if isinstance(value, (list, tuple)) else str(value or "").split()
                yield from map(str, listed)
                continue
            scalar = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            if scalar and is_secret(str(key), named):
                yield str(value)
            else:
                yield from _walk(value, named)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _walk(value, named)


def shown(params: Mapping[str, Any], named: Names) -> dict[str, Any]:
    """Return a module's parameters for its result. `named` None: all values that may be secrets are masked."""
    covered = {}
    for key, value in params.items():
        if key in _FOREIGN and isinstance(value, dict):
            covered[key] = {
                name: _cover(item) if named is None or is_secret(str(name), named) else item
                for name, item in value.items()
            }
        elif key == ARGS and value and (named is None or ARGS in named):
            covered[key] = MASK
        elif isinstance(value, dict):
            covered[key] = shown(value, None if key == _PROBE else named)
        elif isinstance(value, (list, tuple)):
            covered[key] = [
                shown(item, named) if isinstance(item, dict) else item for item in value
            ]
        else:
            covered[key] = value
    return masked(covered)


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
    """Nothing to hide in nothing: an empty value says that the secret is not set. "(changed)" says nothing of it."""
    if value is None or value == "" or (isinstance(value, str) and value.startswith(MASK + " (")):
        return value
    return MASK


def _matches(pattern: str, word: str) -> bool:
    return pattern in word if len(pattern) >= _LONG else word.endswith((pattern, pattern + "s"))
