# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The engine's functions under the names of `api.ports.Stories`: this module is one.

It is the only place of this room that imports the stories, and a list of names, not code: hence
the functions themselves are imported.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

from plugind.engine.container.attach import attach as attach_container
from plugind.engine.container.attach import waiting as wait_container
from plugind.engine.container.containers import (
    create_container,
    find_container,
    inspect_container,
    list_containers,
    prune_containers,
    remove_container,
)
from plugind.engine.container.logs import read as container_output
from plugind.engine.container.run import kill as kill_container
from plugind.engine.container.run import start as start_container
from plugind.engine.container.run import stop as stop_container
from plugind.engine.context import Engine
from plugind.engine.declaration.apply import apply, query
from plugind.engine.declaration.rollback import remove_for_good as remove
from plugind.engine.declaration.rollback import roll_back
from plugind.engine.describe import info, status
from plugind.engine.image.images import inspect_image, list_images, tag_image
from plugind.engine.image.importing import import_image
from plugind.engine.image.load import load_images
from plugind.engine.image.pull import pull_image
from plugind.engine.image.remove import prune_images, remove_image
from plugind.engine.logs import read as read_logs
from plugind.engine.lookup import find, list_plugins
from plugind.engine.plugin.configure import configure, reconfigure
from plugind.engine.plugin.create import create
from plugind.engine.plugin.enable import disable, enable
from plugind.engine.plugin.install import fetch_privileges, install
from plugind.engine.plugin.push import push
from plugind.engine.plugin.rpc_call import call
from plugind.engine.plugin.upgrade import upgrade, upgrade_in_place
from plugind.engine.volume.host_mounts import (
    inspect_host_mount,
    list_host_mounts,
    mount_on_host,
    unmount_on_host,
)
from plugind.engine.volume.listing import list_volumes
from plugind.engine.volume.mounting import holders, mount_for_client, unmount_volume
from plugind.engine.volume.volumes import (
    create_volume,
    inspect_volume,
    prune_volumes,
    remove_volume,
)
from plugind.model.credentials import Credentials
from plugind.model.event import Event
from plugind.model.manifest import Manifest
from plugind.model.reference import Reference

__all__ = [
    "apply",
    "attach_container",
    "call",
    "configure",
    "container_output",
    "create",
    "create_container",
    "create_volume",
    "disable",
    "enable",
    "fetch_privileges",
    "find",
    "find_container",
    "holders",
    "import_image",
    "info",
    "inspect_container",
    "inspect_host_mount",
    "inspect_image",
    "inspect_volume",
    "install",
    "kill_container",
    "list_containers",
    "list_host_mounts",
    "list_images",
    "list_plugins",
    "list_volumes",
    "load_images",
    "log_in",
    "mount_for_client",
    "mount_on_host",
    "prune_containers",
    "prune_images",
    "prune_volumes",
    "pull_image",
    "push",
    "query",
    "read_logs",
    "reconfigure",
    "remove",
    "remove_container",
    "remove_image",
    "remove_volume",
    "resolve",
    "roll_back",
    "start_container",
    "status",
    "stop_container",
    "subscribe",
    "tag_image",
    "unmount_on_host",
    "unmount_volume",
    "upgrade",
    "upgrade_in_place",
    "wait_container",
]


def subscribe(
    engine: Engine, *, since_ns: int | None, until_ns: int | None
) -> AbstractContextManager[AsyncIterator[Event]]:
    """Listen to the engine's events."""
    return engine.events.subscribe(since_ns=since_ns, until_ns=until_ns)


async def log_in(engine: Engine, credentials: Credentials) -> None:
    """Return if the credentials' registry accepts them; they are neither kept nor logged."""
    await engine.registry.log_in(credentials.domain, credentials)


async def resolve(engine: Engine, ref: Reference, credentials: Credentials | None) -> Manifest:
    """Ask the registry for a reference's manifest."""
    return await engine.registry.resolve(ref, credentials)
