# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers in memory: each one's record and its run, and what they share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from plugind.engine.container_ports import ContainerHost, ContainerRuntime, Process
from plugind.engine.hub import Hub
from plugind.model.containers.container import Container, ContainerState
from plugind.model.digest import Digest
from plugind.model.images.image import ImageUser
from plugind.store.containers import ContainerStore


@dataclass(slots=True)
class ContainerEntry:
    """One container. `container` is what the disk says.

    `ended` is done when the present (or next) run is over, `removed` when there will be none.
    `lock` is held while it starts, ends or goes.
    """

    container: Container
    process: Process | None = None
    hub: Hub = field(default_factory=Hub)
    watcher: asyncio.Task[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: asyncio.Future[ContainerState] = field(default_factory=asyncio.Future)
    removed: asyncio.Future[ContainerState] = field(default_factory=asyncio.Future)

    def end_run(self, state: ContainerState) -> None:
        """Tell everybody who waits for the end of this run."""
        if not self.ended.done():
            self.ended.set_result(state)
        self.ended = asyncio.Future()
        self.hub = Hub()


@dataclass(slots=True, kw_only=True)
class Containers:
    """What the container stories work with. `entries` is by id."""

    store: ContainerStore
    runtime: ContainerRuntime
    host: ContainerHost
    entries: dict[str, ContainerEntry] = field(default_factory=dict)

    def using_volume(self, name: str) -> list[str]:
        """Return the ids of the containers that mount a volume, running or not."""
        every = [entry.container for entry in self.entries.values()]
        return sorted(container.id for container in every if name in container.volumes)

    def using_image(self, image_id: Digest) -> list[ImageUser]:
        """Return the containers that were made of an image."""
        every = [entry.container for entry in self.entries.values()]
        return [
            ImageUser(id=container.id, running=container.state.running)
            for container in every
            if container.image_id == str(image_id)
        ]
