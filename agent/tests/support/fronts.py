# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A consumer of front sockets that says exactly what a test wants it to say.

answer = await fronts.post(path, "VolumeDriver.Get", {"Name": "v"})
answer.status, answer.document, answer.headers
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from plugind.rpc import dial

#: What dockerd sends: no Content-Type.
DOCKERD = "Host: plugin.moby.localhost\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n"
PODMAN = "Host: plugin\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\n"
#: The one id that Podman has for all its mounts.
PODMAN_ID = "2f73349cfc4630255319c6c8dfc1b46a8996ace9d14d8e07563b165915918ec2"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.content)


async def connect(path: PurePath) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, also where the path is longer than a socket's may be."""
    with dial.address(path) as address:  # type: ignore[arg-type]
        return await asyncio.open_unix_connection(address)


async def post(
    path: PurePath, method: str, body: Any = None, *, headers: str = DOCKERD, verb: str = "POST"
) -> Answer:
    """Send a request on a connection of its own; bytes go as they are, anything else as JSON."""
    content = (
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    reader, writer = await connect(path)
    head = f"{verb} /{method} HTTP/1.1\r\n{headers}Content-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    try:
        return await read(reader)
    finally:
        writer.close()


async def read(reader: asyncio.StreamReader) -> Answer:
    """Read one answer with a length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    content = await reader.readexactly(int(fields["content-length"]))
    return Answer(int(lines[0].split(" ")[1]), fields, content)
