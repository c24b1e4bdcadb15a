# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several declarations -> one. Pure.

PRIVATE to this collection. What is named in more than one of them is as the last one has it, as a whole, in the place
where it was first named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

KINDS = ("plugins", "volumes", "mounts")
# Files that the playbook export writes, and those of host_vars, have the role's names.
_PREFIX = "plugins_"
_DEFAULT_TAG = ":latest"
_HUB = ("docker.io/library/", "docker.io/")


class Invalid(ValueError):
    """Something that is not a declaration; the message says what, and what there should be."""


def read(document: Any) -> dict[str, list[Any]]:
    """Return the lists of a file: `plugins`, `volumes`, `mounts`, or the same after `plugins_`."""
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise Invalid(f"want a mapping with {', '.join(KINDS)}")
    found: dict[str, list[Any]] = {}
    for key, value in document.items():
        kind = str(key)
        if kind not in KINDS:
            kind = kind[len(_PREFIX) :] if kind.startswith(_PREFIX) else ""
        if kind not in KINDS:
            raise Invalid(f"{key}: nothing of that name can be declared; want {', '.join(KINDS)}")
        if kind in found:
            raise Invalid(f"{key}: {kind} are declared twice")
        found[kind] = _items(value, str(key))
    return found


def merge(declarations: Iterable[Mapping[str, Any]], verify: Any = None) -> dict[str, list[Any]]:
    """Return one declaration; `verify` is for plugins that do not say how they are verified."""
    merged: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for declaration in declarations:
        for kind in KINDS:
            own: dict[str, list[Any]] = {}
            for item in _items(declaration.get(kind), kind):
                name = _name(kind, item)
                # The agent refuses what one list names twice.
                own.setdefault(name, []).append(item)
            merged[kind].update(own)
    result = {kind: [item for items in merged[kind].values() for item in items] for kind in KINDS}
    if verify is not None:
        result["plugins"] = [_verified(plugin, verify) for plugin in result["plugins"]]
    return result


def absent(declaration: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the declaration by which all that this one names goes."""
    keys = {"plugins": "name", "volumes": "name", "mounts": "path"}
    names = {kind: [_name(kind, item) for item in declaration[kind]] for kind in KINDS}
    return {kind: [{keys[kind]: name, "state": "absent"} for name in names[kind]] for kind in KINDS}


def _items(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, Mapping) for v in value):
        raise Invalid(f"{where}: want a list of mappings")
    return list(value)


def _name(kind: str, item: Mapping[str, Any]) -> str:
    """Return what tells it from others: `x` and `docker.io/library/x:latest` are one plugin."""
    if kind == "mounts":
        return str(item.get("path"))
    if kind == "volumes":
        return str(item.get("name"))
    name = str(item.get("name") or str(item.get("source")).partition("@")[0])
    for prefix in _HUB:
        name = name.removeprefix(prefix)
    return name if ":" in name.rpartition("/")[2] else name + _DEFAULT_TAG


def _verified(plugin: Mapping[str, Any], verify: Any) -> dict[str, Any]:
    runs = plugin.get("state") in (None, "enabled", "present")
    return {**plugin, "verify": verify} if runs and plugin.get("verify") is None else dict(plugin)
