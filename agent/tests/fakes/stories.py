# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An engine in memory, as the API sees one: `api.ports.Stories` without adapters.

It keeps plugins and volumes, remembers every call, and does what a test tells it to:

    stories.fail["enable"] = errors.Conflict("...")     that story raises
    stories.lines = [{"status": "..."}]                 what pull, push and upgrade report
    stories.hold = asyncio.Event()                      they wait for it after those lines
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator

from fakes.container_stories import FakeContainers
from plugind import errors
from plugind.engine.context import EngineOptions
from plugind.model import config, event, manifest, privileges, settings, volume
from plugind.model.digest import Digest
from plugind.model.images import image
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference
from plugind.model.secrets import KnownValues
from support import image as image_

CONFIG = {
    "description": "a toy",
    "documentation": "https://example.invalid",
    "entrypoint": ["/plug"],
    "interface": {"types": ["docker.volumedriver/1.0"], "socket": "toy.sock"},
    "network": {"type": "host"},
    "linux": {"capabilities": ["CAP_SYS_ADMIN"]},
    "env": [{"name": "DEBUG", "value": "0", "settable": ["value"]}],
}


class FakeEngine:
    """The only things that the API reads of an engine itself."""

    def __init__(self):
        self.degraded = None
        self.options = EngineOptions()
        self.known = KnownValues()

    def redact(self, text):
        return self.known.redact(text)


def make_plugin(name, *, enabled=False, document=None):
    """Return a plugin whose id is the digest of its name."""
    parsed = config.parse_config(json.dumps(CONFIG if document is None else document).encode())
    return Plugin(
        id=Digest.of(name.encode()).hex,
        name=name,
        config=parsed,
        settings=settings.default_settings(parsed),
        config_digest=Digest.of(b"config"),
        manifest_digest=Digest.of(b"manifest"),
        remote=f"docker.io/{name}",
        enabled=enabled,
    )


