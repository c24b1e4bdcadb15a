# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A runtime without root: plugins are asyncio servers in the test's own process.

    host = FakeHost()
    runtime = FakeRuntime(host)
    container = await runtime.start(plugin_id, spec, log_path)
    host.kill(plugin_id)                       # a crash
    host.calls(plugin_id)                      # [("VolumeDriver.Create", {...}), ...]
    host.behave(plugin_id, "hang=VolumeDriver.Mount")
    await host.close()

The host stands for the kernel and the disk of the plugins' backends: it outlives an agent, so
another FakeRuntime on it adopts what runs. What a plugin does is in its environment, see
`fakes.plugin`; its socket appears in the source of the bind on /run/docker/plugins, and its
mounts as directories in the source of the bind on PLUGIN_DATA.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakes import plugin as plugin_
from plugind import errors
from plugind.model.facts import MemoryKill

SIGKILLED = 137


class FakeProcess:
    """One plugin that runs, or ran."""

    def __init__(self, host: FakeHost, id: str, spec: Mapping[str, Any], log_path: Path) -> None:
        self.pid = next(host.pids)
        self.spec = spec
        self.id = id
        self.env = dict(entry.split("=", 1) for entry in spec["process"]["env"])
        self.binds = {m["destination"]: m["source"] for m in spec["mounts"] if m["type"] == "bind"}
        self.memory_kill = host.memory_kill
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.log_path = log_path
        self._log = self._open_log()
        self._server: asyncio.AbstractServer | None = None
        data = self.binds.get(self.env.get("PLUGIN_DATA", "/data"))
        self.plugin = plugin_.VolumePlugin(
            self.env,
            volumes=host.volumes.setdefault(id, {}),
            data=None if data is None else Path(data),
            say=self._say,
        )
        if id in host.behaviours:
            self.plugin.behaviour = host.behaviours[id]

    async def run(self) -> None:
        """Do what the program does up to its main loop."""
        status = self.plugin.begin()
        if status is not None:
            self.end(status)
            return
        self._server = await self.plugin.serve(Path(self.binds[plugin_.RUNTIME_DIR]))

    def end(self, status: int) -> None:
        """End, whatever the reason; a socket's name stays behind, as it does on a real host."""
        if self.exited.done():
            return
        if self._server is not None:
            self._server.close()
        self.plugin.abort()
        self._log.close()
        self.exited.set_result(status)

    def terminate(self) -> None:
        """SIGTERM."""
        if not self.plugin.words("stubborn"):
            self.end(0)

    def reopen_log(self) -> None:
        """As conmon does when it is told to."""
        self._log.close()
        self._log = self._open_log()

    def _open_log(self) -> Any:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        return self.log_path.open("a", buffering=1, encoding="utf-8")

    def _say(self, stream: str, line: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat()
        self._log.write(f"{now} {stream} F {line}\n")


class FakeHost:
    """What outlives an agent: processes, and what the plugins' backends remember."""

    def __init__(self) -> None:
        self.pids = itertools.count(4_200_001)  # above the kernel's largest
        self.processes: dict[str, FakeProcess] = {}
        self.volumes: dict[str, dict[str, dict[str, Any]]] = {}
        self.behaviours: dict[str, str] = {}
        self.starts: list[str] = []
        self.memory_kill: MemoryKill | None = None  # what befalls those that start from now on
        self.refused_adoptions = 0  # how many are still to fail

    def kill(
        self, plugin_id: str, status: int = SIGKILLED, memory: MemoryKill | None = None
    ) -> None:
        """Let the plugin crash; `memory`: for want of it."""
        self.processes[plugin_id].memory_kill = memory
        self.processes[plugin_id].end(status)

    def behave(self, plugin_id: str, behaviour: str) -> None:
        """Change what the plugin does, from now on and after restarts."""
        self.behaviours[plugin_id] = behaviour
        if plugin_id in self.processes:
            self.processes[plugin_id].plugin.behaviour = behaviour

    def calls(self, plugin_id: str) -> list[tuple[str, Any]]:
        """Return the calls that the plugin got since its last start."""
        return self.processes[plugin_id].plugin.calls

    def is_running(self, plugin_id: str) -> bool:
        """True if the plugin's process runs."""
        process = self.processes.get(plugin_id)
        return process is not None and not process.exited.done()

    async def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.end(SIGKILLED)
        for _ in range(5):  # what the loop has accepted already is made known, and cut
            await asyncio.sleep(0)


class FakeContainer:
    """Implements `engine.ports.Container`."""

    def __init__(self, host: FakeHost, process: FakeProcess) -> None:
        self._host = host
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int | None:
        return await asyncio.shield(self._process.exited)

    async def stop(self, grace: float) -> int | None:
        self._process.terminate()
        try:
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self._process.end(SIGKILLED)
        return await self.wait()

    def memory_kill(self) -> MemoryKill | None:
        return self._process.memory_kill

    async def delete(self) -> None:
        if self._host.processes.get(self._process.id) is self._process:
            del self._host.processes[self._process.id]


class FakeRuntime:
    """Implements `engine.ports.Runtime` on a FakeHost."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    async def start(self, plugin_id: str, spec: dict[str, Any], log_path: Path) -> FakeContainer:
        if plugin_id in self._host.processes:
            raise errors.Conflict(f"cannot start plugin {plugin_id}: a container of it exists")
        _refuse_what_runc_refuses(spec)
        process = FakeProcess(self._host, plugin_id, spec, log_path)
        self._host.processes[plugin_id] = process
        self._host.starts.append(plugin_id)
        await process.run()
        return FakeContainer(self._host, process)

    async def adopt(self, plugin_id: str) -> FakeContainer | None:
        if self._host.refused_adoptions:
            self._host.refused_adoptions -= 1
            raise errors.System("cannot ask the runtime")
        if not self._host.is_running(plugin_id):
            return None
        return FakeContainer(self._host, self._host.processes[plugin_id])

    async def list_ids(self) -> list[str]:
        return sorted(self._host.processes)

    async def purge(self, plugin_id: str) -> None:
        if plugin_id in self._host.processes:
            self._host.processes.pop(plugin_id).end(SIGKILLED)

    async def reopen_log(self, plugin_id: str) -> None:
        if not self._host.is_running(plugin_id):
            raise errors.NotFound(f"cannot reopen log of plugin {plugin_id}: it does not run")
        self._host.processes[plugin_id].reopen_log()


def _refuse_what_runc_refuses(spec: Mapping[str, Any]) -> None:
    """Missing sources of binds; and `/missing`, the entrypoint that no rootfs has."""
    for mount in spec["mounts"]:
        if mount["type"] == "bind" and not Path(mount["source"]).exists():
            raise errors.PluginFailed(
                f'cannot start plugin: error mounting "{mount["source"]}" to rootfs at '
                f'"{mount["destination"]}": no such file or directory'
            )
    if spec["process"]["args"][0] == "/missing":
        raise errors.PluginFailed(
            'cannot start plugin: exec: "/missing": stat /missing: no such file or directory'
        )
