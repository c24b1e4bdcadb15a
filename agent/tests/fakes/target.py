# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An engine in memory, for whoever carries plans out: it keeps Docker's rules, and fails on demand.

    target = FakeTarget(registry={"docker.io/x/y:1": Remote(config)})
    target.fail["enable"] = errors.PluginFailed("...")     # the next enable raises this
    target.fail_at[3] = errors.System("...")               # the third call that changes something does
    target.broken["x:latest"] = errors.Unavailable("...")  # what every probe of that plugin says
    target.calls                                           # what was called, in order

A version that was installed once can be had again by its digest, with or without a registry.

Like a Docker Engine it refuses to set or upgrade an enabled plugin and to stop one that is in use;
with `in_place=True` it does so in place, as the agent's engine does.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind import errors
from plugind.model import config as config_
from plugind.model import observed, privileges, settings
from plugind.model.digest import Digest
from plugind.model.host_mount import HostMount
from plugind.model.plugin import Plugin
from plugind.model.verify import Verify

Progress = Any
READS = (
    "observe", "offer", "inspect_plugin", "inspect_volume", "inspect_mount", "info", "options",
    "probe", "set_unverified",
)  # fmt: skip


@dataclass
class Remote:
    """What the registry has under one reference."""

    config: dict[str, Any]

    @functools.cached_property
    def parsed(self) -> config_.PluginConfig:
        return config_.parse_config(json.dumps(self.config).encode())

    @functools.cached_property
    def digest(self) -> Digest:
        return Digest.of(json.dumps(self.config, sort_keys=True).encode())


