# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The plugin side of Docker's volume driver protocol, on top of pluginserver.py. Copy both.

A driver is an object with the methods of `Driver`. ``serve(driver, socket)`` answers
``POST /VolumeDriver.<Method>``:

    engine --HTTP/1.1--> pluginserver --> driver.mount(name, id)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pluginserver
from pluginserver import (
    CONTENT_TYPE,
    LIMIT,
    Arguments,
    DriverError,
    Handler,
    Method,
    Refused,
    Service,
    complain,
    debugging,
    log,
    reap,
    run,
    text,
)

__all__ = [
    "CONTENT_TYPE", "LIMIT", "NAME", "Driver", "DriverError", "Handler", "Refused", "Server",
    "complain", "debugging", "dispatch", "log", "reap", "run", "serve",
]  # fmt: skip

# Docker's own rule for the names of volumes. It also keeps ".." and "/" out of paths.
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
# Engines ask these all the time.
QUIET = frozenset({"VolumeDriver.Capabilities", "VolumeDriver.List"})


class Driver(Protocol):
    """What a volume driver can do. Methods are called from several threads at once."""

    scope: str  # "local", or "global" if every host sees the same volumes

    def create(self, name: str, options: Mapping[str, str]) -> None: ...
    def get(self, name: str) -> dict[str, Any]: ...  # Name, Mountpoint, CreatedAt, Status
    def list(self) -> list[dict[str, Any]]: ...
    def path(self, name: str) -> str: ...
    def remove(self, name: str) -> None: ...
    def mount(self, name: str, mount_id: str) -> str: ...
    def unmount(self, name: str, mount_id: str) -> None: ...
    def close(self) -> None: ...  # the plugin is about to end


def options(arguments: Arguments) -> dict[str, str]:
    """Create's Opts, which may be null or missing."""
    value = arguments.get("opts") or {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Refused(400, "cannot read the request: Opts is not an object of strings")
    return {str(key): item for key, item in value.items()}


def volume_service(driver: Driver) -> Service:
    """The protocol's methods, each as a call of the driver's."""

    def create(arguments: Arguments) -> dict[str, Any]:
        driver.create(text(arguments, "Name"), options(arguments))
        return {}

    def remove(arguments: Arguments) -> dict[str, Any]:
        driver.remove(text(arguments, "Name"))
        return {}

    def mount(arguments: Arguments) -> dict[str, Any]:
        return {"Mountpoint": driver.mount(text(arguments, "Name"), text(arguments, "ID"))}

    def unmount(arguments: Arguments) -> dict[str, Any]:
        driver.unmount(text(arguments, "Name"), text(arguments, "ID"))
        return {}

    methods: dict[str, Method] = {
        "VolumeDriver.Capabilities": lambda _: {"Capabilities": {"Scope": driver.scope}},
        "VolumeDriver.Create": create,
        "VolumeDriver.Get": lambda arguments: {"Volume": driver.get(text(arguments, "Name"))},
        "VolumeDriver.List": lambda _: {"Volumes": driver.list()},
        "VolumeDriver.Path": lambda arguments: {"Mountpoint": driver.path(text(arguments, "Name"))},
        "VolumeDriver.Remove": remove,
        "VolumeDriver.Mount": mount,
        "VolumeDriver.Unmount": unmount,
    }
    return Service(("VolumeDriver",), methods, quiet=QUIET)


def dispatch(
    driver: Driver, path: str, body: bytes
) -> tuple[int, dict[str, Any] | pluginserver.Stream]:
    """One call of a volume driver, without a connection."""
    return pluginserver.dispatch(volume_service(driver), path, body)


class Server(pluginserver.Server):
    """The server of a volume driver."""

    def __init__(self, driver: Driver, path: Path) -> None:
        self.driver = driver
        super().__init__(volume_service(driver), path)


def serve(driver: Driver, path: Path, make: type[Server] = Server) -> None:
    """Answer calls until SIGTERM or SIGINT, then close the driver."""
    pluginserver.run_server(lambda: make(driver, path), path, driver.close)
