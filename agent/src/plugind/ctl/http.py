# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""HTTP for the operator's client, with the standard library only: importing aiohttp costs 200 ms.

    request_json   one JSON document there, one back
    open_stream    a body sent in chunks (a tar), the answer read as progress lines

A server that cannot be reached is `Unreachable`, whose message says how to start it; an answer
with an error status is `Refused`, with the server's own words.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from plugind.ctl import wire

# A verb that talks HTTP knows this module only.
CONNECT_SECONDS, DEFAULT_SOCKET = wire.CONNECT_SECONDS, wire.DEFAULT_SOCKET
OK, FAILED = wire.OK, wire.FAILED
INVALID, UNREACHABLE = wire.INVALID, wire.UNREACHABLE
Unreachable, Refused = wire.Unreachable, wire.Refused
agent_socket = wire.agent_socket


class UnixHTTPConnection(http.client.HTTPConnection):
    """HTTP over a unix socket. Only connecting is bounded in time: a pull takes what it takes."""

    def __init__(self, path: str) -> None:
        super().__init__("plugind", timeout=CONNECT_SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
        self.sock.settimeout(None)


def agent_url(path: str) -> str:
    """Return the URL of a socket."""
    return f"unix://{path}"


def connect(url: str) -> http.client.HTTPConnection:
    """Open a connection to `unix:///path` or `tcp://host:port`; Unreachable says what is wrong."""
    parts = urllib.parse.urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "unix" and parts.path:
        connection = UnixHTTPConnection(parts.path)
    elif parts.scheme in ("tcp", "http") and parts.hostname:
        connection = http.client.HTTPConnection(
            parts.hostname, parts.port or 2375, timeout=CONNECT_SECONDS
        )
    else:
        raise Unreachable(f'cannot connect to "{url}": want unix:///path or tcp://host:port')
    try:
        connection.connect()
    except OSError as exc:
        connection.close()
        raise Unreachable(wire.unreachable_message(url, exc)) from exc
    if isinstance(connection.sock, socket.socket):
        connection.sock.settimeout(None)
    return connection


def request_json(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    document: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Send `document` as JSON, return the decoded answer (None if it is empty)."""
    body = None if document is None else json.dumps(document).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    with _transport(method, path):
        connection.request(method, path, body=body, headers=sent)
        response = connection.getresponse()
        raw = response.read()
    if response.status >= 300:
        raise Refused(response.status, _words(response, raw))
    return wire.decode(raw, path) if raw.strip() else None


def read_lines(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Send an empty body, yield the lines of a progress stream; an error line raises Refused."""
    response = open_answer(connection, method, path, headers, b"")
    yield from progress_lines(response, method, path)


def progress_lines(
    response: http.client.HTTPResponse, method: str, path: str
) -> Iterator[dict[str, Any]]:
    """Yield the lines of an opened progress stream; an error line raises Refused."""
    for raw in answer_lines(response, method, path):
        if not raw.strip():
            continue
        line = wire.decode(raw, path)
        if line.get("error"):
            raise Refused(500, str(line["error"]))
        yield line


def stream_lines(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Iterator[bytes]:
    """Yield the lines of an answer as they come; Unreachable if it breaks off."""
    response = open_answer(connection, method, path, headers, body)
    yield from answer_lines(response, method, path)


def answer_lines(response: http.client.HTTPResponse, method: str, path: str) -> Iterator[bytes]:
    """Yield the lines of an opened answer as they come; Unreachable if it breaks off."""
    with _transport(method, path):
        rest = b""
        # Not `for line in response`: that takes a broken connection for the end, in silence.
        while piece := response.read1(64 * 1024):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
        if rest:
            yield rest


def open_answer(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> http.client.HTTPResponse:
    """Return an answer of which only the headers have been read; Refused for an error status."""
    with _transport(method, path):
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        if response.status >= 300:
            raise Refused(response.status, _words(response, response.read()))
    return response


class ChunkedBody:
    """A file to write a request's body to, sent in chunks as it comes."""

    def __init__(self, connection: http.client.HTTPConnection, chunk: int = 256 * 1024) -> None:
        self._connection = connection
        self._chunk = chunk
        self._buffer = bytearray()

    def write(self, data: bytes) -> int:
        """Buffer `data`; send whole chunks."""
        self._buffer += data
        while len(self._buffer) >= self._chunk:
            self._send(self._buffer[: self._chunk])
            del self._buffer[: self._chunk]
        return len(data)

    def close(self) -> None:
        """Send what is left, and the end."""
        if self._buffer:
            self._send(self._buffer)
            self._buffer.clear()
        self._connection.send(b"0\r\n\r\n")

    def _send(self, data: bytearray) -> None:
        self._connection.send(b"%x\r\n%b\r\n" % (len(data), bytes(data)))


@contextlib.contextmanager
def open_body(
    connection: http.client.HTTPConnection, method: str, path: str, content_type: str
) -> Iterator[ChunkedBody]:
    """Start a request whose body is written by the caller; the answer is read at the end."""
    body = ChunkedBody(connection)
    with _transport(method, path):
        connection.putrequest(method, path)
        connection.putheader("Content-Type", content_type)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        # A server that refuses early closes the connection; what it said is still to be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            yield body
            body.close()
        response = connection.getresponse()
        raw = response.read()
    if response.status >= 300:
        raise Refused(response.status, _words(response, raw))


def registry_auth(credentials: Mapping[str, str] | None) -> dict[str, str]:
    """Return the X-Registry-Auth header; an empty one if there are no credentials."""
    document = {name.replace("_", ""): value for name, value in (credentials or {}).items()}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(document).encode()).decode()}


def quote(name: str) -> str:
    """Quote a plugin's name for a path; `/` and `:` stay, as every client leaves them."""
    return urllib.parse.quote(name, safe="/:")


@contextlib.contextmanager
def _transport(method: str, path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as exc:
        cause = str(exc) or type(exc).__name__
        raise Unreachable(f"cannot {method} {path}: the connection broke: {cause}") from exc


def _words(response: http.client.HTTPResponse, raw: bytes) -> str:
    return wire.error_message(f"{response.status} {response.reason}", raw)
