# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Privileges: what a plugin's config asks for, and whether that was granted.

The list, its order and its words are Docker's (docker-plugins reference, `computePrivileges`),
because the CLI prints them at its prompt and sends them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from plugind import errors
from plugind.model import config as config_


@dataclass(frozen=True, slots=True, kw_only=True)
class Privilege:
    """One thing a plugin asks for: a name and the values it wants."""

    name: str
    value: tuple[str, ...]
    description: str = ""

    def __str__(self) -> str:
        return f"{self.name}: [{' '.join(self.value)}]"

    def to_json(self) -> dict[str, Any]:
        """Return the privilege as the Engine API spells it."""
        return {"Name": self.name, "Description": self.description, "Value": list(self.value)}


Privileges = tuple[Privilege, ...]

#: The names a config can ask for, in the order in which Docker lists them.
NAMES = (
    "network",
    "host ipc namespace",
    "host pid namespace",
    "mount",
    "device",
    "allow-all-devices",
    "capabilities",
)


def compute_privileges(config: config_.PluginConfig) -> Privileges:
    """Return what `config` asks for, in Docker's order and words."""
    asked: list[Privilege] = []

    def ask(name: str, description: str, *value: str) -> None:
        asked.append(Privilege(name=name, description=description, value=value))

    if config.network_type not in ("", "null", "bridge"):
        ask("network", "permissions to access a network", config.network_type)
    if config.ipc_host:
        ask("host ipc namespace", "allow access to host ipc namespace", "true")
    if config.pid_host:
        ask("host pid namespace", "allow access to host pid namespace", "true")
    for mount in config.mounts:
        if mount.source is not None:
            ask("mount", "host path to mount", mount.source)
    for device in config.devices:
        if device.path is not None:
            ask("device", "host device to access", device.path)
    if config.allow_all_devices:
        ask("allow-all-devices", "allow 'rwm' access to all devices", "true")
    if config.capabilities:
        ask("capabilities", "list of additional capabilities required", *config.capabilities)
    return tuple(asked)


def parse_privileges(document: Any) -> Privileges:
    """Parse the array that clients post: `[{"Name", "Description", "Value": [...]}]` or null."""
    if document is None or document == {}:
        return ()  # the docker SDK sends {} for the null it was told
    if not isinstance(document, list):
        raise errors.InvalidParameter("invalid privileges: want an array")
    parsed = []
    for position, entry in enumerate(document):
        if not isinstance(entry, dict):
            raise errors.InvalidParameter(f"invalid privileges: [{position}] is not an object")
        fields = {str(key).lower(): value for key, value in entry.items()}
        name, value = fields.get("name"), fields.get("value") or []
        if not isinstance(name, str) or not name:
            raise errors.InvalidParameter(f"invalid privileges: [{position}] has no Name")
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise errors.InvalidParameter(
                f"invalid privileges: [{position}].Value is not an array of strings"
            )
        parsed.append(Privilege(name=name, value=tuple(value)))
    return tuple(parsed)


def require_accepted(requested: Privileges, accepted: Privileges) -> None:
    """Raise Forbidden-like error unless `accepted` is exactly what is requested.

    The order of entries and of values is irrelevant, descriptions are ignored (moby
    `validatePrivileges`; every entry is compared, unlike CVE-2026-33997). The message starts with
    Docker's words and then names what is missing and what is too much.
    """
    want, have = _multiset(requested), _multiset(accepted)
    if want == have:
        return
    missing = [key for key in want if want[key] > have.get(key, 0)]
    extra = [key for key in have if have[key] > want.get(key, 0)]
    parts = []
    if missing:
        parts.append("not granted: " + _render(missing))
    if extra:
        parts.append("granted but not requested: " + _render(extra))
    raise errors.InvalidParameter("incorrect privileges: " + "; ".join(parts))


def missing_from(requested: Privileges, grant: Mapping[str, Iterable[str]] | None) -> Privileges:
    """Return what is requested and not in `grant` (name -> values); None grants everything.

    An empty result means that the grant suffices; granting more than is requested is fine.
    """
    if grant is None:
        return ()
    missing = []
    for privilege in requested:
        granted = set(grant.get(privilege.name, ()))
        lacking = tuple(value for value in privilege.value if value not in granted)
        if lacking or privilege.name not in grant:
            missing.append(
                Privilege(name=privilege.name, value=lacking, description=privilege.description)
            )
    return tuple(missing)


def _multiset(privileges: Privileges) -> dict[tuple[str, tuple[str, ...]], int]:
    counts: dict[tuple[str, tuple[str, ...]], int] = {}
    for privilege in privileges:
        key = (privilege.name, tuple(sorted(privilege.value)))
        counts[key] = counts.get(key, 0) + 1
    return counts


def _render(keys: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    return ", ".join(f"{name}: [{' '.join(value)}]" for name, value in keys)