class FakeStories(FakeContainers):
    def __init__(self):
        super().__init__()
        self.plugins = {}
        self.volumes = {}
        self.mounts = {}
        self.host_mounts = {}
        self.left = ""
        self.warnings = []
        self.asked = privileges.compute_privileges(make_plugin("any:latest").config)
        self.events = []
        self.output = [b"line 1\n", b"line 2\n"]
        self.lines = []
        self.late = None
        self.hold = None
        self.fail = {}
        self.calls = []
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()
        self.created = b""
        self.images = {}

    def add_image(self, name, **members):
        """Keep an image of one empty layer under a name, or none."""
        raw = image_.config([b""], **members)
        made = image.parse(raw).named(
            *([name] if name else []), serial=1, tagged_at=image.ZERO_TIME
        )
        self.images[made.id] = made
        return made

    def add_plugin(self, name, **facts):
        self.plugins[name] = make_plugin(name, **facts)
        return self.plugins[name]

    def add_volume(self, name, **facts):
        self.volumes[name] = volume.Volume(name=name, **{"driver": "local", **facts})

    def _note(self, story, **arguments):
        self.calls.append((story, arguments))
        self.entered.set()
        if story in self.fail:
            raise self.fail[story]

    async def _report(self, progress):
        """Report, wait if told to, fail late if told to."""
        for line in self.lines:
            progress(line)
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.late is not None:
            raise self.late

    # Plugins

    def find(self, engine, text):
        for plugin in self.plugins.values():
            if text in (plugin.id, plugin.name, plugin.name.removesuffix(":latest")):
                return plugin
        raise errors.NotFound(f'plugin "{text}" not found')

    def list_plugins(self, engine, *, enabled, capabilities):
        self._note("list_plugins", enabled=enabled, capabilities=capabilities)
        return [p for p in self.plugins.values() if enabled in (None, p.enabled)]

    async def fetch_privileges(self, engine, ref, credentials):
        self._note("fetch_privileges", ref=str(ref), credentials=credentials)
        return self.asked

    async def install(self, engine, ref, *, name, accepted, credentials, progress):
        self._note("install", ref=str(ref), name=name, accepted=accepted, credentials=credentials)
        if name.familiar in self.plugins:
            raise errors.InvalidParameter(f"plugin {name.familiar} already exists")
        await self._report(progress)
        return self.add_plugin(name.familiar)

    async def create(self, engine, name: Reference, body: AsyncIterator[bytes]):
        self._note("create", name=name)
        if name.familiar in self.plugins:
            raise errors.Conflict(f"plugin {name.familiar} already exists")
        self.created = b"".join([chunk async for chunk in body])
        return self.add_plugin(name.familiar)

    async def push(self, engine, text, *, credentials, progress):
        self._note("push", text=text, credentials=credentials)
        self.find(engine, text)
        await self._report(progress)

    async def upgrade(self, engine, text, ref, *, accepted, credentials, progress):
        self._note("upgrade", text=text, ref=str(ref), accepted=accepted, credentials=credentials)
        await self._report(progress)
        return self.find(engine, text)

    async def upgrade_in_place(
        self, engine, text, ref, *, accepted, credentials, progress, arguments, timeout
    ):
        self._note(
            "upgrade_in_place", text=text, ref=str(ref), accepted=accepted,
            credentials=credentials, arguments=arguments, timeout=timeout,
        )  # fmt: skip
        await self._report(progress)
        return self.find(engine, text)

    async def enable(self, engine, text, *, timeout):
        self._note("enable", text=text, timeout=timeout)
        if self.hold is not None:
            await self.hold.wait()
        plugin = self.find(engine, text)
        if plugin.enabled:
            raise errors.Conflict(f"plugin already enabled: plugin {plugin.name} is enabled")
        return self._replace(plugin, enabled=True)

    async def disable(self, engine, text, *, force):
        self._note("disable", text=text, force=force)
        plugin = self.find(engine, text)
        if not plugin.enabled:
            raise errors.Conflict(
                f"plugin is already disabled: plugin {plugin.name} found but disabled"
            )
        return self._replace(plugin, enabled=False)

    async def remove(self, engine, text, *, force):
        self._note("remove", text=text, force=force)
        return self.plugins.pop(self.find(engine, text).name)

    async def configure(self, engine, text, arguments):
        self._note("configure", text=text, arguments=arguments)
        plugin = self.find(engine, text)
        changed = settings.apply_assignments(plugin.config, plugin.settings, arguments)
        return self._replace(plugin, settings=changed)

    async def reconfigure(self, engine, text, arguments, *, timeout):
        self._note("reconfigure", text=text, arguments=arguments, timeout=timeout)
        return self.find(engine, text)

    def _replace(self, plugin, **changes):
        self.plugins[plugin.name] = dataclasses.replace(plugin, **changes)
        return self.plugins[plugin.name]

    # Volumes

    async def create_volume(self, engine, *, name, driver, options, labels):
        self._note("create_volume", name=name, driver=driver, options=options, labels=labels)
        self.add_volume(name, driver=driver or "local", options=options, labels=labels)
        return self._render(name)

    async def list_volumes(self, engine, *, names, drivers, labels, dangling):
        self._note("list_volumes", names=names, drivers=drivers, labels=labels, dangling=dangling)
        return [self._render(name) for name in self.volumes], self.warnings

    async def inspect_volume(self, engine, name):
        self._note("inspect_volume", name=name)
        return self._render(name)

    async def remove_volume(self, engine, name, *, force):
        self._note("remove_volume", name=name, force=force)
        if self.volumes.pop(name, None) is None and not force:
            raise errors.NoSuchVolume(f"get {name}: no such volume")
        return self.left if force else ""

    async def prune_volumes(self, engine, *, everything, labels, without_labels):
        self._note(
            "prune_volumes", everything=everything, labels=labels, without_labels=without_labels
        )
        return [], 0

    async def mount_for_client(self, engine, name, holder):
        self._note("mount_for_client", name=name, holder=holder)
        self.mounts.setdefault(name, []).append(holder)
        return f"/host/{name}"

    async def unmount_volume(self, engine, name, holder):
        self._note("unmount_volume", name=name, holder=holder)
        if holder not in self.mounts.get(name, []):
            raise errors.NotFound(f"volume {name} is not mounted for {holder}")
        self.mounts[name].remove(holder)

    async def list_host_mounts(self, engine):
        self._note("list_host_mounts")
        return [m.to_json(state="mounted", error="") for m in self.host_mounts.values()]

    async def inspect_host_mount(self, engine, path):
        self._note("inspect_host_mount", path=path)
        if path not in self.host_mounts:
            raise errors.NotFound(f'no volume is mounted at "{path}"')
        return self.host_mounts[path].to_json(state="mounted", error="")

    async def mount_on_host(self, engine, wanted, *, allow_nonempty):
        self._note("mount_on_host", wanted=wanted, allow_nonempty=allow_nonempty)
        self.host_mounts[wanted.path] = wanted
        return wanted.to_json(state="mounted", error="")

    async def unmount_on_host(self, engine, path, *, force):
        self._note("unmount_on_host", path=path, force=force)
        if self.host_mounts.pop(path, None) is None:
            raise errors.NotFound(f'no volume is mounted at "{path}"')
        return "the driver was not asked" if force else ""

    async def holders(self, engine, name):
        self._note("holders", name=name)
        return [{"Holder": h, "ID": "1", "Mountpoint": "/"} for h in self.mounts.get(name, [])]

    def _render(self, name):
        if name not in self.volumes:
            raise errors.NoSuchVolume(f"get {name}: no such volume")
        return volume.render(self.volumes[name], mountpoint="", status=None)

    # The rest

    def info(self, engine):
        return {"DockerRootDir": "/root/of/plugind", "Warnings": None}

    def status(self, engine, plugin):
        return {"State": "running" if plugin.enabled else "disabled", "Pid": None}

    @contextlib.contextmanager
    def subscribe(self, engine, *, since_ns, until_ns) -> Iterator[AsyncIterator[event.Event]]:
        self._note("subscribe", since_ns=since_ns, until_ns=until_ns)
        yield self._events()

    async def _events(self):
        for one in self.events:
            yield one
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    async def read_logs(self, engine, text, *, tail, follow):
        self._note("read_logs", text=text, tail=tail, follow=follow)
        for line in self.output:
            yield line
        if self.late is not None:
            raise self.late

    # Images

    def list_images(self, engine, *, references, labels, dangling, usage=False):
        self._note(
            "list_images", references=references, labels=labels, dangling=dangling, usage=usage
        )
        return [image.summary(one, containers=3 if usage else None) for one in self.images.values()]

    def inspect_image(self, engine, text):
        self._note("inspect_image", text=text)
        return image.inspect(self._image(text), rootfs="/r")

    async def pull_image(self, engine, ref, *, platform, credentials, progress):
        self._note("pull_image", ref=str(ref), platform=str(platform), credentials=credentials)
        await self._report(progress)

    async def import_image(self, engine, body, *, name, config, message, platform):
        content = b"".join([chunk async for chunk in body])
        self._note(
            "import_image", name=str(name), config=config, message=message,
            platform=str(platform), content=content,
        )  # fmt: skip
        return self.add_image(str(name))

    async def load_images(self, engine, body, *, platform, progress):
        content = b"".join([chunk async for chunk in body])
        self._note("load_images", platform=str(platform), content=content)
        progress({"status": "Loading layer", "progressDetail": {}, "id": "x"})
        progress({"stream": "Loaded image: x:latest\n"})
        return []

    async def tag_image(self, engine, text, ref):
        self._note("tag_image", text=text, ref=str(ref))
        return self._image(text)

    async def remove_image(self, engine, text, *, force):
        self._note("remove_image", text=text, force=force)
        return [{"Untagged": text}, {"Deleted": str(self._image(text).id)}]

    async def prune_images(self, engine, *, dangling, labels, without_labels):
        self._note("prune_images", dangling=dangling, labels=labels, without_labels=without_labels)
        return [], 0

    def _image(self, text):
        for one in self.images.values():
            if text in one.names:
                return one
        raise errors.NotFound(f"No such image: {text}")

    async def log_in(self, engine, credentials):
        self._note("log_in", domain=credentials.domain, credentials=credentials)

    async def resolve(self, engine, ref, credentials):
        self._note("resolve", ref=str(ref), credentials=credentials)
        descriptor = manifest.Descriptor(
            media_type=manifest.PLUGIN_CONFIG, digest=Digest.of(b"config"), size=6
        )
        return manifest.build(descriptor, ())

    async def call(self, engine, text, method, body):
        self._note("call", text=text, method=method, body=body)
        return {"Volumes": [], "Err": ""}

    async def apply(self, engine, document, *, dry_run):
        self._note("apply", document=document, dry_run=dry_run)
        return {"changed": not dry_run}

    async def roll_back(self, engine, change, *, dry_run, remove_volumes):
        self._note("roll_back", change=change, dry_run=dry_run, remove_volumes=remove_volumes)
        return {"changed": not dry_run}

    async def query(self, engine, document):
        self._note("query", document=document)
        return {"plugins": []}
