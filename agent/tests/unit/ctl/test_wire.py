# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from fakes import unixhttp
from plugind.ctl import wire


def answer(place: Path, said: bytes) -> dict[str, object]:
    """What `post_json` makes of a server that reads a little, says this and closes."""
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return wire.post_json(str(path), "/a", {})
        finally:
            thread.join()


def test_a_document_there_and_one_back(tmp_path: Path) -> None:
    large = {"text": "x" * 1_000_000}
    with unixhttp.serve(tmp_path / "s", {("POST", "/a"): (200, large)}) as requests:
        assert wire.post_json(str(tmp_path / "s"), "/a?b=1", large) == large
    assert requests[0].path == "/a?b=1"
    assert len(requests[0].body) > 1_000_000


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ((400, {"message": "no"}), 400, "^no$"),
        ((503, b""), 503, "^503 Service Unavailable$"),
        ((200, b"<html>"), 500, "it is not JSON"),
        ((200, []), 500, "it is not a JSON object"),
    ],
)
def test_what_is_refused(tmp_path: Path, answer: object, status: int, message: str) -> None:
    with unixhttp.serve(tmp_path / "s", {("POST", "/a"): answer}):
        with pytest.raises(wire.Refused, match=message) as caught:
            wire.post_json(str(tmp_path / "s"), "/a", {})
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "it ended after 0 bytes|reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "it ended after 27 bytes|reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", "it ended after 40 bytes|reset"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "it does not speak HTTP|reset"),
    ],
)
def test_an_answer_that_breaks_off(tmp_path: Path, said: bytes, message: str) -> None:
    with pytest.raises(wire.Unreachable, match=message):
        answer(tmp_path, said)


@pytest.mark.parametrize("read", [0, 1])
def test_a_refusal_that_comes_before_the_document_is_sent(tmp_path: Path, read: int) -> None:
    path = tmp_path / "s"
    # More than the connection holds: when it is sent, the client has given up sending, and reads.
    message = b"too large" + b"." * 1_000_000
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(read)  # what has come beside that is left unread
                connection.shutdown(socket.SHUT_RD)
                connection.sendall(b'HTTP/1.1 413 Too Large\r\n\r\n{"message": "%s"}' % message)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(wire.Refused, match="too large"):
            wire.post_json(str(path), "/a", {"text": "x" * 10_000_000})
        thread.join()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(wire.Unreachable, match="systemctl start plugind"):
        wire.post_json(str(tmp_path / "plugind.sock"), "/a", {})
