# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A small volume plugin: in the test's own process, or as a program in a real container.

It is configured through its environment, which is what a plugin has:

    PLUGIN_SOCKET      the socket's name below /run/docker/plugins; default plugin.sock
    PLUGIN_DATA        where it says that its volumes are; default /data
    PLUGIN_OUTPUT      printed at the start; `|` separates lines, a leading `!` means stderr
    PLUGIN_BEHAVIOUR   words separated by `;`:
        silent           never listens
        exit=N           prints, and ends with status N without listening
        stubborn         ignores SIGTERM
        garbage          answers with something that is not JSON
        hang=METHOD      never answers METHOD (`VolumeDriver.Mount`)
        wait=METHOD      answers METHOD once `go_on` is called
        fail=METHOD:TEXT answers METHOD with `Err`
        refuse=TEXT      answers what is about a volume with TEXT in its name with `Err`
        drop=METHOD      closes the connection instead of answering METHOD
        answer=METHOD:STATUS:TEXT  answers METHOD with exactly that

Standard library only, and old Python too: the container has the host's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RUNTIME_DIR = "/run/docker/plugins"


class VolumePlugin:
    """The plugin's state and behaviour. `data` is where `PLUGIN_DATA` really is, if anywhere."""

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        volumes: dict[str, dict[str, Any]] | None = None,
        data: Path | None = None,
        say: Callable[[str, str], None],
    ) -> None:
        self.socket_name = env.get("PLUGIN_SOCKET", "plugin.sock").lstrip("/")
        self.inner = env.get("PLUGIN_DATA", "/data").rstrip("/")
        self.volumes = {} if volumes is None else volumes
        self.mounts: dict[str, list[str]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.headers: list[str] = []
        self.behaviour = env.get("PLUGIN_BEHAVIOUR", "")
        self.waiting: list[asyncio.Future[None]] = []
        self._output = env.get("PLUGIN_OUTPUT", "")
        self._data = data
        self._say = say
        self._writers: list[asyncio.StreamWriter] = []
        self._handling: set[asyncio.Future[None]] = set()
        self._aborted = False

    def words(self, word: str) -> list[str]:
        """Return the values that `word` has in the behaviour; [""] for a bare word."""
        found = [part.strip().partition("=") for part in self.behaviour.split(";")]
        return [value for name, _, value in found if name == word]

    def begin(self) -> int | None:
        """Print what is to be printed; return the status to end with at once, None to serve."""
        for line in self._output.split("|") if self._output else []:
            self._say("stderr" if line.startswith("!") else "stdout", line.lstrip("!"))
        statuses = self.words("exit")
        return int(statuses[0]) if statuses else None

    async def serve(self, directory: Path) -> asyncio.AbstractServer | None:
        """Listen, unless told to be silent."""
        if self.words("silent"):
            return None
        path = directory / self.socket_name
        if path.exists():
            path.unlink()
        return await asyncio.start_unix_server(self._connected, str(path))

    def go_on(self) -> None:
        """Let what waits be answered."""
        for waiter in self.waiting:
            waiter.set_result(None)
        self.waiting.clear()

    def abort(self) -> None:
        """Cut every connection, as the kernel does when a process dies; those that still come, too."""
        self._aborted = True
        for writer in self._writers:
            writer.transport.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._aborted:
            writer.transport.abort()
            return
        self._writers.append(writer)
        handling = asyncio.ensure_future(self._handle(reader, writer))
        self._handling.add(handling)
        handling.add_done_callback(self._handling.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.headers.append(head)
            answer = await self._answer(lines[0].split(" ")[1].lstrip("/"), body)
            if answer is not None:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a probe: connected, and gone again
        finally:
            self._writers.remove(writer)
            writer.close()

    async def _answer(self, method: str, body: bytes) -> bytes | None:
        arguments = json.loads(body) if body.strip() else {}
        self.calls.append((method, arguments))
        if method in self.words("hang"):
            await asyncio.get_running_loop().create_future()
        if method in self.words("wait"):
            self.waiting.append(asyncio.get_running_loop().create_future())
            await self.waiting[-1]
        if method in self.words("drop"):
            return None
        if self.words("garbage"):
            return _reply(200, b"<html>this is not the protocol</html>")
        for value in self.words("answer"):
            answered, status, text = value.split(":", 2)
            if answered == method:
                return _reply(int(status), text.encode())
        for value in self.words("fail"):
            failing, _, text = value.partition(":")
            if failing == method:
                return _json({"Err": text})
        if any(text in arguments.get("Name", "") for text in self.words("refuse")):
            return _json({"Err": "no"})
        handler = getattr(self, "_" + method.rpartition(".")[2].lower(), None)
        if handler is None:
            return _reply(404, b"404 page not found\n")
        return _json(handler(arguments))

    def _activate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"Implements": ["VolumeDriver"]}

    def _capabilities(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"Capabilities": {"Scope": "local"}}

    def _create(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.volumes.setdefault(arguments["Name"], dict(arguments.get("Opts") or {}))
        return {"Err": ""}

    def _get(self, arguments: dict[str, Any]) -> dict[str, Any]:
        name = arguments["Name"]
        if name not in self.volumes:
            return {"Err": f"volume {name} not found"}
        return {"Volume": self._shown(name), "Err": ""}

    def _list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"Volumes": [self._shown(name) for name in sorted(self.volumes)], "Err": ""}

    def _remove(self, arguments: dict[str, Any]) -> dict[str, Any]:
        name = arguments["Name"]
        if name not in self.volumes:
            return {"Err": f"volume {name} not found"}
        if self.mounts.get(name):
            return {"Err": f"volume {name} is mounted"}
        del self.volumes[name]
        return {"Err": ""}

    def _path(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"Mountpoint": self._mountpoint(arguments["Name"]), "Err": ""}

    def _mount(self, arguments: dict[str, Any]) -> dict[str, Any]:
        name = arguments["Name"]
        if name not in self.volumes:
            return {"Err": f"volume {name} not found"}
        self.mounts.setdefault(name, []).append(arguments["ID"])
        if self._data is not None:
            (self._data / name).mkdir(parents=True, exist_ok=True)
        return {"Mountpoint": self._mountpoint(name), "Err": ""}

    def _unmount(self, arguments: dict[str, Any]) -> dict[str, Any]:
        holders = self.mounts.get(arguments["Name"], [])
        if arguments["ID"] in holders:
            holders.remove(arguments["ID"])
        return {"Err": ""}

    def _mountpoint(self, name: str) -> str:
        return f"{self.inner}/{name}" if self.mounts.get(name) else ""

    def _shown(self, name: str) -> dict[str, Any]:
        return {
            "Name": name,
            "Mountpoint": self._mountpoint(name),
            "CreatedAt": "2026-01-02T03:04:05Z",
            "Status": {"options": self.volumes[name]},
        }


def _json(document: Any) -> bytes:
    return _reply(200, json.dumps(document).encode() + b"\n")


def _reply(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


async def _main() -> int:
    def say(stream: str, line: str) -> None:
        print(line, file=sys.stderr if stream == "stderr" else sys.stdout, flush=True)

    plugin = VolumePlugin(os.environ, data=Path(os.environ.get("PLUGIN_DATA", "/data")), say=say)
    told = asyncio.Event()
    ignore = bool(plugin.words("stubborn"))
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, (lambda: None) if ignore else told.set
    )
    status = plugin.begin()
    if status is not None:
        return status
    server = await plugin.serve(Path(RUNTIME_DIR))
    await told.wait()
    if server is not None:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
