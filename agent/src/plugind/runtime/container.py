# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A plugin's process, started or adopted: waiting, stopping, deleting.

Two pidfds are watched. The first becomes readable when the plugin has ended, the second when
conmon has; only then is the exit file complete. No timer and no poll in between.
"""

from __future__ import annotations

import asyncio
import os
import signal

from plugind import errors, log
from plugind.host import cgroups, pidfd
from plugind.model.facts import MemoryKill
from plugind.runtime import bundle as bundle_
from plugind.runtime import console as console_
from plugind.runtime import oci as oci_


class OciContainer:
    """Implements `engine.ports.Container`. Owns the descriptors that it is given."""

    def __init__(
        self, bundle: bundle_.Bundle, oci: oci_.Oci, pid: int, fd: int, conmon_fd: int | None
    ) -> None:
        self._bundle = bundle
        self._oci = oci
        self._pid = pid
        self._fd: int | None = fd
        self._conmon_fd = conmon_fd
        self._console: console_.OciConsole | None = None
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int | None] = self._loop.create_future()
        self._loop.add_reader(fd, self._on_exit)

    @property
    def id(self) -> str:
        """The id that the runtime knows it by."""
        return self._bundle.id

    @property
    def console(self) -> console_.OciConsole | None:
        """Its standard streams, once `connect` found them."""
        return self._console

    def connect(self) -> console_.OciConsole | None:
        """Connect to its standard streams, unless that was done; None if it has ended."""
        if self._console is None:
            self._console = console_.connect(self._bundle)
        return self._console

    @property
    def pid(self) -> int:
        """Process id on the host of the container's first process."""
        return self._pid

    async def wait(self) -> int | None:
        """Wait for the exit; return the exit status (128+n for signal n), None if unknown."""
        # Shielded: a waiter that gives up must not take the result from the others.
        return await asyncio.shield(self._exited)

    async def stop(self, grace: float) -> int | None:
        """SIGTERM, `grace` seconds, SIGKILL; wait; return the exit status. Safe to call twice."""
        if self._exited.done():
            return self._exited.result()
        if self._fd is not None and pidfd.send_signal(self._fd, signal.SIGTERM):
            try:
                async with asyncio.timeout(grace):
                    return await self.wait()
            except TimeoutError:
                log.info("plugin did not end in time, killing it", plugin=self._bundle.id)
                await self.kill()
        return await self.wait()

    async def begin(self) -> None:
        """Let a created container's program run."""
        await self._oci.start(self._bundle.id)

    def signal(self, number: int) -> bool:
        """Send a signal to the first process; False if it has ended."""
        return self._fd is not None and pidfd.send_signal(self._fd, number)

    def memory_kill(self) -> MemoryKill | None:
        """Return whether one of its processes was killed for want of memory; until `delete`."""
        group = self._bundle.read_cgroup()
        return None if group is None else cgroups.read_memory_kill(group)

    async def delete(self) -> None:
        """Remove what the runtime keeps of an exited container. Safe to call twice."""
        await self._oci.delete(self._bundle.id)
        self._bundle.remove()

    def close(self) -> None:
        """Stop watching; the process goes on. For an agent that ends."""
        if self._console is not None:
            self._console.close()
        for fd in (self._fd, self._conmon_fd):
            if fd is not None:
                self._loop.remove_reader(fd)
                os.close(fd)
        self._fd = self._conmon_fd = None
        self._exited.cancel()

    async def kill(self) -> None:
        """SIGKILL everything that runs in the container."""
        try:
            # Not only the first process: with the host's pid namespace others would live on.
            await self._oci.kill_all(self._bundle.id)
        except errors.System as exc:
            # It may have ended meanwhile, or the runtime cannot (a frozen cgroup): make sure.
            log.debug("runtime could not kill", plugin=self._bundle.id, cause=exc)
        if self._fd is not None:
            pidfd.send_signal(self._fd, signal.SIGKILL)

    def _on_exit(self) -> None:
        """The plugin has ended; conmon writes the exit file and then ends too."""
        assert self._fd is not None  # noqa: S101  a closed descriptor has no reader
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = None
        if self._conmon_fd is None:
            self._finish()
        else:
            self._loop.add_reader(self._conmon_fd, self._on_conmon_exit)

    def _on_conmon_exit(self) -> None:
        assert self._conmon_fd is not None  # noqa: S101  as above
        self._loop.remove_reader(self._conmon_fd)
        os.close(self._conmon_fd)
        self._conmon_fd = None
        self._finish()

    def _finish(self) -> None:
        if not self._exited.done():
            self._exited.set_result(self._bundle.read_exit_status())
