# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import base64
import json
import socket
import threading
from pathlib import Path

import pytest

from fakes import unixhttp
from plugind.ctl import http


def test_json_there_and_back(tmp_path: Path) -> None:
    answers = {("POST", "/a"): (200, {"b": 1}), ("DELETE", "/a"): (204, None)}
    with unixhttp.serve(tmp_path / "s", answers) as requests:
        connection = http.connect(f"unix://{tmp_path}/s")
        assert http.request_json(connection, "POST", "/a", {"c": 2}) == {"b": 1}
        assert http.request_json(connection, "DELETE", "/a") is None
        connection.close()
    assert json.loads(requests[0].body) == {"c": 2}
    assert requests[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ((409, {"message": "in use"}), 409, "in use"),
        ((500, b"plain"), 500, "plain"),
        ((502, b""), 502, "502 Bad Gateway"),
        ((200, b"{"), 500, "is not JSON"),
    ],
)
def test_errors_carry_the_servers_words(
    tmp_path: Path, answer: unixhttp.Answer, status: int, message: str
) -> None:
    with unixhttp.serve(tmp_path / "s", {("GET", "/a"): answer}):
        connection = http.connect(f"unix://{tmp_path}/s")
        with pytest.raises(http.Refused, match=message) as caught:
            http.request_json(connection, "GET", "/a")
        connection.close()
    assert caught.value.status == status


def test_a_stream_is_read_line_by_line_and_its_error_raised(tmp_path: Path) -> None:
    lines = b'{"status": "a"}\r\n\r\n{"error": "no such host"}\r\n{"status": "b"}\r\n'
    with unixhttp.serve(tmp_path / "s", {("POST", "/push"): (200, lines)}):
        connection = http.connect(f"unix://{tmp_path}/s")
        stream = http.read_lines(connection, "POST", "/push", {})
        assert next(stream) == {"status": "a"}
        with pytest.raises(http.Refused, match="no such host"):
            next(stream)
        connection.close()


def test_a_body_in_chunks(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    with unixhttp.serve(tmp_path / "s", {("POST", "/create"): (204, None)}) as requests:
        connection = http.connect(f"unix://{tmp_path}/s")
        with http.open_body(connection, "POST", "/create", "application/x-tar") as body:
            for start in range(0, len(content), 100_000):
                body.write(content[start : start + 100_000])
        connection.close()
    assert requests[0].body == content
    assert requests[0].headers["Content-Type"] == "application/x-tar"


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(http.Unreachable, match="systemctl start plugind"):
        http.connect(f"unix://{tmp_path}/plugind.sock")
    with pytest.raises(http.Unreachable, match="is that engine running"):
        http.connect(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(http.Unreachable, match="want unix:///path or tcp://host:port"):
        http.connect("ssh://host")


def test_where_the_socket_is() -> None:
    assert http.agent_socket(None, {}) == "/run/plugind/api.sock"
    assert http.agent_socket(None, {b"PLUGIND_SOCKET": b"/a"}) == "/a"
    assert http.agent_socket("/b", {b"PLUGIND_SOCKET": b"/a"}) == "/b"


def test_credentials_are_spelled_as_docker_spells_them() -> None:
    header = http.registry_auth({"username": "u", "identity_token": "t"})["X-Registry-Auth"]
    decoded = json.loads(base64.urlsafe_b64decode(header))
    assert decoded == {"username": "u", "identitytoken": "t"}


def test_names_in_paths() -> None:
    assert http.quote("r.example:5000/a/b:1") == "r.example:5000/a/b:1"
    assert http.quote("a b?") == "a%20b%3F"


def test_a_stream_that_breaks_off_is_not_taken_for_its_end(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def answer_half(listener: socket.socket) -> None:
        with listener.accept()[0] as client:
            client.recv(65536)
            client.sendall(head + b'10\r\n{"status": "a"}\n\r\n')

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        server = threading.Thread(target=answer_half, args=(listener,))
        server.start()
        connection = http.connect(f"unix://{tmp_path}/s")
        stream = http.read_lines(connection, "POST", "/push", {})
        assert next(stream) == {"status": "a"}
        with pytest.raises(http.Unreachable, match="the connection broke"):
            next(stream)
        connection.close()
        server.join()
