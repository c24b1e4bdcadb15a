# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One-off containers: create, find, list, show, remove. Running them is `run`.

create   body parsed -> image -> volumes -> record (commit point) -> copy-up -> event
remove   ended (or killed) -> unmounted -> record gone (commit point) -> volumes -> event
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from plugind import errors, log
from plugind.engine import ending
from plugind.engine.container import end, run
from plugind.engine.container import volumes as container_volumes
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.model.containers import (
    mounts as container_mounts,
)
from plugind.model.containers import (
    names as container_names,
)
from plugind.model.containers import (
    request as container_request,
)
from plugind.model.containers import (
    view,
)
from plugind.model.containers.container import Container
from plugind.model.images.image import Image


async def create_container(
    engine: Engine, body: Mapping[str, Any], name: str
) -> tuple[str, tuple[str, ...]]:
    """Create a container; return its id and warnings. Nothing runs yet."""
    request = container_request.parse(body)
    if name:
        name = container_request.require_name(name)
        require_free(engine, name)
    image = images.find(engine, request.image)
    wanted = container_request.mounts(request, image.config)
    for mount in wanted:
        if mount.type == "bind" and not mount.create_source:
            await asyncio.to_thread(
                engine.containers.host.prepare_source, mount.source, create=False
            )
    container_id = secrets.token_hex(32)
    process, config = container_request.merge(
        request, image.config, container_id, os.uname().nodename
    )
    mounts = await container_volumes.create_volumes(engine, wanted)
    container = Container(
        id=container_id,
        name=name,
        created_at=images.now(engine),
        image=request.image,
        image_id=str(image.id),
        process=process,
        config=config,
        host_config=container_mounts.without_options(request.host_config),
        mounts=mounts,
    )
    try:
        entry = await ending.to_the_end(_commit(engine, container, image))
    except BaseException:
        await container_volumes.remove_made_up(engine, mounts)
        raise
    end.publish(engine, "create", entry.container)
    try:
        rootfs = engine.image_store.rootfs(image.id)
        await ending.to_the_end(container_volumes.copy_up(engine, entry.container, rootfs))
    except BaseException:
        await ending.to_the_end(end.remove_entry(engine, entry, volumes=True))
        raise
    return container_id, request.warnings


async def _commit(engine: Engine, container: Container, image: Image) -> ContainerEntry:
    """Record the container while neither its image nor its name can be taken away."""
    async with images.holding(engine):
        images.find(engine, str(image.id))
        taken = {entry.container.name for entry in engine.containers.entries.values()}
        if container.name:
            require_free(engine, container.name)
        else:
            name = container_names.generate(secrets.randbelow(1 << 16), taken)
            container = replace(container, name=name)
        await asyncio.to_thread(engine.containers.store.create, container)
        entry = engine.containers.entries[container.id] = ContainerEntry(container)
    return entry


def require_free(engine: Engine, name: str) -> None:
    """Raise Conflict in Docker's words if a container has that name."""
    for container_id, entry in engine.containers.entries.items():
        if entry.container.name == name:
            raise errors.Conflict(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{container_id}". You have to remove (or rename) that container to be able to '
                "reuse that name."
            )


def find_container(engine: Engine, text: str) -> ContainerEntry:
    """Return the container that `text` means: id, name, or the start of an id."""
    entries = engine.containers.entries
    if text in entries:
        return entries[text]
    name = text.removeprefix("/")
    for entry in entries.values():
        if entry.container.name == name:
            return entry
    fitting = [entry for key, entry in entries.items() if text and key.startswith(text)]
    if len(fitting) > 1:
        raise errors.InvalidParameter(f"multiple IDs found with provided prefix: {text}")
    if not fitting:
        raise errors.NotFound(f"No such container: {text}")
    return fitting[0]


async def inspect_container(engine: Engine, text: str) -> dict[str, Any]:
    """Return the Engine API's object for one container."""
    container = find_container(engine, text).container
    dirs = engine.containers.store.dirs(container.id)
    names = ("hosts", "hostname", "resolv.conf")
    paths = {name: str(dirs.file(name)) for name in names}
    paths |= {"merged": str(dirs.merged), "log": str(engine.log_path(container.id))}
    places = await container_volumes.places(engine, container)
    return view.inspect(container, paths=paths, places=places)


async def list_containers(
    engine: Engine,
    *,
    everything: bool,
    limit: int = 0,
    filters: Mapping[str, frozenset[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return the containers that pass the filters, the newest first.

    Without `everything` those that run; a `limit` > 0 or a filter for states looks at all.
    """
    wanted = filters or {}
    everything = everything or limit > 0 or "status" in wanted
    shown = []
    for entry in reversed(engine.containers.entries.values()):
        container = entry.container
        if not everything and not container.state.running:
            continue
        if not _passes(engine, container, wanted):
            continue
        places = await container_volumes.places(engine, container)
        now = engine.clock.now_ns() / 1e9
        shown.append(view.summary(container, now=now, places=places))
        if limit and len(shown) == limit:
            break
    return shown


async def remove_container(engine: Engine, text: str, *, force: bool, volumes: bool) -> None:
    """Remove a container. `force` kills it first; `volumes` removes what nobody named."""
    entry = find_container(engine, text)
    if entry.container.state.running:
        if not force:
            name = entry.container.name
            raise errors.Conflict(
                f'cannot remove container "/{name}": container is running: '
                "stop the container before removing or force remove"
            )
        await run.kill_and_wait(entry)
    await ending.to_the_end(end.remove_entry(engine, entry, volumes=volumes))


async def prune_containers(
    engine: Engine, filters: Mapping[str, frozenset[str]]
) -> tuple[list[str], int]:
    """Remove every container that does not run; return their ids and the bytes freed."""
    gone = []
    for entry in list(engine.containers.entries.values()):
        if entry.container.state.running or not _passes(engine, entry.container, filters):
            continue
        try:
            await ending.to_the_end(end.remove_entry(engine, entry, volumes=False))
        except errors.Conflict as exc:
            log.info(f"not pruned: {exc}", container=entry.container.id)
            continue
        gone.append(entry.container.id)
    return gone, 0


def counts(engine: Engine) -> dict[str, int]:
    """Return the counters of `GET /info`."""
    entries = engine.containers.entries.values()
    running = sum(entry.container.state.running for entry in entries)
    return {
        "Containers": len(entries),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": len(entries) - running,
    }


def _passes(engine: Engine, container: Container, wanted: Mapping[str, frozenset[str]]) -> bool:
    """True if the container passes every filter; several values of one are alternatives."""
    return all(_fits(engine, container, key, values) for key, values in wanted.items() if values)


def _fits(engine: Engine, container: Container, key: str, values: frozenset[str]) -> bool:
    if key == "id":
        return any(container.id.startswith(value) for value in values)
    if key == "name":
        return any(value.removeprefix("/") in container.name for value in values)
    if key == "status":
        return container.state.status.value in values
    if key == "exited":
        state = container.state
        return state.status.value == "exited" and str(state.exit_code) in values
    if key == "volume":
        places = {mount.target for mount in container.mounts} | set(container.volumes)
        return not places.isdisjoint(values)
    if key == "ancestor":
        return any(_is_ancestor(engine, container, value) for value in values)
    has = all(_has_label(container, value) for value in values)
    return not has if key == "label!" else has


def _is_ancestor(engine: Engine, container: Container, text: str) -> bool:
    try:
        return str(images.find(engine, text).id) == container.image_id
    except errors.PlugindError:
        return False


def _has_label(container: Container, text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in container.labels and (not equals or container.labels[key] == value)
