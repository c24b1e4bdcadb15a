# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container's run, from start to end.

start   rootfs -> volumes -> spec -> created -> streams connected -> record (commit point)
        -> begun -> event; a failure unwinds in reverse order
end     exit status -> output drained -> released -> record (commit point) -> event
        -> those who wait are told -> removed, if it was to go (--rm)
"""

from __future__ import annotations

import asyncio
from typing import Any

from plugind import checkpoint, errors, log
from plugind.engine import ending
from plugind.engine.container import end
from plugind.engine.container import volumes as container_volumes
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.container_ports import Process
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.model import signals
from plugind.model.containers import failure as container_failure
from plugind.model.digest import Digest
from plugind.runtime.console import Streams
from plugind.spec import container as spec_

#: An exit status that nobody knows: the host went down, for example.
UNKNOWN_STATUS = 255
_GRACE = 10.0


async def start(engine: Engine, entry: ContainerEntry) -> bool:
    """Start a container; False if it runs already. A failure has Docker's words."""
    async with entry.lock:
        if entry.removed.done():
            raise errors.NotFound(f"No such container: {entry.container.id}")
        if entry.container.state.running:
            return False
        failure = await ending.to_the_end(_start_or_unwind(engine, entry))
    if failure is None:
        return True
    await end.remove_ended(engine, entry)
    raise failure


async def _start_or_unwind(engine: Engine, entry: ContainerEntry) -> errors.PlugindError | None:
    """Start; return why it failed, when everything is as it was before."""
    try:
        await _start(engine, entry)
    except (errors.PlugindError, OSError) as exc:
        failure = exc if isinstance(exc, errors.PlugindError) else errors.System(str(exc))
        await _start_failed(engine, entry, failure)
        return failure
    end.publish(engine, "start", entry.container)
    watch(engine, entry)
    return None


async def _start(engine: Engine, entry: ContainerEntry) -> None:
    container = entry.container
    box = engine.containers
    dirs = box.store.dirs(container.id)
    image = engine.image_store.rootfs(Digest.parse(container.image_id))
    for mount in container.mounts:
        if mount.type == "bind":
            await asyncio.to_thread(
                box.host.prepare_source, mount.source, create=mount.create_source
            )
    own_network = container.network != "host"
    await asyncio.to_thread(box.host.assemble, image, dirs)
    user = await asyncio.to_thread(box.host.resolve_user, dirs.merged, container.process.user)
    hostname = container.process.hostname
    await asyncio.to_thread(box.host.write_files, dirs, hostname, own_network=own_network)
    volumes = await container_volumes.mount_all(engine, container)
    checkpoint.checkpoint("container-start:after-volumes")
    place = spec_.Place(
        rootfs=dirs.merged,
        user=user,
        files={f"/etc/{name}": str(dirs.file(name)) for name in ("hosts", "hostname")}
        | {"/etc/resolv.conf": str(dirs.file("resolv.conf"))},
        volumes=volumes,
        masked=await asyncio.to_thread(box.host.masked_paths),
        seccomp=engine.options.confinement.general.seccomp,
        kernel=box.host.kernel(),
    )
    spec = spec_.container_spec(container, place)
    await _run(engine, entry, spec)


async def _run(engine: Engine, entry: ContainerEntry, spec: dict[str, Any]) -> None:
    """Create the process, connect its streams, record it, and only then let it run."""
    container, runtime = entry.container, engine.containers.runtime
    process = container.process
    streams = Streams(terminal=process.tty, stdin=process.stdin, stdin_once=process.stdin_once)
    try:
        made = await runtime.create(container.id, spec, engine.log_path(container.id), streams)
    except errors.System as exc:
        text = container_failure.of_runtime(exc.message)
        raise (
            errors.InvalidParameter(text)
            if container_failure.is_the_programs(text)
            else errors.System(text)
        ) from exc
    entry.process = made
    checkpoint.checkpoint("container-start:after-create")
    await container_volumes.hide(engine, container)
    console = made.connect()
    if console is None:
        raise errors.System("the container ended while it was being created")
    entry.hub.connect(console)
    height, width = container.host_config["ConsoleSize"]
    if process.tty and height and width:
        console.resize(height, width)
    state = container.state.started(made.pid, images.now(engine))
    checkpoint.checkpoint("container-start:before-commit")
    await end.save(engine, entry, container.with_state(state))
    await made.begin()


