# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is on a host -> a declaration of it, to be kept in a file of variables. Pure.

PRIVATE to this collection. Two things are done to texts, because Ansible templates what it reads from such a file:

* a secret, which results show as `********`, becomes the name of a variable, `{{ plugind_secret_... }}`;
* what would be a template and is none (a plugin's `FORMAT={{.Name}}`) is written so that it stays what it is. A host
  could otherwise run templates, and so programs, on the controller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.plugind.engine.plugins.module_utils import _secrets

MASK = _secrets.MASK
LOCAL = "local"
#: The label of a volume that names its secret options.
_LABEL = "engine.plugind.secret-options"
#: What Docker puts on a volume that belongs to one container only.
_ANONYMOUS = "com.docker.volume.anonymous"
_OWN_NETWORK = ("", "null", "bridge")

Document = Mapping[str, Any]


def export(
    plugins: Iterable[Document], volumes: Iterable[Document], mounts: Iterable[Document]
) -> dict[str, Any]:
    """Return `plugins`, `volumes` and `mounts` of a declaration, and `secrets`: variable -> what it is."""
    secrets = _Secrets()
    return {
        "plugins": [_plugin(plugin, secrets) for plugin in plugins],
        "volumes": [_volume(v, secrets) for v in volumes if not _is_anonymous(v)],
        "mounts": [_mount(mount) for mount in mounts],
        "secrets": secrets.known,
    }


def inert(text: str) -> str:
    """Return a text that a template engine leaves, or turns into, what `text` is."""
    return _written(text) if any(mark in text for mark in ("{{", "{%", "{#")) else text


class _Secrets:
    """The variables that take the places of secrets."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def replace(self, text: str, resource: str, what: str) -> str:
        """Return `text` with a variable in the place of each mask."""
        if MASK not in text:
            return inert(text)
        first, *others = text.split(MASK)
        written = _written(first)
        for other in others:
            written += "{{ " + self._variable(resource, what) + " }}" + _written(other)
        return written

    def _variable(self, resource: str, what: str) -> str:
        name = re.sub("[^a-z0-9]+", "_", f"plugind_secret_{resource}_{what}".lower()).strip("_")
        unique, number = name, 1
        while unique in self.known:
            number += 1
            unique = f"{name}_{number}"
        self.known[unique] = f"{resource}, {what}"
        return unique


def _written(text: str) -> str:
    """Return a template for `text`: every brace an expression, and so what Jinja would change, a carriage return.

    No backslashes: Ansible doubles them in some templates and not in others.
    """
    return text.replace("{", "{{ '{' }}").replace("\r", "{{ '%c' % 13 }}")


def _plugin(plugin: Document, secrets: _Secrets) -> dict[str, Any]:
    name, config = str(plugin["Name"]), _mapping(plugin.get("Config"))
    declared: dict[str, Any] = {"name": inert(name)}
    if plugin.get("PluginReference"):
        declared["source"] = inert(str(plugin["PluginReference"]))
    declared["state"] = "enabled" if plugin.get("Enabled") else "disabled"
    granted = privileges(config)
    if granted:
        declared["grant"] = granted
    settings = _settings(plugin, config, secrets)
    if settings:
        declared["settings"] = settings
    if plugin.get("SecretSettings"):
        declared["secret_settings"] = [inert(str(item)) for item in plugin["SecretSettings"]]
    return declared


def privileges(config: Document) -> dict[str, Any]:
    """Return what the plugin asks for, and so was granted, in Docker's words."""
    linux, network = _mapping(config.get("Linux")), _mapping(config.get("Network")).get("Type")
    granted: dict[str, Any] = {}
    if (network or "") not in _OWN_NETWORK:
        granted["network"] = [inert(str(network))]
    if config.get("IpcHost"):
        granted["host ipc namespace"] = True
    if config.get("PidHost"):
        granted["host pid namespace"] = True
    mounts = [m["Source"] for m in _mappings(config.get("Mounts")) if m.get("Source") is not None]
    if mounts:
        granted["mount"] = sorted({inert(str(source)) for source in mounts})
    devices = [d["Path"] for d in _mappings(linux.get("Devices")) if d.get("Path") is not None]
    if devices:
        granted["device"] = sorted({inert(str(path)) for path in devices})
    if linux.get("AllowAllDevices"):
        granted["allow-all-devices"] = True
    if linux.get("Capabilities"):
        granted["capabilities"] = [inert(str(name)) for name in linux["Capabilities"]]
    return granted


def _settings(plugin: Document, config: Document, secrets: _Secrets) -> dict[str, Any]:
    """Return the settings that differ from the plugin's own; what cannot be set is not one.

    Engines keep one value of a mount's source and a device's path, not that from which it was
    changed; so these are returned whenever they can be set.
    """
    resource, current = f"plugin {plugin['Name']}", _mapping(plugin.get("Settings"))
    found: dict[str, Any] = {}
    defaults = {env.get("Name"): env for env in _mappings(config.get("Env"))}
    env = {}
    for entry in current.get("Env") or ():
        name, _equals, value = str(entry).partition("=")
        default = defaults.get(name) or {}
        # Two masks may hide the same: rather one variable too many than a setting lost.
        same = value == (default.get("Value") or "") and MASK not in value
        if not same and "value" in (default.get("Settable") or ()):
            env[name] = secrets.replace(value, resource, name)
    if env:
        found["env"] = env
    args, own = [a for a in current.get("Args") or () if a], _mapping(config.get("Args"))
    changed = args != [a for a in own.get("Value") or () if a] or any(MASK in a for a in args)
    if changed and "value" in (own.get("Settable") or ()):
        found["args"] = [secrets.replace(str(arg), resource, "args") for arg in args]
    mounts = dict(_places(config.get("Mounts"), "Source", "source"))
    # Docker's upgrade leaves fewer devices in Settings than the plugin has.
    theirs, own_devices = current.get("Devices"), _mapping(config.get("Linux")).get("Devices")
    complete = len(_mappings(theirs)) == len(_mappings(own_devices))
    devices = dict(_places(theirs if complete else own_devices, "Path", "path"))
    found.update({key: value for key, value in (("mounts", mounts), ("devices", devices)) if value})
    return found


def _places(documents: Any, key: str, settable: str) -> Iterator[tuple[str, str]]:
    for document in _mappings(documents):
        if document.get(key) is not None and settable in (document.get("Settable") or ()):
            yield str(document.get("Name")), inert(str(document[key]))


def _is_anonymous(volume: Document) -> bool:
    return _ANONYMOUS in _mapping(volume.get("Labels"))


def _volume(volume: Document, secrets: _Secrets) -> dict[str, Any]:
    name, driver = str(volume["Name"]), str(volume.get("Driver") or LOCAL)
    declared: dict[str, Any] = {"name": inert(name)}
    if driver != LOCAL:
        declared["driver"] = inert(driver)
    options, labels = _mapping(volume.get("Options")), _mapping(volume.get("Labels"))
    if options:
        resource = f"volume {name}"
        declared["options"] = {
            str(key): secrets.replace(str(value), resource, str(key))
            for key, value in options.items()
        }
    if labels:
        declared["labels"] = {str(key): inert(str(value)) for key, value in labels.items()}
    said = {part.strip() for part in str(labels.get(_LABEL) or "").split(",")}
    named = [
        str(key)
        for key, value in options.items()
        if value == MASK and str(key) not in said and not _secrets.is_secret(str(key))
    ]
    if named:
        declared["secret_options"] = sorted(inert(name) for name in named)
    return declared


def _mount(mount: Document) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "path": inert(str(mount["Path"])),
        "volume": inert(str(mount["Volume"])),
    }
    if mount.get("ReadOnly"):
        declared["read_only"] = True
    if mount.get("Propagation", "rprivate") != "rprivate":
        declared["propagation"] = str(mount["Propagation"])
    return declared


def _mapping(value: Any) -> Document:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Document]:
    listed = value if isinstance(value, (list, tuple)) else ()
    return [item for item in listed if isinstance(item, Mapping)]
