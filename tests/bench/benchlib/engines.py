# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""plugind and dockerd side by side: each on a journaled file system of its own, both called through their API.

with engines.both() as sides:
    sides["ours"].call("GET", "/plugins"); sides["peer"].call("GET", "/plugins")
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from benchlib import disk, plugins
from benchlib.figures import timed
from plugind.ctl import http, pack
from support import daemon, dockerd

PROGRAMS = ("conmon", "containerd", "dockerd", "mkfs.ext4", "pigz", "runc")
_AUTH = {"X-Registry-Auth": base64.urlsafe_b64encode(b"{}").decode()}


@dataclass(frozen=True)
class Side:
    """One engine. `blobs` is where it keeps what it has pulled or created."""

    url: str
    directory: Path
    blobs: Path

    def call(self, method: str, path: str, document: object = None) -> Any:
        """One request with a JSON answer, on a connection of its own as a client's is."""
        with self._connection() as connection:
            return http.request_json(connection, method, path, document)

    def create(self, name: str, directory: Path) -> float:
        """plugin create; milliseconds from the first byte of the tar, which is ready by then, to the answer."""
        with tempfile.TemporaryFile() as packed:
            pack.write_tar(directory, packed)
            packed.seek(0)
            return timed(lambda: self._create(name, packed))

    def _create(self, name: str, packed: IO[bytes]) -> None:
        with self._connection() as connection:
            path = f"/plugins/create?name={name}"
            with http.open_body(connection, "POST", path, "application/x-tar") as body:
                shutil.copyfileobj(packed, body, 1 << 18)

    def push(self, name: str) -> None:
        """plugin push, to a registry that wants no credentials."""
        self._follow(f"/plugins/{quote(name, safe='')}/push", b"")

    def pull(self, remote: str, name: str) -> None:
        """plugin pull with all that the benchmarks' plugin asks for, to its end."""
        body = json.dumps(plugins.privileges()).encode()
        self._follow(f"/plugins/pull?remote={quote(remote)}&name={name}", body)

    def enable(self, name: str) -> None:
        """plugin enable."""
        self.call("POST", f"/plugins/{name}/enable?timeout=30")

    def remove(self, name: str) -> None:
        """plugin rm, enabled or not."""
        self.call("DELETE", f"/plugins/{name}?force=true")

    def fill(self, plugin: Path, count: int) -> None:
        """Have `count` enabled plugins, `bench0` and on, all enabled at once."""
        there = len(self.call("GET", "/plugins"))
        names = [f"bench{number}" for number in range(there, count)]
        for name in names:
            plugins.change(plugin, f"{name} {self.url}")
            self.create(name, plugin)
        with futures.ThreadPoolExecutor(count) as pool:
            list(pool.map(self.enable, names))

    def clear(self) -> None:
        """Remove all volumes and plugins."""
        for volume in self.call("GET", "/volumes")["Volumes"] or ():
            self.call("DELETE", f"/volumes/{volume['Name']}")
        for plugin in self.call("GET", "/plugins"):
            self.remove(plugin["Name"])

    def blob_bytes(self) -> int:
        """Size of the largest blob: the layer of the only plugin that there is."""
        return max(path.stat().st_size for path in self.blobs.iterdir())

    def _follow(self, path: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json", **_AUTH}
        with self._connection() as connection:
            for line in http.stream_lines(connection, "POST", path, headers, body):
                if line.strip() and (error := json.loads(line).get("error")):
                    raise SystemExit(f"{self.url}: {path}: {error}")

    def settle(self) -> None:
        """Return when all that the engine has written so far is on its disk."""
        disk.make_durable(self.directory)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        connection = http.connect(self.url)
        try:
            yield connection
        finally:
            connection.close()


def require(*more: str) -> None:
    """End with a message if something is missing here."""
    daemon.require(*PROGRAMS, *more)


def ours(agent: daemon.Agent) -> Side:
    """The agent as a side."""
    return Side(agent.url, agent.root.parent, agent.root / "blobs" / "sha256")


def peer(url: str, directory: Path) -> Side:
    """A dockerd as a side."""
    return Side(url, directory, directory / "data" / "plugins" / "storage" / "blobs" / "sha256")


@contextlib.contextmanager
def both() -> Iterator[dict[str, Side]]:
    """Run both, each on a disk of its own."""
    with disk.journaled() as one, disk.journaled() as other:
        beside = other / "peer"
        with daemon.run(one / "ours") as agent, dockerd.running(beside) as url:
            yield {"ours": ours(agent), "peer": peer(url, beside)}
