# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""OciRuntime: launches plugins with conmon and runc, and finds those that still run.

    start   bundle -> conmon + `runc create` -> pidfds, launch.json -> `runc start`
    adopt   launch.json -> pidfds, start times compared -> `runc state` says running

A start that fails leaves nothing behind. A container without launch.json, or one that only got as
far as "created", is not adopted: `purge` takes it away.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from plugind import errors, log
from plugind.host import pidfd
from plugind.runtime import bundle as bundle_
from plugind.runtime import conmon as conmon_
from plugind.runtime import console as console_
from plugind.runtime import container as container_
from plugind.runtime import oci as oci_

T = TypeVar("T")
#: Creating takes 50 ms; what takes this long hangs, in a mount source for example.
_CREATE_TIMEOUT = 60.0


class OciRuntime:
    """Implements `engine.ports.Runtime`.

    `binary` and `conmon` are names or paths of programs, `root` is the runtime's state directory,
    `run` is where bundles, pid and exit files go. `log_size_max` in bytes bounds a plugin's log:
    conmon starts it anew there (0: no bound, somebody else rotates and calls `reopen_log`).
    `conmon_timeout` is how many seconds conmon has to end after its container.
    """

    def __init__(
        self,
        *,
        binary: str = "runc",
        conmon: str = "conmon",
        root: Path,
        run: Path,
        log_size_max: int = 0,
        conmon_timeout: float = 10.0,
    ) -> None:
        self._oci = oci_.Oci(binary=oci_.find_program(binary), root=root)
        self._conmon = oci_.find_program(conmon)
        self._run = run
        self._log_size_max = log_size_max
        self._conmon_timeout = conmon_timeout

    async def start(
        self, plugin_id: str, spec: dict[str, Any], log_path: Path
    ) -> container_.OciContainer:
        """Write the bundle, launch it, return once the process runs; PluginFailed says why not."""
        try:
            container = await self.create(plugin_id, spec, log_path)
            try:
                await container.begin()
            except BaseException:
                container.close()
                await asyncio.shield(self._unwind(plugin_id))
                raise
        except errors.System as exc:
            raise errors.PluginFailed(f"cannot start plugin: {exc.message}") from exc
        return container

    async def create(
        self,
        container_id: str,
        spec: dict[str, Any],
        log_path: Path,
        streams: console_.Streams | None = None,
    ) -> container_.OciContainer:
        """Write the bundle and create the container; its program waits for its `begin`.

        With `streams` its console is connected, so that not a byte of output can be missed.
        """
        bundle = self._bundle(container_id)
        if (self._oci.root / container_id).exists():
            raise errors.Conflict(f"cannot start plugin {container_id}: a container of it exists")
        try:
            bundle.write(spec)
            _make_directory(log_path.parent)
            return await _to_its_end(self._create(bundle, log_path, streams))
        except BaseException:
            # Also when cancelled: nothing of a start that did not succeed may remain.
            await asyncio.shield(self._unwind(container_id))
            raise

    def exit_status(self, container_id: str) -> int | None:
        """Return the exit status that a container left which ended without us, None if unknown."""
        return self._bundle(container_id).read_exit_status()

    async def adopt(self, plugin_id: str) -> container_.OciContainer | None:
        """Return the running container of that id, left behind by an earlier agent, or None."""
        bundle = self._bundle(plugin_id)
        launch = bundle.read_launch()
        if launch is None:
            return None
        fd = _open_same(launch.pid, launch.start_time)
        if fd is None:
            return None
        conmon_fd = _open_same(launch.conmon_pid, launch.conmon_start_time)
        container = container_.OciContainer(bundle, self._oci, launch.pid, fd, conmon_fd)
        try:
            state = await self._oci.state(plugin_id)
        except BaseException:
            container.close()
            raise
        if state is None or state.get("status") != "running" or state.get("pid") != launch.pid:
            container.close()
            return None
        return container

    async def list_ids(self) -> list[str]:
        """Ids of every container the runtime knows, running or not, and of every bundle."""
        return sorted({*self._oci.list_ids(), *bundle_.bundle_ids(self._run)})

    async def purge(self, plugin_id: str) -> None:
        """Kill (if need be) and remove whatever the runtime has under that id."""
        bundle = self._bundle(plugin_id)
        launch = bundle.read_launch()
        fd = None if launch is None else _open_same(launch.pid, launch.start_time)
        conmon_fd = _conmon_of(bundle)
        try:
            await self._oci.delete(plugin_id, force=True)
            if fd is not None:
                # Gone already, unless the runtime had forgotten the container.
                pidfd.send_signal(fd, signal.SIGKILL)
                await pidfd.wait(fd)
            if conmon_fd is not None:
                # It still has an exit file to write, which must not appear after the removal.
                await _wait_or_kill(conmon_fd, plugin_id, self._conmon_timeout)
        finally:
            for opened in (fd, conmon_fd):
                if opened is not None:
                    os.close(opened)
        bundle.remove()

    async def _unwind(self, container_id: str) -> None:
        """Purge after a start that failed; its own error is the one that is to be told."""
        try:
            await self.purge(container_id)
        except errors.PlugindError as exc:
            # The next boot finds it in `list_ids`.
            log.warning("something of a failed start is left", plugin=container_id, cause=exc)

    async def reopen_log(self, plugin_id: str) -> None:
        """Let the plugin's conmon open its log file anew, after the old one was renamed."""
        control = self._bundle(plugin_id).control
        try:
            # Non-blocking: without a reader there is no conmon, and nothing to rotate for.
            fd = os.open(control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno in (errno.ENXIO, errno.ENOENT):
                raise errors.NotFound(
                    f"cannot reopen log of plugin {plugin_id}: it does not run"
                ) from exc
            raise errors.System(f"cannot reopen log of plugin {plugin_id}: {exc.strerror}") from exc
        try:
            os.write(fd, conmon_.REOPEN_LOG)
        finally:
            os.close(fd)

    def _bundle(self, plugin_id: str) -> bundle_.Bundle:
        if not plugin_id.isalnum():
            raise errors.InvalidParameter(f"cannot name a container {plugin_id!r}")
        return bundle_.Bundle(run=self._run, id=plugin_id)

    async def _create(
        self, bundle: bundle_.Bundle, log_path: Path, streams: console_.Streams | None
    ) -> container_.OciContainer:
        """Launch conmon and note who runs, before the plugin's program does."""
        argv = conmon_.conmon_argv(
            self._conmon, self._oci, bundle, log_path, self._log_size_max, streams
        )
        deadline = asyncio.get_running_loop().time() + _CREATE_TIMEOUT
        launched = await conmon_.launch(argv, bundle, deadline=deadline)
        started = pidfd.start_time(launched.pid)
        if started is None or (fd := _open_same(launched.pid, started)) is None:
            raise errors.System("the container was killed while it was being created")
        conmon_fd = pidfd.open_pidfd(launched.conmon_pid)
        container = container_.OciContainer(bundle, self._oci, launched.pid, fd, conmon_fd)
        try:
            bundle.write_launch(
                bundle_.Launch(
                    pid=launched.pid,
                    start_time=started,
                    conmon_pid=launched.conmon_pid,
                    conmon_start_time=pidfd.start_time(launched.conmon_pid) or 0,
                )
            )
            if streams is not None:
                container.connect()
        except BaseException:
            container.close()
            raise
        return container


async def _to_its_end(creating: Coroutine[None, None, T]) -> T:
    """Await something that must not be left half done; being cancelled waits for its end."""
    task = asyncio.ensure_future(creating)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise errors.System(f'cannot make directory "{path}": {exc.strerror}') from exc


async def _wait_or_kill(fd: int, plugin_id: str, seconds: float) -> None:
    """Wait for conmon, which ends with its container; one that created none for ever is killed."""
    try:
        async with asyncio.timeout(seconds):
            await pidfd.wait(fd)
    except TimeoutError:
        log.warning("conmon did not end, killing it", plugin=plugin_id)
        pidfd.send_signal(fd, signal.SIGKILL)
        await pidfd.wait(fd)


def _open_same(pid: int, start_time: int) -> int | None:
    """Open the process, if it is still the one that was started at `start_time`."""
    fd = pidfd.open_pidfd(pid)
    if fd is not None and pidfd.start_time(pid) != start_time:
        os.close(fd)
        return None
    return fd


def _conmon_of(bundle: bundle_.Bundle) -> int | None:
    """Open the bundle's conmon, also that of a start that did not get as far as launch.json."""
    launch = bundle.read_launch()
    if launch is not None:
        return _open_same(launch.conmon_pid, launch.conmon_start_time)
    try:
        pid = int(bundle.conmon_pidfile.read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    if bundle.id.encode() not in command:
        log.debug("pid of conmon was reused", plugin=bundle.id)
        return None
    return pidfd.open_pidfd(pid)
