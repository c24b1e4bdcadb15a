# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What an engine says: its plugins and volumes, and what a registry offers.

The same Engine API objects come from the agent's own engine and from a real Docker Engine, so
reading them is lenient: an installed plugin's config was accepted by an engine once, and the
planner must not be the one who refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugind import errors
from plugind.model import config as config_
from plugind.model import reference as reference_
from plugind.model import settings as settings_
from plugind.model.host_mount import HostMount
from plugind.model.privileges import Privileges
from plugind.model.reference import Reference
from plugind.model.secrets import DEFAULT, SecretPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a registry has under a reference, read without changing anything.

    `digest` and `config` are known to an engine that reads the registry itself; a Docker Engine
    only says which privileges the plugin asks for.
    """

    privileges: Privileges
    digest: str | None = None
    config: config_.PluginConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One read of an engine.

    plugins    Engine API plugin objects, as `GET /plugins` lists them, with their secrets
    volumes    Engine API volume objects, as `GET /volumes` lists them
    digests    manifest digest by plugin id, where the engine knows it
    mounted    the volumes in use now, by their plugin's name, as `volume/<name>`; None where the
               engine cannot tell, so that every volume counts as in use
    mounts     host mounts, as `GET /plugind/mounts` lists them; None where the engine has none
    drivers    volume drivers besides managed plugins: `local`, legacy plugins
    in_place   the engine upgrades or sets an enabled plugin in one step, mounts again what is
               mounted, and goes back when that fails
    warnings   to be passed on to the user
    policy     which names mean secrets on this engine
    """

    plugins: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    volumes: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    digests: Mapping[str, str] = field(default_factory=dict)
    mounted: Mapping[str, tuple[str, ...]] | None = None
    mounts: tuple[Mapping[str, Any], ...] | None = None
    drivers: tuple[str, ...] = ("local",)
    in_place: bool = False
    warnings: tuple[str, ...] = ()
    policy: SecretPolicy = DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPlugin:
    """An installed plugin. `reference` is where it came from.

    `secret_settings` and `secret_options` are what its labels and callers have named so far.
    `holders` lose their volumes if it goes, `disturbed` also if it only stops for a moment.
    `unverified`: it was changed, and its verification has not passed since.
    """

    id: str
    name: str
    enabled: bool
    reference: Reference
    digest: str | None
    config: config_.PluginConfig
    settings: settings_.Settings
    holders: tuple[str, ...] = ()
    disturbed: tuple[str, ...] = ()
    secret_settings: frozenset[str] = frozenset()
    secret_options: frozenset[str] = frozenset()
    unverified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedVolume:
    """An existing volume."""

    name: str
    driver: str
    options: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedMount:
    """A host mount that is recorded, and its state (`model.host_mount`)."""

    mount: HostMount
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that the planner looks at.

    `offers` and `refusals` belong to the plugins that `plan.needs` named, by plugin name: what
    the registry has, or why that could not be read. `drift` belongs to the volumes named there:
    which options differ from those the volume was created with.
    """

    plugins: Mapping[str, ObservedPlugin] = field(default_factory=dict)
    volumes: Mapping[str, ObservedVolume] = field(default_factory=dict)
    mounts: Mapping[str, ObservedMount] | None = None
    drivers: frozenset[str] = frozenset({"local"})
    in_place: bool = False
    offers: Mapping[str, Offer] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)
    drift: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    policy: SecretPolicy = DEFAULT

    def plugin_policy(self, name: str, named: frozenset[str]) -> SecretPolicy:
        """Return which settings of a plugin are secrets, with those that are `named`."""
        plugin, offer = self.plugins.get(name), self.offers.get(name)
        return self.policy.naming(
            named,
            plugin.secret_settings if plugin is not None else (),
            offer.config.secret_settings if offer is not None and offer.config is not None else (),
        )

    def volume_policy(self, driver: str, named: frozenset[str]) -> SecretPolicy:
        """Return which options of a driver's volume are secrets, with those that are `named`."""
        plugin, offer = self.plugins.get(driver), self.offers.get(driver)
        return self.policy.naming(
            named,
            plugin.secret_options if plugin is not None else (),
            offer.config.secret_options if offer is not None and offer.config is not None else (),
        )


