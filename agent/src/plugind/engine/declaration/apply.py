# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A declaration carried out on this engine: `target.Target` in terms of the stories."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from plugind import carry, errors
from plugind.engine import describe, lookup, sealing
from plugind.engine.context import Engine
from plugind.engine.declaration import probe, undo_log
from plugind.engine.plugin import configure, enable, fetch, install, remove, upgrade
from plugind.engine.volume import host_mounts, references, volumes
from plugind.model import desired, outcome, privileges, reference, volume
from plugind.model.credentials import Credentials
from plugind.model.host_mount import HostMount
from plugind.model.observed import Observation, Offer
from plugind.model.reference import Reference
from plugind.model.verify import Verify
from plugind.target import Progress, ignore_progress


async def apply(
    engine: Engine,
    document: dict[str, Any],
    *,
    dry_run: bool,
    progress: Progress = ignore_progress,
) -> dict[str, Any]:
    """Plan the declaration and, unless `dry_run`, carry it out; return the result document.

    One declaration waits for the other, and plans with what that has made: two operators who ask
    for the same at once both get it. One that has nothing to do waits for nobody.
    """
    wanted = desired.parse_declaration(document)
    sealing.admit_declaration(engine, wanted)
    target = EngineTarget(engine, wanted)
    if not dry_run and undo_log.is_taken(engine):
        planned = await carry.apply(wanted, target, dry_run=True)
        if not planned.steps:
            await target.name_secrets()
            return planned.redacted(engine.redact).to_json()
    async with contextlib.AsyncExitStack() as held:
        if not dry_run:  # a plan alone changes nothing
            await held.enter_async_context(undo_log.turn(engine))
        result = await carry.apply(
            wanted,
            target,
            dry_run=dry_run,
            progress=progress,
            undo_log=undo_log.UndoLog(engine),
            clock=engine.clock,
        )
        if not dry_run:
            await target.name_secrets()
    if result.rolled_back:
        why = outcome.undoes("")
        undo_log.tell(engine, [step for step in result.steps if step.reason.startswith(why)])
    return result.redacted(engine.redact).to_json()


async def query(engine: Engine, document: dict[str, Any]) -> dict[str, Any]:
    """Return the plugins and volumes that the document asks for, plugins with their running state."""
    answer = await carry.query(EngineTarget(engine), document)
    for shown in answer["plugins"]:
        # Removed while the volumes were read.
        if (entry := engine.entries.get(shown["Id"])) is not None:
            shown["Status"] = describe.status(engine, entry.plugin)
    return answer


