# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Composition root: options -> lock -> store -> engine -> reconcile -> api -> READY=1 -> stop.

Stopping, killing or upgrading the agent leaves plugins running and mounts in place; the next
start adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import platform
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from plugind import errors, log, release
from plugind.api import app as api_app
from plugind.engine import container_entry, context, events, machine, ports, reconcile
from plugind.engine.container import boot
from plugind.engine.container import machine as container_machine
from plugind.host import libc, systemd
from plugind.model import manifest
from plugind.model.lifecycle import RestartPolicy
from plugind.model.publishing import Publishing
from plugind.options import DaemonOptions
from plugind.registry.client import RegistryClient
from plugind.rpc.client import SocketDialer
from plugind.runtime import OciRuntime
from plugind.store import containers, content, images, layout, lock, plugins, volumes

#: Where a real dockerd puts the fifos of log plugins that it does not manage.
LOG_FIFOS = Path("/run/docker/logging")
#: For work that blocks; made as they are needed.
_THREADS = 64


def run(options: DaemonOptions) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    log.setup(options.log_level)
    libc.forbid_dumps()
    try:
        asyncio.run(serve(options))
    except (errors.PlugindError, OSError) as exc:
        log.error(f"cannot serve: {exc}")
        return 1
    except Exception as exc:  # noqa: BLE001 - Python's own traceback would not be gone through
        log.error(f"ended by an unexpected {type(exc).__name__}", exc=exc)
        return 1
    return 0


async def serve(options: DaemonOptions) -> None:
    """Build the engine, settle the host, serve the API until told to stop."""
    stop = _stop_event()
    widen_threads()
    place = layout.Layout(
        root=options.root, run=options.run, logs=options.logs, sockets=options.sockets
    )
    _make_directories(options)
    with lock.hold(place):
        engine = build_engine(options, place)
        log.redact_with(engine.known.redact)
        engine.degraded = _open_store(place)
        await (reconcile.look if engine.degraded else reconcile.reconcile)(engine)
        application = api_app.make_app(
            engine, version=release.version(), group_gid=_gid(options.group)
        )
        with bound(options.socket, _gid(options.group)) as listener:
            runner = api_app.make_runner(application)
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                log.info(f"API listen on {options.socket}", version=release.version())
                systemd.notify("READY=1")
                await stop.wait()
                systemd.notify("STOPPING=1")
                log.info("stopping; plugins go on running")
            finally:
                engine.events.close()  # ends the streams, so that their handlers end as well
                await boot.leave(engine)  # the same for who is attached or waits
                await runner.cleanup()
                await reconcile.leave(engine)


def build_engine(options: DaemonOptions, place: layout.Layout) -> context.Engine:
    """Return an engine on the real adapters."""
    clock = ports.SystemClock()
    runtime_root = options.run / options.runtime_binary.rpartition("/")[2]
    user_agent = f"plugind/{release.version()} ({platform.system().lower()})"
    return context.Engine(
        options=context.EngineOptions(
            version=release.version(),
            enable_timeout=options.enable_timeout,
            log_max_bytes=options.log_max_bytes,
            secrets=options.secret_policy,
            confinement=options.confinement,
            runtime_argv=(options.runtime_binary, "--root", str(runtime_root)),
            publishing=Publishing(
                docker=options.publish_docker,
                docker_place=options.publish_docker_directory,
                podman=options.publish_podman,
                podman_place=options.publish_podman_file,
                podman_timeout=options.publish_podman_timeout,
            ),
            restart=RestartPolicy(
                first=options.restart_first,
                factor=options.restart_factor,
                longest=options.restart_longest,
                limit=options.restart_limit,
                healthy_after=options.restart_healthy_after,
            ),
        ),
        layout=place,
        content=content.ContentStore(place),
        plugin_store=plugins.PluginStore(place),
        volume_store=volumes.VolumeStore(place, options.secret_policy),
        image_store=images.ImageStore(place),
        containers=_build_containers(options, place),
        registry=RegistryClient(
            platform=manifest.platform_of(platform.machine()),
            insecure=frozenset(options.registry_insecure),
            mirrors=options.registry_mirrors,
            user_agent=user_agent,
            ca_file=options.registry_ca_file or None,
        ),
        runtime=OciRuntime(
            binary=options.runtime_binary,
            conmon=options.runtime_conmon,
            root=runtime_root,
            run=options.run,
            log_size_max=4 * options.log_max_bytes,
        ),
        dialer=SocketDialer(),
        host=machine.Machine(
            log_fifos=LOG_FIFOS if options.publish_docker else None,
            metrics=options.run / "metrics.sock",
        ),
        clock=clock,
        events=events.Hub(clock),
    )


def _build_containers(options: DaemonOptions, place: layout.Layout) -> container_entry.Containers:
    """Return the containers' own adapters: their runtime does not share the plugins' directories."""
    name = options.runtime_binary.rpartition("/")[2]
    return container_entry.Containers(
        store=containers.ContainerStore(place),
        runtime=OciRuntime(
            binary=options.runtime_binary,
            conmon=options.runtime_conmon,
            root=options.run / f"{name}-containers",
            run=options.run / "containers",
            log_size_max=4 * options.log_max_bytes,
        ),
        host=container_machine.ContainerMachine(),
    )


def _open_store(place: layout.Layout) -> str | None:
    """Prepare the store; return why the daemon must be read-only, if it must."""
    found = place.read_format()
    if found > layout.CURRENT_FORMAT:
        return (
            f"{place.format_file} says format {found}, this plugind knows up to "
            f"{layout.CURRENT_FORMAT}: install a newer plugind"
        )
    place.prepare()
    return None


def _make_directories(options: DaemonOptions) -> None:
    for path, mode in (
        (options.root, 0o700),
        (options.run, 0o755),
        (options.logs, 0o750),
        (options.sockets, 0o700),
        (options.run / "empty", 0o555),
    ):
        path.mkdir(mode=mode, parents=True, exist_ok=True)


@contextlib.contextmanager
def bound(path: Path, gid: int | None) -> Iterator[socket.socket]:
    """Listen on a unix socket that is never, not for a moment, open to others."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    try:
        if gid is not None:
            os.chown(path, 0, gid)
        path.chmod(0o660)
        listener.listen(512)
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def widen_threads() -> None:
    """Have threads left although some never come back.

    One that touches a file system whose server hangs (FUSE, NFS) cannot be ended. By default there
    are six on a small host, and the seventh look at any file would wait for ever.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