async def _start_failed(
    engine: Engine, entry: ContainerEntry, failure: errors.PlugindError
) -> None:
    """Unwind a start, and record why it failed."""
    if entry.process is not None:
        entry.process.close()
        entry.process = None
    await engine.containers.runtime.purge(entry.container.id)
    await entry.hub.end()
    await end.release(engine, entry)
    code = container_failure.exit_code(failure.message)
    state = entry.container.state.exited(code, images.now(engine), failure.message)
    await end.record_end(engine, entry, state)
    end.publish(engine, "die", entry.container, exitCode=str(code))
    entry.end_run(state)


def watch(engine: Engine, entry: ContainerEntry) -> None:
    """Look after a running container until it ends."""
    entry.watcher = asyncio.create_task(
        _watch(engine, entry), name=f"container {entry.container.name}"
    )


async def _watch(engine: Engine, entry: ContainerEntry) -> None:
    process = entry.process
    if process is None:
        raise errors.System(f"container {entry.container.id} is running without a process")
    status = await process.wait()
    await entry.hub.drained()
    try:
        await ending.to_the_end(_ended(engine, entry, process, status))
        await end.remove_ended(engine, entry)
    except (errors.PlugindError, OSError) as exc:
        log.error(f"cannot settle a container that ended: {exc}", container=entry.container.id)


async def _ended(
    engine: Engine, entry: ContainerEntry, process: Process, status: int | None
) -> None:
    code = UNKNOWN_STATUS if status is None else status
    async with entry.lock:
        await entry.hub.end()
        try:
            await process.delete()
        except errors.PlugindError as exc:
            log.error(f"the runtime cannot forget a container: {exc}", container=entry.container.id)
        process.close()
        entry.process = None
        await end.release(engine, entry)
        checkpoint.checkpoint("container-exit:before-commit")
        state = entry.container.state.exited(code, images.now(engine))
        await end.record_end(engine, entry, state)
        checkpoint.checkpoint("container-exit:after-commit")
        end.publish(engine, "die", entry.container, exitCode=str(code))
        entry.end_run(state)


async def stop(
    engine: Engine, entry: ContainerEntry, timeout: float | None, signal: str = ""
) -> bool:
    """Send the stop signal, and SIGKILL after `timeout` seconds (None: the container's own,
    negative: never); wait for the end. False if it does not run.
    """
    process, container = entry.process, entry.container
    if process is None or not container.state.running:
        return False
    own = container.process.stop_timeout
    grace = timeout if timeout is not None else (_GRACE if own is None else float(own))
    ended = entry.ended
    name = signal or container.process.stop_signal
    process.signal(signals.parse(name) if name else signals.TERM)
    try:
        async with asyncio.timeout(None if grace < 0 else grace):
            await asyncio.shield(ended)
    except TimeoutError:
        log.info("container did not end in time, killing it", container=container.id)
        await _kill(entry, process)
        await asyncio.shield(ended)
    end.publish(engine, "stop", container)
    return True


async def kill(engine: Engine, entry: ContainerEntry, name: str) -> None:
    """Send a signal (SIGKILL by default); Conflict if the container does not run."""
    number = signals.parse(name) if name else signals.KILL
    process, container = entry.process, entry.container
    if process is None or not container.state.running:
        raise errors.Conflict(
            f"cannot kill container: {container.name}: container {container.id} is not running"
        )
    if number == signals.KILL:
        ended = entry.ended
        await _kill(entry, process)
        await asyncio.shield(ended)
    else:
        process.signal(number)
    end.publish(engine, "kill", container, signal=str(number))


async def kill_and_wait(entry: ContainerEntry) -> None:
    """Kill a container and wait until its end is recorded."""
    ended, process = entry.ended, entry.process
    if process is not None and entry.container.state.running:
        await _kill(entry, process)
        await asyncio.shield(ended)


async def _kill(entry: ContainerEntry, process: Process) -> None:
    # A client that does not read must not keep a container from its end.
    await entry.hub.hurry()
    await process.kill()