class EngineTarget:
    """This engine as the target of a plan; of `wanted` it takes what is said to be secret."""

    def __init__(self, engine: Engine, wanted: desired.Desired | None = None) -> None:
        self._engine = engine
        self._wanted = wanted or desired.Desired()

    async def name_secrets(self) -> None:
        """Remember what is said to be secret of plugins and volumes that were there already."""
        for plugin in self._wanted.plugins:
            if plugin.secret_settings and lookup.by_name(self._engine, plugin.name) is not None:
                await configure.name_secrets(self._engine, plugin.name, plugin.secret_settings)
        await sealing.seal_named(self._engine, self._wanted)

    def _secret_settings(self, name: str) -> frozenset[str]:
        named = (p.secret_settings for p in self._wanted.plugins if p.name == name)
        return frozenset[str]().union(*named)

    def _secret_options(self, name: str) -> frozenset[str]:
        named = (v.named_secrets for v in self._wanted.volumes if v.name == name)
        return frozenset[str]().union(*named)

    @property
    def url(self) -> str:
        """Where the engine's API is."""
        return f"unix://{self._engine.layout.run / 'api.sock'}"

    async def observe(self) -> Observation:
        """Read plugins and volumes."""
        plugins = lookup.list_plugins(self._engine)
        listed, warnings = await volumes.list_volumes(self._engine)
        return Observation(
            plugins=tuple(plugin.to_native_json(clear=True) for plugin in plugins),
            volumes=tuple(listed),
            mounts=tuple(await host_mounts.list_host_mounts(self._engine)),
            digests={plugin.id: str(plugin.manifest_digest) for plugin in plugins},
            mounted=await references.mounted(self._engine),
            in_place=True,
            warnings=tuple(warnings),
            policy=self._engine.options.secrets,
        )

    async def offer(self, ref: Reference, credentials: Credentials | None) -> Offer:
        """Read manifest and config from the registry."""
        resolved = await fetch.resolve(self._engine, ref, credentials)
        return Offer(
            privileges=privileges.compute_privileges(resolved.config),
            digest=str(resolved.manifest.digest),
            config=resolved.config,
        )

    async def differing_options(self, name: str, options: Mapping[str, str]) -> tuple[str, ...]:
        """Compare with the options the volume was created with."""
        record = self._engine.volumes.get(name)
        if record is None:
            return tuple(sorted(options))
        return volume.differing(record, options, self._engine.digest)

    async def install(
        self,
        name: str,
        ref: Reference,
        privileges: privileges.Privileges,
        credentials: Credentials | None,
        progress: Progress,
        *,
        restored: bool = False,
    ) -> None:
        """Install, disabled."""
        await install.install(
            self._engine,
            ref,
            name=reference.parse_name(name),
            accepted=privileges,
            credentials=credentials,
            progress=progress,
            restored=restored,
        )

    async def upgrade(
        self,
        name: str,
        ref: Reference,
        privileges: privileges.Privileges,
        credentials: Credentials | None,
        progress: Progress,
    ) -> None:
        """Replace the content of a disabled plugin."""
        await upgrade.upgrade(
            self._engine,
            name,
            ref,
            accepted=privileges,
            credentials=credentials,
            progress=progress,
        )

    async def upgrade_in_place(
        self,
        name: str,
        ref: Reference,
        privileges: privileges.Privileges,
        credentials: Credentials | None,
        progress: Progress,
        *,
        arguments: tuple[str, ...],
        timeout: float,
    ) -> None:
        """Replace the content of an enabled plugin and set it, with a way back."""
        await upgrade.upgrade_in_place(
            self._engine,
            name,
            ref,
            accepted=privileges,
            credentials=credentials,
            progress=progress,
            arguments=arguments,
            secret=self._secret_settings(name),
            timeout=timeout,
        )

    async def set(self, name: str, arguments: tuple[str, ...]) -> None:
        """Set settings, all or none."""
        await configure.configure(
            self._engine, name, list(arguments), secret=self._secret_settings(name)
        )

    async def set_in_place(self, name: str, arguments: tuple[str, ...], timeout: float) -> None:
        """Set settings of an enabled plugin, with a way back."""
        await configure.reconfigure(
            self._engine,
            name,
            list(arguments),
            secret=self._secret_settings(name),
            timeout=timeout,
        )

    async def enable(self, name: str, timeout: float) -> None:
        """Enable."""
        await enable.enable(self._engine, name, timeout=timeout)

    async def disable(self, name: str, *, force: bool) -> None:
        """Disable."""
        await enable.disable(self._engine, name, force=force)

    async def remove(self, name: str, *, force: bool) -> None:
        """Remove."""
        await remove.remove(self._engine, name, force=force)

    async def create_volume(
        self, name: str, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Create a volume."""
        await volumes.create_volume(
            self._engine,
            name=name,
            driver=driver,
            options=dict(options),
            labels=dict(labels),
            secret_options=self._secret_options(name),
        )

    async def remove_volume(self, name: str, *, force: bool) -> str:
        """Remove a volume; return what could not be done."""
        return await volumes.remove_volume(self._engine, name, force=force)

    async def mount(self, mount: HostMount, *, allow_nonempty: bool) -> None:
        """Mount a volume on the host."""
        await host_mounts.mount_on_host(self._engine, mount, allow_nonempty=allow_nonempty)

    async def unmount(self, path: str, *, force: bool) -> str:
        """Unmount a volume from the host; return what could not be done."""
        return await host_mounts.unmount_on_host(self._engine, path, force=force)

    async def probe(self, name: str, verify: Verify) -> None:
        """Try once whether the plugin serves."""
        await probe.probe(self._engine, name, verify)

    async def set_unverified(self, name: str, flag: bool) -> None:
        """Keep it in the plugin's record."""
        await configure.mark_unverified(self._engine, name, flag)

    async def inspect_mount(self, path: str) -> Mapping[str, Any] | None:
        """Return the host mount, None if there is none."""
        try:
            return await host_mounts.inspect_host_mount(self._engine, path)
        except errors.NotFound:
            return None

    async def inspect_plugin(self, name: str) -> Mapping[str, Any] | None:
        """Return the API object, None if it is not installed."""
        entry = lookup.by_name(self._engine, name)
        return None if entry is None else entry.shown().to_native_json(clear=True)

    async def inspect_volume(self, name: str) -> Mapping[str, Any] | None:
        """Return the API object, None if there is none."""
        try:
            return await volumes.inspect_volume(self._engine, name)
        except errors.NoSuchVolume:
            return None

    async def info(self) -> Mapping[str, Any]:
        """Say what this is."""
        version = self._engine.options.version
        return {"Name": "plugind", "Version": version, **describe.info(self._engine)}
