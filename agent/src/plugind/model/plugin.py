# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An installed plugin: the record on disk, and the object the Engine API shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from plugind.model import config as config_
from plugind.model import masking
from plugind.model import settings as settings_
from plugind.model.digest import Digest
from plugind.model.reference import Reference, parse
from plugind.model.secrets import DEFAULT, SecretPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a plugin's content: where it came from, and the blobs that it is made of."""

    remote: str
    manifest_digest: Digest
    config_digest: Digest
    layers: tuple[Digest, ...] = ()

    @property
    def blobs(self) -> tuple[Digest, ...]:
        """Every blob of the version."""
        return (self.manifest_digest, self.config_digest, *self.layers)

    def to_json(self) -> dict[str, Any]:
        """Return the version as `GET /plugind/plugins/{name}` shows it."""
        return {
            "PluginReference": self.remote,
            "ManifestDigest": str(self.manifest_digest),
            "ConfigDigest": str(self.config_digest),
            "Layers": [str(layer) for layer in self.layers],
        }

    def to_record(self) -> dict[str, Any]:
        """Return the version as records keep it."""
        return {
            "remote": self.remote,
            "manifest_digest": str(self.manifest_digest),
            "config_digest": str(self.config_digest),
            "layers": [str(layer) for layer in self.layers],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One installed plugin. `name` is familiar and tagged; `remote` is where it came from.

    `secret_settings` are those that a caller named; the config's labels name others.
    `settings_before` are what to go back to, as long as nobody knows whether the plugin runs with
    those that were set while it was enabled. `previous_version` is what the last upgrade replaced:
    its blobs stay. `unverified` says that a verification was asked for and has not passed yet.
    """

    id: str
    name: str
    config: config_.PluginConfig
    settings: settings_.Settings
    config_digest: Digest
    manifest_digest: Digest
    layers: tuple[Digest, ...] = ()
    remote: str = ""
    enabled: bool = False
    enable_timeout: float = 0.0
    secret_settings: frozenset[str] = frozenset()
    settings_before: settings_.Settings | None = None
    previous_version: Version | None = None
    unverified: bool = False

    @property
    def reference(self) -> Reference:
        """The local name as a reference."""
        return parse(self.name)

    @property
    def blobs(self) -> tuple[Digest, ...]:
        """Every blob that a push of this plugin needs."""
        return self.version.blobs

    @property
    def version(self) -> Version:
        """What is installed now."""
        return Version(
            remote=self.remote,
            manifest_digest=self.manifest_digest,
            config_digest=self.config_digest,
            layers=self.layers,
        )

    @property
    def kept_blobs(self) -> tuple[Digest, ...]:
        """Every blob that has to stay: of this version, and of the one to go back to."""
        before = self.previous_version
        return self.blobs if before is None else (*self.blobs, *before.blobs)

    def serves(self, capability: str) -> bool:
        """True if the plugin's interface has `docker.<capability>`."""
        return self.config.interface.serves(capability)

    def with_enabled(self, enabled: bool) -> Plugin:
        """Return the plugin marked enabled or disabled."""
        return replace(self, enabled=enabled)

    def confirmed(self) -> Plugin:
        """Return the plugin without a way back to other settings."""
        return replace(self, settings_before=None)

    def reverted(self) -> Plugin:
        """Return the plugin with the settings to go back to, if there are any."""
        return replace(self, settings=self.settings_before or self.settings, settings_before=None)

    def policy(self, base: SecretPolicy) -> SecretPolicy:
        """Return which of its settings are secrets."""
        return base.naming(self.secret_settings, self.config.secret_settings)

    def secrets(self, base: SecretPolicy) -> tuple[str, ...]:
        """Return the secret values among its settings."""
        policy = self.policy(base)
        before = self.settings_before or self.settings
        return tuple(
            dict.fromkeys(
                settings_.find_secrets(self.settings, policy)
                + settings_.find_secrets(before, policy)
            )
        )

    def to_json(self, policy: SecretPolicy = DEFAULT) -> dict[str, Any]:
        """Return the plugin as `GET /plugins/{name}/json` shows it: secrets are masked."""
        return masking.mask_plugin(self.to_clear_json(), self.policy(policy))

    def to_clear_json(self) -> dict[str, Any]:
        """Return the plugin with its secrets: for the planner, and for root who asked for it."""
        shown: dict[str, Any] = {
            "Config": self.config.to_json(),
            "Enabled": self.enabled,
            "Id": self.id,
            "Name": self.name,
        }
        if self.remote:
            shown["PluginReference"] = self.remote
        shown["Settings"] = self.settings.to_json()
        # Docker shows a mount's and a device's present source in Config as well as in Settings.
        shown["Config"]["Mounts"] = shown["Settings"]["Mounts"] or None
        shown["Config"]["Linux"]["Devices"] = shown["Settings"]["Devices"] or None
        return shown

    def to_native_json(
        self, policy: SecretPolicy = DEFAULT, *, clear: bool = False
    ) -> dict[str, Any]:
        """Return the plugin with what Docker's object has no word for.

        `SecretSettings` and `SecretOptions` are names, `PreviousVersion` is what the last upgrade
        replaced, `Unverified` is true or absent.
        """
        shown = self.to_clear_json() if clear else self.to_json(policy)
        settings = self.secret_settings | self.config.secret_settings
        if settings:
            shown["SecretSettings"] = sorted(settings)
        if self.config.secret_options:
            shown["SecretOptions"] = sorted(self.config.secret_options)
        if self.previous_version is not None:
            shown["PreviousVersion"] = self.previous_version.to_json()
        if self.unverified:
            shown["Unverified"] = True
        return shown

    def to_record(self) -> dict[str, Any]:
        """Return the plugin as `plugin.json` keeps it."""
        record = {
            "id": self.id,
            "name": self.name,
            **self.version.to_record(),
            "enabled": self.enabled,
            "enable_timeout": self.enable_timeout,
            "config": self.config.raw,
            "settings": _settings_to_record(self.settings),
            "secret_settings": sorted(self.secret_settings),
        }
        if self.settings_before is not None:
            record["settings_before"] = _settings_to_record(self.settings_before)
        if self.previous_version is not None:
            record["previous_version"] = self.previous_version.to_record()
        if self.unverified:
            record["unverified"] = True
        return record


def from_record(record: dict[str, Any]) -> Plugin:
    """Read `plugin.json` back; raises InvalidParameter, KeyError or TypeError if it is broken."""
    config = config_.parse_config(record["config"].encode())
    before = record.get("settings_before")
    version = _version_from_record(record)
    # Records of 0.1 know neither the previous version nor verifications.
    previous = record.get("previous_version")
    return Plugin(
        id=record["id"],
        name=record["name"],
        remote=version.remote,
        enabled=record["enabled"],
        enable_timeout=record["enable_timeout"],
        # Records of 0.1 do not have it.
        secret_settings=frozenset(record.get("secret_settings") or ()),
        config_digest=version.config_digest,
        manifest_digest=version.manifest_digest,
        layers=version.layers,
        config=config,
        settings=_settings_from_record(config, record["settings"]),
        settings_before=None if before is None else _settings_from_record(config, before),
        previous_version=None if previous is None else _version_from_record(previous),
        unverified=record.get("unverified", False),
    )


def _version_from_record(kept: dict[str, Any]) -> Version:
    return Version(
        remote=kept["remote"],
        manifest_digest=Digest.parse(kept["manifest_digest"]),
        config_digest=Digest.parse(kept["config_digest"]),
        layers=tuple(Digest.parse(layer) for layer in kept["layers"]),
    )


def _settings_to_record(settings: settings_.Settings) -> dict[str, Any]:
    return {
        "env": list(settings.env),
        "args": list(settings.args),
        "mount_sources": [mount.source for mount in settings.mounts],
        "device_paths": [device.path for device in settings.devices],
    }


def _settings_from_record(config: config_.PluginConfig, kept: dict[str, Any]) -> settings_.Settings:
    return settings_.Settings(
        env=tuple(kept["env"]),
        args=tuple(kept["args"]),
        mounts=tuple(
            replace(mount, source=source)
            for mount, source in zip(config.mounts, kept["mount_sources"], strict=True)
        ),
        devices=tuple(
            replace(device, path=path)
            for device, path in zip(config.devices, kept["device_paths"], strict=True)
        ),
    )


def is_plausible_id(text: str) -> bool:
    """False for ids whose first 12 characters are all digits, which tools take for numbers."""
    return not text[:12].isdigit()