def read(observation: Observation) -> Observed:
    """Return the planner's view of an observation, without offers and drift."""
    volumes = {document["Name"]: _volume(document) for document in observation.volumes}
    plugins = {}
    for document in observation.plugins:
        name = document["Name"]
        held = tuple(sorted(f"volume/{v.name}" for v in volumes.values() if v.driver == name))
        mounted = held if observation.mounted is None else observation.mounted.get(name, ())
        digest = observation.digests.get(document["Id"])
        plugins[name] = _plugin(document, digest, held, tuple(sorted(mounted)))
    return Observed(
        plugins=plugins,
        volumes=volumes,
        mounts=None
        if observation.mounts is None
        else {document["Path"]: _mount(document) for document in observation.mounts},
        drivers=frozenset(observation.drivers),
        in_place=observation.in_place,
        policy=observation.policy,
    )


def differing(declared: Mapping[str, str], options: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names whose values differ, or which only one side has, sorted."""
    names = declared.keys() | options.keys()
    return tuple(sorted(name for name in names if declared.get(name) != options.get(name)))


def read_config(document: Mapping[str, Any]) -> config_.PluginConfig:
    """Return what the planner needs of an API object's `Config`; nothing in it is an error."""
    linux = document.get("Linux") or {}
    args = document.get("Args") or {}
    return config_.PluginConfig(
        network_type=(document.get("Network") or {}).get("Type") or "",
        ipc_host=bool(document.get("IpcHost")),
        pid_host=bool(document.get("PidHost")),
        mounts=_mounts(document.get("Mounts")),
        devices=_devices(linux.get("Devices")),
        allow_all_devices=bool(linux.get("AllowAllDevices")),
        capabilities=_strings(linux.get("Capabilities")),
        env=tuple(
            config_.PluginEnv(
                name=env.get("Name") or "",
                value=env.get("Value"),
                settable=_strings(env.get("Settable")),
            )
            for env in document.get("Env") or ()
        ),
        args=config_.PluginArgs(
            name=args.get("Name") or "",
            value=_strings(args.get("Value")),
            settable=_strings(args.get("Settable")),
        ),
    )


def _plugin(
    document: Mapping[str, Any],
    digest: str | None,
    holders: tuple[str, ...],
    disturbed: tuple[str, ...],
) -> ObservedPlugin:
    settings = document.get("Settings") or {}
    config = read_config(document.get("Config") or {})
    devices = _devices(settings.get("Devices"))
    return ObservedPlugin(
        id=document["Id"],
        name=document["Name"],
        enabled=bool(document.get("Enabled")),
        reference=_reference(document),
        digest=digest,
        config=config,
        settings=settings_.Settings(
            env=tuple(settings.get("Env") or ()),
            # Docker turns empty arguments into one empty argument.
            args=tuple(arg for arg in settings.get("Args") or () if arg),
            # Docker runs a plugin with the mounts of Config and the devices of Settings, but its
            # upgrade leaves Settings as they were, with fewer devices than the config has.
            mounts=config.mounts,
            devices=devices if len(devices) == len(config.devices) else config.devices,
        ),
        holders=holders,
        disturbed=disturbed,
        secret_settings=frozenset(document.get("SecretSettings") or ()),
        secret_options=frozenset(document.get("SecretOptions") or ()),
        unverified=bool(document.get("Unverified")),
    )


def _reference(document: Mapping[str, Any]) -> Reference:
    """Where the plugin came from; a plugin created on this host came from its own name."""
    text = document.get("PluginReference") or document["Name"]
    try:
        return reference_.parse(text).with_default_tag()
    except errors.InvalidParameter:
        # An engine with a looser grammar: compare by name, which at least the engine resolves.
        return Reference(domain="", path=text)


def _volume(document: Mapping[str, Any]) -> ObservedVolume:
    return ObservedVolume(
        name=document["Name"],
        driver=document.get("Driver") or "local",
        options=dict(document.get("Options") or {}),
        labels=dict(document.get("Labels") or {}),
    )


def _mount(document: Mapping[str, Any]) -> ObservedMount:
    mount = HostMount(
        path=document["Path"],
        volume=document["Volume"],
        read_only=document["ReadOnly"],
        propagation=document["Propagation"],
    )
    return ObservedMount(mount=mount, state=document["State"])


def _mounts(documents: Iterable[Mapping[str, Any]] | None) -> tuple[config_.PluginMount, ...]:
    return tuple(
        config_.PluginMount(
            name=mount.get("Name") or "",
            source=mount.get("Source"),
            destination=mount.get("Destination") or "",
            settable=_strings(mount.get("Settable")),
        )
        for mount in documents or ()
    )


def _devices(documents: Iterable[Mapping[str, Any]] | None) -> tuple[config_.PluginDevice, ...]:
    return tuple(
        config_.PluginDevice(
            name=device.get("Name") or "",
            path=device.get("Path"),
            settable=_strings(device.get("Settable")),
        )
        for device in documents or ()
    )


def _strings(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)
