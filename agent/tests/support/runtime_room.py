# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One plugin's directories and a runtime, for contract tests: the fake one, or runc under conmon.

async with real_room(tmp_path) as room:
    container = await room.start()
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes import runtime as fake
from plugind.engine import ports
from plugind.host import facts, inotify, mounts
from plugind.model import config as config_
from plugind.model import digest
from plugind.model import facts as facts_
from plugind.model import plugin as plugin_
from plugind.model import settings as settings_
from plugind.model.confinement import Confinement
from plugind.rpc import client
from plugind.rpc import volume as volume_
from plugind.runtime import OciRuntime
from plugind.spec import runtime as spec_
from support import rootfs

ID = "c0ffee" + "0" * 58
NOTHING = digest.Digest.parse("sha256:" + "0" * 64)


@dataclasses.dataclass
class Room:
    """One plugin's directories below `base`, and a runtime."""

    base: Path
    runtime: ports.Runtime
    host: fake.FakeHost | None = None

    @property
    def socket(self) -> Path:
        return self.base / "sockets" / "plugin.sock"

    @property
    def log(self) -> Path:
        return self.base / "logs" / f"{ID}.log"

    def spec(
        self,
        behaviour: str = "",
        *,
        entrypoint: tuple[str, ...] = rootfs.ENTRYPOINT,
        bind: str = "/usr",
        output: str = "",
        confinement: Confinement | None = None,
        **config: Any,
    ) -> dict[str, object]:
        usr = config_.PluginMount(
            source=bind, destination="/usr", type="bind", options=("rbind", "ro")
        )
        env = (f"PLUGIN_BEHAVIOUR={behaviour}", f"PLUGIN_OUTPUT={output}")
        plugin = plugin_.Plugin(
            id=ID,
            name="test/plugin:latest",
            config=config_.PluginConfig(
                entrypoint=entrypoint, propagated_mount="/data", mounts=(usr,), **config
            ),
            settings=settings_.Settings(env=env, mounts=(usr,)),
            config_digest=NOTHING,
            manifest_digest=NOTHING,
        )
        dirs = facts_.PluginDirs(
            root=self.base,
            rootfs=self.base / "rootfs",
            propagated_mount=self.base / "propagated-mount",
            sockets=self.base / "sockets",
            empty=self.base / "empty",
        )
        found = facts.gather_facts(plugin.settings)
        return spec_.runtime_spec(plugin, dirs, found, confinement or Confinement())

    async def start(self, behaviour: str = "", **more: object) -> ports.Container:
        return await self.runtime.start(ID, self.spec(behaviour, **more), self.log)  # type: ignore[arg-type]

    async def listening(self, container: ports.Container) -> volume_.VolumeDriver:
        dialer = client.SocketDialer()
        await dialer.wait_listening(self.socket, 30, exited=container.wait())
        return volume_.VolumeDriver(dialer.connect(self.socket))

    async def first_output(self) -> None:
        """Wait for the first line of output."""
        with inotify.watch(self.log.parent) as changes:
            while not self.log.read_text():
                await changes.wait_for(self.log.name)

    def another_agent(self) -> ports.Runtime:
        """The runtime of an agent that starts after the first one has gone."""
        if self.host is not None:
            return fake.FakeRuntime(self.host)
        return real_runtime(self.base)

    def crash(self, container: ports.Container) -> None:
        if self.host is not None:
            self.host.kill(ID)
        else:
            os.kill(container.pid, signal.SIGKILL)


def real_runtime(base: Path) -> OciRuntime:
    return OciRuntime(root=base / "runc", run=base / "run")


@contextlib.asynccontextmanager
async def fake_room(base: Path) -> AsyncIterator[Room]:
    _make_directories(base)
    host = fake.FakeHost()
    yield Room(base=base, runtime=fake.FakeRuntime(host), host=host)
    await host.close()


@contextlib.asynccontextmanager
async def real_room(base: Path) -> AsyncIterator[Room]:
    if rootfs.REASON:
        # Root and the programs that run a container; the fake's half runs everywhere.
        pytest.skip(rootfs.REASON)
    _make_directories(base)
    rootfs.make_rootfs(base / "rootfs")
    mounts.make_shared_mountpoint(base / "propagated-mount")
    found = Room(base=base, runtime=real_runtime(base))
    try:
        yield found
    finally:
        await found.runtime.purge(ID)
        mounts.unmount_tree(base)


def _make_directories(base: Path) -> None:
    for name in ("sockets", "empty", "propagated-mount"):
        (base / name).mkdir()
