# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A volume driver that keeps names in memory and listens as early as Python can."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket

SOCKET = "/run/docker/plugins/bench.sock"
VOLUMES: set[str] = set()


def answer(method: str, name: str) -> dict[str, object]:
    """What a volume driver says."""
    if method == "Plugin.Activate":
        return {"Implements": ["VolumeDriver"]}
    if method == "VolumeDriver.Capabilities":
        return {"Capabilities": {"Scope": "local"}}
    if method == "VolumeDriver.List":
        return {"Volumes": [{"Name": each, "Mountpoint": ""} for each in sorted(VOLUMES)]}
    if method == "VolumeDriver.Create":
        VOLUMES.add(name)
    elif name not in VOLUMES:
        return {"Err": "no such volume"}
    elif method == "VolumeDriver.Remove":
        VOLUMES.remove(name)
    elif method == "VolumeDriver.Get":
        return {"Volume": {"Name": name, "Mountpoint": "", "Status": {}}}
    return {"Err": ""}


def reply(head: bytes, body: bytes) -> bytes:
    """One HTTP answer."""
    method = head.split(b" ", 2)[1].decode().lstrip("/")
    said = answer(method, (json.loads(body or b"{}") or {}).get("Name", ""))
    status = "500 Internal Server Error" if said.get("Err") else "200 OK"
    content = json.dumps(said).encode()
    fields = f"Content-Type: application/json\r\nContent-Length: {len(content)}"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + content


def serve() -> None:
    """Answer on every connection, for ever."""
    # The first process of a pid namespace ends by no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(SOCKET)
    listener.listen(64)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    received: dict[socket.socket, bytes] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                selector.register(connection, selectors.EVENT_READ)
                received[connection] = b""
                continue
            connection = key.fileobj
            data = connection.recv(65536)
            if not data:
                selector.unregister(connection)
                connection.close()
                del received[connection]
                continue
            received[connection] = take(connection, received[connection] + data)


def take(connection: socket.socket, data: bytes) -> bytes:
    """Answer the requests that are complete; return what is left. Bodies may be chunked."""
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        fields = head.lower()
        if b"transfer-encoding: chunked" in fields:
            if not rest.endswith(b"0\r\n\r\n"):
                return data
            body, data = dechunked(rest), b""
        else:
            length = int(fields.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(rest) < length:
                return data
            body, data = rest[:length], rest[length:]
        connection.sendall(reply(head, body))
    return data


def dechunked(rest: bytes) -> bytes:
    """The body out of its chunks."""
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return body
        body, rest = body + rest[:length], rest[length + 2 :]


if __name__ == "__main__":
    serve()
