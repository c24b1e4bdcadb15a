# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real Engine on a temporary root, with fakes where the host begins.

    async with World(tmp_path) as world:
        plugin = await world.running("toy")     published, installed, enabled
        await world.reopen()                    kill -9 and a new start, on the same disk and host

Real: stores, registry client, dialer, everything in `engine`. Fake: runtime, host, registry, clock.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from fakes.clock import VirtualClock
from fakes.container import FakeContainerMachine, FakeContainerRuntime
from fakes.machine import FakeMachine
from fakes.registry import FakeRegistry
from fakes.runtime import FakeHost, FakeRuntime
from plugind.engine import container_entry, context, events, metrics, reconcile
from plugind.engine.container import boot
from plugind.engine.front import publish
from plugind.engine.plugin import create, enable, install
from plugind.model import manifest, reference
from plugind.model.event import Event
from plugind.model.lifecycle import RestartPolicy
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference
from plugind.registry.client import RegistryClient
from plugind.rpc.client import SocketDialer
from plugind.store import containers, content, images, layout, plugins, volumes
from support import content as content_

OPTIONS = context.EngineOptions(
    enable_timeout=20.0,
    stop_grace=0.05,
    undo_patience=0.0,  # restarts wait for a clock that a test has to advance
    restart=RestartPolicy(first=0.1, factor=2.0, longest=60.0, limit=3, healthy_after=10.0),
)


class World:
    """An engine, and everything around it that a test wants to look at or to break."""

    engine: context.Engine

    def __init__(self, base: Path, options: context.EngineOptions = OPTIONS) -> None:
        # Short, because a socket's path holds 107 bytes and an id takes 64 of them.
        self._sockets = tempfile.TemporaryDirectory(prefix="p-")
        self.layout = layout.Layout(
            root=base / "root",
            run=base / "run",
            logs=base / "logs",
            sockets=Path(self._sockets.name),
        )
        self.options = options
        self.registry = FakeRegistry()
        self.host = FakeHost()
        self.machine = FakeMachine()
        self.container_machine = FakeContainerMachine()
        self.clock = VirtualClock()
        self.lines: list[dict[str, Any]] = []

    async def __aenter__(self) -> World:
        await self.registry.__aenter__()
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await reconcile.leave(self.engine)
        await self.host.close()
        await self.registry.__aexit__(kind, error, trace)
        self._sockets.cleanup()

    async def open(self) -> None:
        """Start as the daemon does: store, engine, reconcile."""
        self.layout.prepare()
        self.engine = context.Engine(
            options=self.options,
            layout=self.layout,
            content=content.ContentStore(self.layout),
            plugin_store=plugins.PluginStore(self.layout),
            volume_store=volumes.VolumeStore(self.layout),
            image_store=images.ImageStore(self.layout),
            containers=container_entry.Containers(
                store=containers.ContainerStore(self.layout),
                runtime=FakeContainerRuntime(self.container_machine),
                host=self.container_machine,
            ),
            registry=RegistryClient(
                platform=manifest.platform_of("x86_64"), user_agent="plugind/test"
            ),
            runtime=FakeRuntime(self.host),
            dialer=SocketDialer(),
            host=self.machine,
            clock=self.clock,
            events=events.Hub(self.clock),
        )
        await reconcile.reconcile(self.engine)

    async def drop(self) -> None:
        """Die: tasks end where they are, nothing is said to plugins, nothing is written."""
        for entry in self.engine.entries.values():
            for task in (entry.supervisor, entry.output):
                if task is not None:
                    task.cancel()
                    await asyncio.wait([task])
        for task in list(self.engine.background):
            task.cancel()
            await asyncio.wait([task])
        await boot.leave(self.engine)
        await metrics.close(self.engine)
        await publish.close(self.engine)
        await self.engine.registry.close()

    async def swept(self) -> None:
        """Wait until the engine has cleared away what nobody waits for."""
        for task in list(self.engine.background):
            if task.get_name().startswith(("empty ", "forget ", "conclude ", "undo ")):
                await asyncio.wait([task])

    async def reopen(self) -> None:
        """Die, and start again."""
        await self.drop()
        await self.open()

    # ------------------------------------------------------------------------- what tests do often

    def publish(self, name: str = "toy", tag: str = "latest", **changes: Any) -> Reference:
        """Put a plugin into the registry; `layers` are tars, everything else goes to the config."""
        layers = changes.pop("layers", [content_.layer({"version": tag.encode()})])
        compression = changes.pop("compression", "gzip")
        raw = content_.config(**changes)
        self.registry.add_plugin(f"test/{name}", tag, raw, layers, compression=compression)
        return self.ref(name, tag)

    def ref(self, name: str = "toy", tag: str = "latest") -> Reference:
        """Return the reference of a plugin in the registry."""
        return reference.parse(f"{self.registry.host}/test/{name}:{tag}")

    async def install(self, ref: Reference, name: str = "toy") -> Plugin:
        """Install with the privileges it asks for."""
        return await install.install(
            self.engine,
            ref,
            name=reference.parse_name(name),
            accepted=await install.fetch_privileges(self.engine, ref, None),
            credentials=None,
            progress=self.lines.append,
        )

    async def running(self, name: str = "toy", **changes: Any) -> Plugin:
        """Publish, install and enable."""
        await self.install(self.publish(name, **changes), name)
        return await enable.enable(self.engine, name, timeout=0)

    async def create(self, name: str, body: bytes) -> Plugin:
        """`docker plugin create`."""
        return await create.create(self.engine, reference.parse(name), chunks(body))

    def entry(self, plugin: Plugin) -> context.Entry:
        """Return the running state of a plugin."""
        return self.engine.entries[plugin.id]

    async def events(self, *, since_ns: int = 0) -> list[Event]:
        """Return what was published, oldest first."""
        now = self.clock.now_ns()
        with self.engine.events.subscribe(since_ns=since_ns, until_ns=now) as stream:
            return [event async for event in stream]

    async def actions(self) -> list[str]:
        """Return what was published, as `type action`."""
        return [f"{event.type} {event.action}" for event in await self.events()]

    def statuses(self) -> list[str]:
        """Return the progress reported so far, without repetitions in a row."""
        found: list[str] = []
        for line in self.lines:
            if "status" in line and found[-1:] != [line["status"]]:
                found.append(line["status"])
        return found


async def chunks(body: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    """A request's body as it comes."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until something holds that nobody tells of."""
    while not condition():  # noqa: ASYNC110 - what the fakes do raises no event
        await asyncio.sleep(0)
