# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One JSON document to the agent and one back, with next to nothing imported: an Ansible task waits for it.

`http.client` costs 25 ms (it imports email and ssl), `typing` and `pathlib` ten more; `socket` itself (enum,
selectors) and `json` (re) as much again as all the rest of `pipe`, and `os` one, if nothing else has imported it.
So what they stand on is used here, and `json` imported where something is decoded. What other verbs need of HTTP is
in `http`, which stands on this.
"""

from __future__ import annotations

import _socket
import posix

# As in typing, which is not imported for it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_SOCKET = "/run/plugind/api.sock"
CONNECT_SECONDS = 10.0
#: Exit codes of every verb.
OK, FAILED, INVALID, UNREACHABLE = 0, 1, 2, 3


class Unreachable(Exception):
    """Nobody answers at that address."""


class Refused(Exception):
    """The server answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def agent_socket(given: str | None, environment: Mapping[bytes, bytes] = posix.environ) -> str:
    """Return the path of the agent's socket: as given, from the environment, or the default."""
    named = environment.get(b"PLUGIND_SOCKET", b"").decode(errors="surrogateescape")
    return given or named or DEFAULT_SOCKET


def post_json(socket_path: str, path: str, document: Any) -> dict[str, Any]:
    """Post a document to the agent and return its answer, a JSON object; see `post`."""
    import json

    return decode_object(post(socket_path, path, json.dumps(document).encode()), path)


def post(socket_path: str, path: str, body: bytes) -> bytes:
    """Post a JSON text to the agent and return the text of its answer.

    Unreachable if nobody listens or the connection breaks, Refused for an error status.
    """
    # In HTTP/1.0 the answer comes in one piece and ends with the connection.
    head = (
        f"POST {path} HTTP/1.0\r\nHost: plugind\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection = _connect(socket_path)
    try:
        status, raw = _exchange(connection, head.encode() + body, path)
    finally:
        connection.close()
    if int(status[:3]) >= 300:
        raise Refused(int(status[:3]), error_message(status, raw))
    return raw


def _connect(path: str) -> _socket.socket:
    """Connect to a unix socket; Unreachable says what is wrong. Only connecting is bounded in time."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(CONNECT_SECONDS)
    try:
        connection.connect(path)
    except OSError as exc:
        connection.close()
        raise Unreachable(unreachable_message(f"unix://{path}", exc)) from exc
    connection.settimeout(None)
    return connection


def unreachable_message(url: str, exc: OSError) -> str:
    """Say that nobody answers there, and what to do."""
    cause = exc.strerror or str(exc)
    hint = (
        "start it with `systemctl start plugind`, or see `journalctl -u plugind` why it ended; "
        "`plugind doctor` says what this host lacks"
    )
    if isinstance(exc, PermissionError):
        hint = (
            "run this with sudo, or join the group plugind: "
            "`usermod -aG plugind USER`, then log in again"
        )
    if not url.endswith(".sock") or "plugind" not in url:
        hint = "is that engine running?"
    return f"cannot connect to {url}: {cause}; {hint}"


def error_message(status: str, raw: bytes) -> str:
    """The server's own words for an error; without any, its status (`502 Bad Gateway`)."""
    import json

    try:
        return str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        return raw.decode(errors="replace").strip() or status


def decode(raw: bytes, path: str) -> Any:
    """Decode an answer to `path`; Refused if it is not JSON."""
    import json

    try:
        return json.loads(raw)
    except ValueError as exc:
        raise Refused(500, f"cannot read the answer to {path}: it is not JSON: {exc}") from exc


def decode_object(raw: bytes, path: str) -> dict[str, Any]:
    """Decode an answer to `path` that is to be a JSON object; Refused if it is not."""
    answer = decode(raw, path)
    if not isinstance(answer, dict):
        raise Refused(500, f"cannot read the answer to {path}: it is not a JSON object")
    return answer


def _exchange(connection: _socket.socket, request: bytes, path: str) -> tuple[str, bytes]:
    """Send a request, return the status and the body of the answer."""
    received = bytearray()
    try:
        # A server that refuses early closes. What it said is still to be read, and then, if it left
        # a part of the request unread, that the connection was reset.
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while piece := connection.recv(1 << 18):
                received += piece
        except ConnectionResetError:
            if not received:
                raise
        return _parse(bytes(received))
    except OSError as exc:
        raise Unreachable(f"cannot POST {path}: the connection broke: {exc}") from exc


def _parse(answer: bytes) -> tuple[str, bytes]:
    head, end, body = answer.partition(b"\r\n\r\n")
    version, _, status = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
    if not end or len(body) < int(length if length.isdigit() else 0):
        raise OSError(f"it ended after {len(answer)} bytes")
    if not version.startswith("HTTP/1.") or not status[:3].isdecimal():
        raise OSError("it does not speak HTTP")
    return status, body
