# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What `/containers` needs of the engine; part of `api.ports.Stories`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from plugind.engine.container.attach import Attachment, Channel
from plugind.engine.container.logs import Wanted
from plugind.engine.container_entry import ContainerEntry
from plugind.model.containers.container import ContainerState

if TYPE_CHECKING:
    from plugind.engine.context import Engine


class ContainerStories(Protocol):
    """The stories of one-off containers."""

    async def create_container(
        self, engine: Engine, body: Mapping[str, Any], name: str
    ) -> tuple[str, tuple[str, ...]]: ...

    def find_container(self, engine: Engine, text: str) -> ContainerEntry: ...

    async def inspect_container(self, engine: Engine, text: str) -> dict[str, Any]: ...

    async def list_containers(
        self,
        engine: Engine,
        *,
        everything: bool,
        limit: int = 0,
        filters: Mapping[str, frozenset[str]] | None = None,
    ) -> list[dict[str, Any]]: ...

    async def start_container(self, engine: Engine, entry: ContainerEntry) -> bool: ...

    async def stop_container(
        self, engine: Engine, entry: ContainerEntry, timeout: float | None, signal: str = ""
    ) -> bool: ...

    async def kill_container(self, engine: Engine, entry: ContainerEntry, name: str) -> None: ...

    def wait_container(
        self, entry: ContainerEntry, condition: str
    ) -> asyncio.Future[ContainerState]: ...

    async def attach_container(
        self,
        engine: Engine,
        entry: ContainerEntry,
        wanted: Attachment,
        open_channel: Callable[[], Awaitable[Channel]],
    ) -> None: ...

    def container_output(
        self, engine: Engine, entry: ContainerEntry, wanted: Wanted
    ) -> AsyncIterator[tuple[int, bytes]]: ...

    async def remove_container(
        self, engine: Engine, text: str, *, force: bool, volumes: bool
    ) -> None: ...

    async def prune_containers(
        self, engine: Engine, filters: Mapping[str, frozenset[str]]
    ) -> tuple[list[str], int]: ...
