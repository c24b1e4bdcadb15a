# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A plugin's config.json: parsing, and rendering in the Engine API's spelling.

Keys are matched in any case and unknown keys are kept (`raw`) and ignored, because real plugins
rely on Go's JSON decoder doing that. `schema.validate` has reported every problem before
`parse_config` runs; this file only gives the values names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from plugind import errors
from plugind.model import schema, secrets

HTTP_V1 = "moby.plugins.http/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityID:
    """An interface type, `docker.volumedriver/1.0`: prefix, capability and version."""

    prefix: str
    capability: str
    version: str

    @classmethod
    def parse(cls, text: str) -> CapabilityID:
        """Parse `prefix.capability/version`; the prefix may contain dots itself."""
        name, _, version = text.partition("/")
        prefix, _, capability = name.rpartition(".")
        return cls(prefix=prefix, capability=capability, version=version)

    def __str__(self) -> str:
        return f"{self.prefix}.{self.capability}/{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What the plugin serves, and the name of its socket below /run/docker/plugins."""

    types: tuple[CapabilityID, ...] | None = None
    socket: str = ""
    protocol_scheme: str = ""

    def serves(self, capability: str) -> bool:
        """True if a type is `docker.<capability>` of any version."""
        return any(t.prefix == "docker" and t.capability == capability for t in self.types or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginMount:
    """A mount the plugin asks for; `source` None means that none was given."""

    name: str = ""
    description: str = ""
    source: str | None = None
    destination: str = ""
    type: str = ""
    options: tuple[str, ...] | None = None
    settable: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the mount as the Engine API spells it."""
        return {
            "Description": self.description,
            "Destination": self.destination,
            "Name": self.name,
            "Options": _list(self.options),
            "Settable": _list(self.settable),
            "Source": self.source,
            "Type": self.type,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDevice:
    """A device the plugin asks for, with the same path inside."""

    name: str = ""
    description: str = ""
    path: str | None = None
    settable: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the device as the Engine API spells it."""
        return {
            "Description": self.description,
            "Name": self.name,
            "Path": self.path,
            "Settable": _list(self.settable),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEnv:
    """An environment variable; `value` None leaves it unset until it is set."""

    name: str = ""
    description: str = ""
    value: str | None = field(default=None, repr=False)
    settable: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the variable as the Engine API spells it."""
        return {
            "Description": self.description,
            "Name": self.name,
            "Settable": _list(self.settable),
            "Value": self.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginArgs:
    """The arguments appended to the entrypoint, as one named setting."""

    name: str = ""
    description: str = ""
    value: tuple[str, ...] | None = field(default=None, repr=False)
    settable: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the arguments as the Engine API spells them."""
        return {
            "Description": self.description,
            "Name": self.name,
            "Settable": _list(self.settable),
            "Value": _list(self.value),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginConfig:
    """A parsed config.json. `raw` is the document as written, unknown keys included."""

    description: str = ""
    documentation: str = ""
    entrypoint: tuple[str, ...] | None = None
    work_dir: str = ""
    uid: int = 0
    gid: int = 0
    interface: Interface = Interface()
    network_type: str = ""
    ipc_host: bool = False
    pid_host: bool = False
    propagated_mount: str = ""
    mounts: tuple[PluginMount, ...] = ()
    devices: tuple[PluginDevice, ...] = ()
    allow_all_devices: bool = False
    capabilities: tuple[str, ...] | None = None
    env: tuple[PluginEnv, ...] = ()
    args: PluginArgs = PluginArgs()
    diff_ids: tuple[str, ...] | None = None
    raw: str = field(default="{}", repr=False)
    #: what the labels name as secrets: settings, and options of the plugin's volumes
    secret_settings: frozenset[str] = frozenset()
    secret_options: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return `Plugin.Config` as the Engine API spells it, in its order."""
        interface: dict[str, Any] = {}
        if self.interface.protocol_scheme:
            interface["ProtocolScheme"] = self.interface.protocol_scheme
        types = self.interface.types
        interface["Socket"] = self.interface.socket
        interface["Types"] = None if types is None else [str(t) for t in types]
        user = {key: value for key, value in (("UID", self.uid), ("GID", self.gid)) if value}
        return {
            "Args": self.args.to_json(),
            "Description": self.description,
            "Documentation": self.documentation,
            "Entrypoint": _list(self.entrypoint),
            "Env": [env.to_json() for env in self.env] or None,
            "Interface": interface,
            "IpcHost": self.ipc_host,
            "Linux": {
                "AllowAllDevices": self.allow_all_devices,
                "Capabilities": _list(self.capabilities),
                "Devices": [device.to_json() for device in self.devices] or None,
            },
            "Mounts": [mount.to_json() for mount in self.mounts] or None,
            "Network": {"Type": self.network_type},
            "PidHost": self.pid_host,
            "PropagatedMount": self.propagated_mount,
            "User": user,
            "WorkDir": self.work_dir,
            "rootfs": {"type": "layers", "diff_ids": list(self.diff_ids or ())},
        }


def parse_config(raw: bytes) -> PluginConfig:
    """Parse and validate config.json; InvalidParameter lists every problem with its path."""
    try:
        document = json.loads(raw)
        folded = schema.fold_keys(document)
    except ValueError as exc:
        raise errors.InvalidParameter(f"failed to parse config: invalid JSON: {exc}") from exc
    except RecursionError:
        raise errors.InvalidParameter("failed to parse config: it is nested too deeply") from None
    schema.validate("config", folded, "failed to parse config")
    return _config(folded, json.dumps(document))


def _config(doc: dict[str, Any], raw: str) -> PluginConfig:
    linux = doc.get("linux") or {}
    labels = doc.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    user = doc.get("user") or {}
    return PluginConfig(
        description=doc.get("description") or "",
        documentation=doc.get("documentation") or "",
        entrypoint=_strings(doc.get("entrypoint")),
        work_dir=doc.get("workdir") or "",
        uid=user.get("uid") or 0,
        gid=user.get("gid") or 0,
        interface=_interface(doc.get("interface") or {}),
        network_type=(doc.get("network") or {}).get("type") or "",
        ipc_host=bool(doc.get("ipchost")),
        pid_host=bool(doc.get("pidhost")),
        propagated_mount=doc.get("propagatedmount") or "",
        mounts=tuple(_mount(m) for m in doc.get("mounts") or ()),
        devices=tuple(_device(d) for d in linux.get("devices") or ()),
        allow_all_devices=bool(linux.get("allowalldevices")),
        capabilities=_strings(linux.get("capabilities")),
        env=tuple(_env(e) for e in doc.get("env") or ()),
        args=_args(doc.get("args") or {}),
        diff_ids=_strings((doc.get("rootfs") or {}).get("diff_ids")),
        raw=raw,
        secret_settings=_names(labels.get(secrets.SETTINGS_LABEL)),
        secret_options=_names(labels.get(secrets.OPTIONS_LABEL)),
    )


def _interface(doc: dict[str, Any]) -> Interface:
    types = doc.get("types")
    return Interface(
        types=None if types is None else tuple(CapabilityID.parse(t) for t in types),
        socket=doc.get("socket") or "",
        protocol_scheme=doc.get("protocolscheme") or "",
    )


def _mount(doc: dict[str, Any]) -> PluginMount:
    return PluginMount(
        name=doc.get("name") or "",
        description=doc.get("description") or "",
        source=doc.get("source"),
        destination=doc.get("destination") or "",
        type=doc.get("type") or "",
        options=_strings(doc.get("options")),
        settable=_strings(doc.get("settable")),
    )


def _device(doc: dict[str, Any]) -> PluginDevice:
    return PluginDevice(
        name=doc.get("name") or "",
        description=doc.get("description") or "",
        path=doc.get("path"),
        settable=_strings(doc.get("settable")),
    )


def _env(doc: dict[str, Any]) -> PluginEnv:
    return PluginEnv(
        name=doc.get("name") or "",
        description=doc.get("description") or "",
        value=doc.get("value"),
        settable=_strings(doc.get("settable")),
    )


def _args(doc: dict[str, Any]) -> PluginArgs:
    return PluginArgs(
        name=doc.get("name") or "",
        description=doc.get("description") or "",
        value=_strings(doc.get("value")),
        settable=_strings(doc.get("settable")),
    )


def _names(label: Any) -> frozenset[str]:
    """Docker knows no labels in a config.json and ignores them; nothing about them is an error."""
    return secrets.parse_names(label) if isinstance(label, str) else frozenset()


def _strings(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _list(value: tuple[str, ...] | None) -> list[str] | None:
    return None if value is None else list(value)