@dataclass
class FakeTarget:
    """See the module's docstring."""

    registry: dict[str, Remote] = field(default_factory=dict)
    in_place: bool = False
    knows_config: bool = True
    url: str = "fake://engine"
    plugins: dict[str, Plugin] = field(default_factory=dict)
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    mounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    mounted: Mapping[str, tuple[str, ...]] | None = None
    left: str = ""
    fail: dict[str, BaseException] = field(default_factory=dict)
    fail_at: dict[int, BaseException] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)
    unverified: set[str] = field(default_factory=set)
    kept: dict[str, tuple[str, Remote]] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    created: int = 0

    def names(self) -> list[str]:
        """The names of the calls so far that change something."""
        return [call[0] for call in self.calls if call[0] not in READS]

    def _called(self, method: str, *args: Any) -> None:
        self.calls.append((method, *args))
        if method in self.fail:
            raise self.fail.pop(method)
        if method not in READS and len(self.names()) in self.fail_at:
            raise self.fail_at.pop(len(self.names()))

    async def observe(self) -> observed.Observation:
        self._called("observe")
        known = self.plugins.values() if self.knows_config else ()
        return observed.Observation(
            plugins=tuple(self._shown(plugin) for plugin in self.plugins.values()),
            volumes=tuple(self.volumes.values()),
            mounts=tuple(self.mounts.values()),
            mounted=self.mounted,
            digests={plugin.id: str(plugin.manifest_digest) for plugin in known},
            in_place=self.in_place,
        )

    async def offer(self, ref: Any, credentials: Any) -> observed.Offer:
        self._called("offer", str(ref))
        remote = self._remote(ref)
        return observed.Offer(
            privileges=privileges.compute_privileges(remote.parsed),
            digest=str(remote.digest) if self.knows_config else None,
            config=remote.parsed if self.knows_config else None,
        )

    async def differing_options(self, name: str, options: Mapping[str, str]) -> tuple[str, ...]:
        self._called("options", name)
        return observed.differing(options, self.volumes[name]["Options"] or {})

    async def install(
        self,
        name: str,
        ref: Any,
        accepted: Any,
        credentials: Any,
        progress: Progress,
        *,
        restored: bool = False,
    ) -> None:
        self._called("install", name, str(ref))
        if name in self.plugins:
            raise errors.Conflict(f"plugin {name} already exists")
        remote = self._remote(ref)
        privileges.require_accepted(privileges.compute_privileges(remote.parsed), accepted)
        progress({"status": "Pulling", "id": name})
        self.created += 1
        self.plugins[name] = Plugin(
            id=f"{self.created:064x}",
            name=name,
            config=remote.parsed,
            settings=settings.default_settings(remote.parsed),
            config_digest=remote.digest,
            manifest_digest=remote.digest,
            remote=self._stored(ref, restored=restored),
        )

    async def upgrade(
        self, name: str, ref: Any, accepted: Any, credentials: Any, progress: Progress
    ) -> None:
        self._called("upgrade", name, str(ref))
        if self._plugin(name).enabled:
            raise errors.Conflict(f"plugin must be disabled before upgrading: {name} is enabled")
        self._upgrade(name, ref, accepted)

    async def upgrade_in_place(
        self, name: str, ref: Any, accepted: Any, credentials: Any, progress: Progress,
        *, arguments: tuple[str, ...], timeout: float,
    ) -> None:  # fmt: skip
        self._called("upgrade_in_place", name, str(ref), arguments, timeout)
        assert self.in_place
        assert self._plugin(name).enabled
        self._upgrade(name, ref, accepted)
        self._set(name, arguments)

    def _upgrade(self, name: str, ref: Any, accepted: Any) -> None:
        plugin = self._plugin(name)
        remote = self._remote(ref)
        privileges.require_accepted(privileges.compute_privileges(remote.parsed), accepted)
        self.plugins[name] = replace(
            plugin,
            config=remote.parsed,
            settings=settings.merge_settings(plugin.config, plugin.settings, remote.parsed),
            manifest_digest=remote.digest,
            remote=self._stored(ref),
        )

    async def set(self, name: str, arguments: Iterable[str]) -> None:
        self._called("set", name, tuple(arguments))
        if self._plugin(name).enabled:
            raise errors.Conflict("cannot set on an active plugin, disable plugin before setting")
        self._set(name, arguments)

    async def set_in_place(self, name: str, arguments: Iterable[str], timeout: float) -> None:
        self._called("set_in_place", name, tuple(arguments), timeout)
        assert self.in_place
        assert self._plugin(name).enabled
        self._set(name, arguments)

    def _set(self, name: str, arguments: Iterable[str]) -> None:
        plugin = self._plugin(name)
        changed = settings.apply_assignments(plugin.config, plugin.settings, arguments)
        self.plugins[name] = replace(plugin, settings=changed)

    async def enable(self, name: str, timeout: float) -> None:
        self._called("enable", name, timeout)
        if self._plugin(name).enabled:
            raise errors.Conflict(f"plugin already enabled: plugin {name} is enabled")
        self.plugins[name] = self._plugin(name).with_enabled(True)

    async def disable(self, name: str, *, force: bool) -> None:
        self._called("disable", name, force)
        self._require_unused(name, force)
        if not self._plugin(name).enabled:
            raise errors.Conflict(f"plugin is already disabled: plugin {name}")
        self.plugins[name] = self._plugin(name).with_enabled(False)

    async def remove(self, name: str, *, force: bool) -> None:
        self._called("remove", name, force)
        self._require_unused(name, force)
        if self._plugin(name).enabled and not force:
            raise errors.Conflict(f"plugin {name} is enabled")
        del self.plugins[name]
        self.unverified.discard(name)
        for volume in [v for v in self.volumes.values() if v["Driver"] == name]:
            del self.volumes[volume["Name"]]

    async def create_volume(
        self, name: str, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        self._called("create_volume", name, driver)
        if driver != "local" and not self._plugin(driver).enabled:
            raise errors.NotFound(f"create {name}: driver {driver} is disabled")
        self.volumes[name] = {
            "Name": name,
            "Driver": driver,
            "Options": dict(options) or None,
            "Labels": dict(labels) or None,
        }

    async def remove_volume(self, name: str, *, force: bool) -> str:
        self._called("remove_volume", name, force)
        driver = self.volumes[name]["Driver"]
        if driver != "local" and not self._plugin(driver).enabled and not force:
            raise errors.Unavailable(f"remove {name}: driver {driver} is disabled")
        del self.volumes[name]
        return self.left if force else ""

    async def mount(self, mount: HostMount, *, allow_nonempty: bool) -> None:
        self._called("mount", mount.path, mount.volume, allow_nonempty)
        self.mounts[mount.path] = mount.to_json(state="mounted", error="")

    async def unmount(self, path: str, *, force: bool) -> str:
        self._called("unmount", path, force)
        del self.mounts[path]
        return self.left if force else ""

    async def probe(self, name: str, verify: Verify) -> None:
        self._called("probe", name)
        if not self._plugin(name).enabled:
            raise errors.Unavailable(f"plugin {name} is disabled")
        if name in self.broken:
            raise self.broken[name]

    async def set_unverified(self, name: str, flag: bool) -> None:
        self._called("set_unverified", name, flag)
        self._plugin(name)
        (self.unverified.add if flag else self.unverified.discard)(name)

    async def inspect_mount(self, path: str) -> Mapping[str, Any] | None:
        self._called("inspect_mount", path)
        return self.mounts.get(path)

    async def inspect_plugin(self, name: str) -> Mapping[str, Any] | None:
        self._called("inspect_plugin", name)
        return self._shown(self.plugins[name]) if name in self.plugins else None

    async def inspect_volume(self, name: str) -> Mapping[str, Any] | None:
        self._called("inspect_volume", name)
        return self.volumes.get(name)

    async def info(self) -> Mapping[str, Any]:
        return {"Name": "fake", "Version": "0"}

    def _shown(self, plugin: Plugin) -> dict[str, Any]:
        mark = {"Unverified": True} if plugin.name in self.unverified else {}
        return {**plugin.to_native_json(clear=True), **mark}

    def _remote(self, ref: Any) -> Remote:
        if str(ref.without_tag()) in self.kept:
            return self.kept[str(ref.without_tag())][1]
        if str(ref) not in self.registry:
            raise errors.NotFound(f"cannot resolve {ref}: not found")
        return self.registry[str(ref)]

    def _stored(self, ref: Any, *, restored: bool = True) -> str:
        """Return where a version came from, the first time that it was installed."""
        remote = self._remote(ref)
        named = str(ref.without_tag() if ref.digest else ref)
        pinned = f"{ref.repository}@{remote.digest}"
        kept = self.kept.setdefault(pinned, (named, remote))
        return kept[0] if ref.digest and restored else named

    def _plugin(self, name: str) -> Plugin:
        if name not in self.plugins:
            raise errors.NotFound(f'plugin "{name}" not found')
        return self.plugins[name]

    def _require_unused(self, name: str, force: bool) -> None:
        self._plugin(name)
        if not force and any(volume["Driver"] == name for volume in self.volumes.values()):
            raise errors.Conflict(f"plugin {name} is in use")
