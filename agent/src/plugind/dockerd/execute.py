# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real Docker Engine as the target of a plan: `target.Target` in terms of the docker SDK.

The SDK blocks, so each call runs in a thread; one call at a time, because one client has one
set of credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

from plugind import errors
from plugind.dockerd import client as client_
from plugind.dockerd import observe, probe
from plugind.model import observed
from plugind.model.credentials import Credentials
from plugind.model.desired import DesiredSettings
from plugind.model.host_mount import HostMount
from plugind.model.observed import Observation, Offer
from plugind.model.plans import settings
from plugind.model.privileges import Privileges
from plugind.model.reference import Reference
from plugind.model.secrets import DEFAULT, SecretPolicy
from plugind.model.verify import Verify
from plugind.target import Progress


@contextlib.asynccontextmanager
async def open_target(url: str, policy: SecretPolicy = DEFAULT) -> AsyncIterator[DockerTarget]:
    """Connect to the Docker Engine at `url`; close the connection at the end.

    A Docker Engine keeps and shows secrets in clear: `policy` says what results do not show.
    """
    client = await asyncio.to_thread(client_.open_client, url)
    try:
        yield DockerTarget(client, url, policy)
    finally:
        await asyncio.to_thread(client.close)


class DockerTarget:
    """See `target.Target` for what each method promises."""

    def __init__(self, client: Any, url: str, policy: SecretPolicy = DEFAULT) -> None:
        self._client = client
        self._url = url
        self._policy = policy

    @property
    def url(self) -> str:
        """Where the engine is."""
        return self._url

    async def _call(
        self, doing: str, function: Callable[..., Any], *args: Any, **named: Any
    ) -> Any:
        def work() -> Any:
            with client_.mapped(doing):
                return function(*args, **named)

        return await asyncio.to_thread(work)

    async def observe(self) -> Observation:
        """Read plugins and volumes."""
        read = await asyncio.to_thread(observe.read_engine, self._client)
        return replace(read, policy=self._policy)

    async def offer(self, ref: Reference, credentials: Credentials | None) -> Offer:
        """Ask the registry, through the engine, which privileges `ref` wants."""
        return await asyncio.to_thread(observe.read_offer, self._client, ref, credentials)

    async def differing_options(self, name: str, options: Mapping[str, str]) -> tuple[str, ...]:
        """Compare with the options that the engine keeps."""
        volume = await self.inspect_volume(name)
        return observed.differing(options, (volume or {}).get("Options") or {})

    async def install(
        self,
        name: str,
        ref: Reference,
        privileges: Privileges,
        credentials: Credentials | None,
        progress: Progress,
        *,
        restored: bool = False,
    ) -> None:
        """Pull under an explicit name: without one, old engines panic or choose another."""
        del restored  # a Docker Engine takes the tag from what is named by digest
        doing = f"pull {ref.familiar}"
        observe.require_digest_support(self._client, ref)

        def work() -> None:
            accepted = [privilege.to_json() for privilege in privileges]
            with client_.authenticated(self._client, ref, credentials):
                with client_.mapped(doing):
                    stream = self._client.pull_plugin(str(ref), accepted, name=name)
                client_.consume(stream, progress, doing)

        await asyncio.to_thread(work)

    async def upgrade(
        self,
        name: str,
        ref: Reference,
        privileges: Privileges,
        credentials: Credentials | None,
        progress: Progress,
    ) -> None:
        """Upgrade, and set again what Docker's upgrade forgets: the places of mounts."""
        doing = f"upgrade to {ref.familiar}"
        observe.require_digest_support(self._client, ref)
        before = await self._settings(name)

        def work() -> None:
            accepted = [privilege.to_json() for privilege in privileges]
            with client_.authenticated(self._client, ref, credentials):
                with client_.mapped(doing):
                    stream = self._client.upgrade_plugin(name, str(ref), accepted)
                client_.consume(stream, progress, doing)

        await asyncio.to_thread(work)
        await self._restore_mounts(name, before)

    async def upgrade_in_place(
        self,
        name: str,
        ref: Reference,
        privileges: Privileges,
        credentials: Credentials | None,
        progress: Progress,
        *,
        arguments: tuple[str, ...],
        timeout: float,
    ) -> None:
        """Refuse: the planner does not ask a Docker Engine for it."""
        del privileges, credentials, progress, arguments, timeout
        raise errors.Unsupported(
            f"cannot upgrade plugin {name} to {ref.familiar} in place: a Docker Engine upgrades only "
            "what is disabled"
        )

    async def set_in_place(self, name: str, arguments: tuple[str, ...], timeout: float) -> None:
        """Refuse, as `upgrade_in_place` does."""
        del arguments, timeout
        raise errors.Unsupported(
            f"cannot set plugin {name} in place: a Docker Engine sets only what is disabled"
        )

    async def _restore_mounts(self, name: str, before: observed.ObservedPlugin) -> None:
        after = await self._settings(name)
        settable = {m.name for m in after.config.mounts if "source" in (m.settable or ())}
        places = {
            mount.name: mount.source
            for mount in before.settings.mounts
            if mount.name in settable and mount.source is not None
        }
        arguments = settings.require_changes(
            after.config, after.settings, DesiredSettings(mounts=places)
        )
        if arguments:
            await self.set(name, arguments)

    async def _settings(self, name: str) -> observed.ObservedPlugin:
        document = await self.inspect_plugin(name)
        if document is None:
            raise errors.NotFound(f'plugin "{name}" not found')
        return observed.read(Observation(plugins=(document,))).plugins[name]

    async def set(self, name: str, arguments: tuple[str, ...]) -> None:
        """Set settings of a disabled plugin."""
        await self._call(f"set {name}", self._client.configure_plugin, name, list(arguments))

    async def enable(self, name: str, timeout: float) -> None:
        """Enable; the engine wants whole seconds, and takes 0 for no limit."""
        await self._call(
            f"enable {name}", self._client.enable_plugin, name, timeout=math.ceil(timeout)
        )

    async def disable(self, name: str, *, force: bool) -> None:
        """Disable."""
        await self._call(f"disable {name}", self._client.disable_plugin, name, force=force)

    async def remove(self, name: str, *, force: bool) -> None:
        """Remove."""
        await self._call(f"remove {name}", self._client.remove_plugin, name, force=force)

    async def create_volume(
        self, name: str, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Create a volume."""
        create = self._client.create_volume
        doing = f"create volume {name}"
        await self._call(
            doing, create, name, driver, driver_opts=dict(options), labels=dict(labels)
        )

    async def remove_volume(self, name: str, *, force: bool) -> str:
        """Remove a volume. The SDK's own method forgets to send `force`."""

        def work() -> None:
            url = self._client._url("/volumes/{0}", name)  # noqa: SLF001 - see above
            answer = self._client._delete(url, params={"force": int(force)})  # noqa: SLF001
            self._client._raise_for_status(answer)  # noqa: SLF001

        await self._call(f"remove volume {name}", work)
        return ""  # an error says all that a Docker Engine has to say

    async def mount(self, mount: HostMount, *, allow_nonempty: bool) -> None:
        """Refuse: the planner does, too, so this is never called with a plan."""
        del allow_nonempty
        raise errors.Unsupported(
            f'cannot mount volume {mount.volume} at "{mount.path}": a Docker Engine has no call '
            "for mounts on the host"
        )

    async def unmount(self, path: str, *, force: bool) -> str:
        """Refuse, as `mount` does."""
        del force
        raise errors.Unsupported(
            f'cannot unmount "{path}": a Docker Engine has no call for mounts on the host'
        )

    async def inspect_mount(self, path: str) -> Mapping[str, Any] | None:
        """Return None: there are no such mounts."""
        del path
        return None

    async def probe(self, name: str, verify: Verify) -> None:
        """Ask the plugin itself, which needs the engine's own host."""
        if not self._url.startswith("unix://"):
            raise errors.Unsupported(
                f"cannot verify plugin {name}: {self._url} is not an engine on this host"
            )
        document = await self.inspect_plugin(name)
        if document is None:
            raise errors.NotFound(f'plugin "{name}" not found')
        doing = "read where the engine keeps plugins"
        info = client_.require_object(await self._call(doing, self._client.info), doing)
        root = info.get("DockerRootDir")
        if not isinstance(root, str):
            raise errors.System(f"cannot {doing}: its description has no DockerRootDir")
        await probe.probe(probe.locate(document, root), verify)

    async def set_unverified(self, name: str, flag: bool) -> None:
        """Do nothing: a Docker Engine keeps nothing of ours."""
        del name, flag

    async def inspect_plugin(self, name: str) -> Mapping[str, Any] | None:
        """Return the API object, None if there is no such plugin."""
        return await self._inspect(self._client.inspect_plugin, "plugin", name)

    async def inspect_volume(self, name: str) -> Mapping[str, Any] | None:
        """Return the API object, None if there is no such volume."""
        return await self._inspect(self._client.inspect_volume, "volume", name)

    async def _inspect(
        self, function: Callable[..., Any], what: str, name: str
    ) -> Mapping[str, Any] | None:
        doing = f"inspect {what} {name}"
        try:
            found = await self._call(doing, function, name)
        except errors.NotFound:
            return None
        return client_.require_object(found, doing)

    async def info(self) -> Mapping[str, Any]:
        """Say what the engine is."""
        version = await self._call("read the engine's version", self._client.version)
        return {
            "Name": "dockerd",
            "Version": version.get("Version", ""),
            "ApiVersion": version.get("ApiVersion", ""),
        }
