# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The example plugins are no package: their directories go on the path, as in their rootfs."""

from __future__ import annotations

import http.client
import importlib.util
import json
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "plugins"
FAULTY = ROOT / "agent" / "tests" / "system" / "plugins" / "faulty"

# Plugins bring their own Python along; the oldest Python of a target has nothing to do with them.
if sys.version_info < (3, 11):
    collect_ignore_glob = ["*"]

sys.path[:0] = [
    str(EXAMPLES), *(str(EXAMPLES / name) for name in ("common", "sshfs", "linelog"))
]  # fmt: skip

Call = Callable[..., "tuple[int, dict[str, Any]]"]


def load(name: str, path: Path) -> ModuleType:
    """A module under a name of our choice, for "driver" and "build" are anybody's."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    return load("examples_build", EXAMPLES / "build.py")


@pytest.fixture(scope="session")
def localdir() -> ModuleType:
    return load("examples_localdir", EXAMPLES / "localdir" / "driver.py")


@pytest.fixture(scope="session")
def denylist() -> ModuleType:
    return load("examples_denylist", EXAMPLES / "denylist" / "driver.py")


@pytest.fixture(scope="session")
def gauges() -> ModuleType:
    return load("examples_gauges", EXAMPLES / "gauges" / "driver.py")


@pytest.fixture(scope="session")
def linelog() -> ModuleType:
    return load("examples_linelog", EXAMPLES / "linelog" / "driver.py")


@pytest.fixture(scope="session")
def localbridge() -> ModuleType:
    return load("examples_localbridge", EXAMPLES / "localbridge" / "driver.py")


@pytest.fixture(scope="session")
def localpool() -> ModuleType:
    return load("examples_localpool", EXAMPLES / "localpool" / "driver.py")


@pytest.fixture(scope="session")
def faulty(localdir: ModuleType) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "driver", localdir)
        yield load("examples_faulty", FAULTY / "faults.py")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for that of a socket (108 bytes in all)."""
    with tempfile.TemporaryDirectory(prefix="ex-") as name:
        yield Path(name)


@pytest.fixture
def serving(short: Path) -> Iterator[Callable[..., UnixConnection]]:
    """serving(driver) starts the real server in this process; answers a connection to it.

    With a Service, make is pluginserver.Server.
    """
    import pluginserver
    import volumeplugin

    servers: list[pluginserver.Server] = []
    connections: list[UnixConnection] = []

    def serve(driver: Any, make: type = volumeplugin.Server) -> UnixConnection:
        path = short / f"{len(servers)}.sock"
        server = make(driver, path)
        servers.append(server)
        server.start()
        connections.append(UnixConnection(path))
        return connections[-1]

    yield serve
    for connection in connections:
        connection.close()
    for server in servers:
        server.stop()


@pytest.fixture
def ask() -> Call:
    """ask(connection, "Mount", Name="v", ID="1") -> (status, document)."""

    def call(
        connection: UnixConnection, method: str, **arguments: Any
    ) -> tuple[int, dict[str, Any]]:
        path = method if "." in method else f"VolumeDriver.{method}"
        connection.request("POST", f"/{path}", body=json.dumps(arguments))
        with closing(connection.getresponse()) as response:
            return response.status, json.loads(response.read())

    return call
