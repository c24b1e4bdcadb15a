# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the API needs of the engine: one Protocol, declared here by its consumer.

`api.stories` is the real one, made of the engine's own functions; tests pass a double.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from plugind.api.container_ports import ContainerStories
from plugind.engine.ports import Progress
from plugind.model.credentials import Credentials
from plugind.model.event import Event
from plugind.model.host_mount import HostMount
from plugind.model.images.image import Image
from plugind.model.manifest import Manifest, Platform
from plugind.model.plugin import Plugin
from plugind.model.privileges import Privileges
from plugind.model.reference import Reference

if TYPE_CHECKING:
    from plugind.engine.context import Engine


class Stories(ContainerStories, Protocol):
    """The engine's stories, one for every request that does something."""

    # Plugins

    def find(self, engine: Engine, text: str) -> Plugin: ...

    def list_plugins(
        self, engine: Engine, *, enabled: bool | None, capabilities: frozenset[str]
    ) -> list[Plugin]: ...

    async def fetch_privileges(
        self, engine: Engine, ref: Reference, credentials: Credentials | None
    ) -> Privileges: ...

    async def install(
        self,
        engine: Engine,
        ref: Reference,
        *,
        name: Reference,
        accepted: Privileges,
        credentials: Credentials | None,
        progress: Progress,
    ) -> Plugin: ...

    async def create(
        self, engine: Engine, name: Reference, body: AsyncIterator[bytes]
    ) -> Plugin: ...

    async def push(
        self, engine: Engine, text: str, *, credentials: Credentials | None, progress: Progress
    ) -> object: ...

    async def upgrade(
        self,
        engine: Engine,
        text: str,
        ref: Reference,
        *,
        accepted: Privileges,
        credentials: Credentials | None,
        progress: Progress,
    ) -> Plugin: ...

    async def upgrade_in_place(
        self,
        engine: Engine,
        text: str,
        ref: Reference,
        *,
        accepted: Privileges,
        credentials: Credentials | None,
        progress: Progress,
        arguments: Iterable[str],
        timeout: float,
    ) -> Plugin: ...

    async def enable(
        self,
        engine: Engine,
        text: str,
        *,
        timeout: float,
    ) -> Plugin: ...

    async def disable(self, engine: Engine, text: str, *, force: bool) -> Plugin: ...

    async def remove(self, engine: Engine, text: str, *, force: bool) -> Plugin: ...

    async def configure(self, engine: Engine, text: str, arguments: list[str]) -> Plugin: ...

    async def reconfigure(
        self, engine: Engine, text: str, arguments: list[str], *, timeout: float
    ) -> Plugin: ...

    # Volumes

    async def create_volume(
        self,
        engine: Engine,
        *,
        name: str,
        driver: str,
        options: dict[str, str] | None,
        labels: dict[str, str] | None,
    ) -> dict[str, Any]: ...

    async def list_volumes(
        self,
        engine: Engine,
        *,
        names: frozenset[str],
        drivers: frozenset[str],
        labels: frozenset[str],
        dangling: bool | None,
    ) -> tuple[list[dict[str, Any]], list[str]]: ...

    async def inspect_volume(self, engine: Engine, name: str) -> dict[str, Any]: ...

    async def remove_volume(self, engine: Engine, name: str, *, force: bool) -> str: ...

    async def prune_volumes(
        self,
        engine: Engine,
        *,
        everything: bool,
        labels: frozenset[str],
        without_labels: frozenset[str],
    ) -> tuple[list[str], int]: ...

    async def mount_for_client(self, engine: Engine, name: str, holder: str) -> str: ...

    async def unmount_volume(self, engine: Engine, name: str, holder: str) -> None: ...

    async def holders(self, engine: Engine, name: str) -> list[dict[str, str]]: ...

    # Host mounts

    async def list_host_mounts(self, engine: Engine) -> list[dict[str, Any]]: ...

    async def inspect_host_mount(self, engine: Engine, path: str) -> dict[str, Any]: ...

    async def mount_on_host(
        self, engine: Engine, wanted: HostMount, *, allow_nonempty: bool
    ) -> dict[str, Any]: ...

    async def unmount_on_host(self, engine: Engine, path: str, *, force: bool) -> str: ...

    # Images

    def list_images(
        self,
        engine: Engine,
        *,
        references: frozenset[str],
        labels: frozenset[str],
        dangling: bool | None,
        usage: bool = False,
    ) -> list[dict[str, Any]]: ...

    def inspect_image(self, engine: Engine, text: str) -> dict[str, Any]: ...

    async def pull_image(
        self,
        engine: Engine,
        ref: Reference,
        *,
        platform: Platform | None,
        credentials: Credentials | None,
        progress: Progress,
    ) -> Image: ...

    async def import_image(
        self,
        engine: Engine,
        body: AsyncIterator[bytes],
        *,
        name: Reference | None,
        config: Mapping[str, Any],
        message: str,
        platform: Platform | None,
    ) -> Image: ...

    async def load_images(
        self,
        engine: Engine,
        body: AsyncIterator[bytes],
        *,
        platform: Platform | None,
        progress: Progress,
    ) -> list[Image]: ...

    async def tag_image(self, engine: Engine, text: str, ref: Reference) -> Image: ...

    async def remove_image(
        self, engine: Engine, text: str, *, force: bool
    ) -> list[dict[Literal["Untagged", "Deleted"], str]]: ...

    async def prune_images(
        self,
        engine: Engine,
        *,
        dangling: bool,
        labels: frozenset[str],
        without_labels: frozenset[str],
    ) -> tuple[list[dict[Literal["Untagged", "Deleted"], str]], int]: ...

    # The rest

    def info(self, engine: Engine) -> dict[str, Any]: ...

    def status(self, engine: Engine, plugin: Plugin) -> dict[str, Any]: ...

    def subscribe(
        self, engine: Engine, *, since_ns: int | None, until_ns: int | None
    ) -> AbstractContextManager[AsyncIterator[Event]]: ...

    def read_logs(
        self, engine: Engine, text: str, *, tail: int | None, follow: bool
    ) -> AsyncIterator[bytes]: ...

    async def log_in(self, engine: Engine, credentials: Credentials) -> None: ...

    async def resolve(
        self, engine: Engine, ref: Reference, credentials: Credentials | None
    ) -> Manifest: ...

    async def call(
        self, engine: Engine, text: str, method: str, body: dict[str, Any]
    ) -> dict[str, Any]: ...

    async def apply(
        self, engine: Engine, document: dict[str, Any], *, dry_run: bool
    ) -> dict[str, Any]: ...

    async def roll_back(
        self, engine: Engine, change: str | None, *, dry_run: bool, remove_volumes: bool
    ) -> dict[str, Any]: ...

    async def query(self, engine: Engine, document: dict[str, Any]) -> dict[str, Any]: ...
