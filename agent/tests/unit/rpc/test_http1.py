# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Heads as plugins send them, and those that two readers could read in two ways."""

from __future__ import annotations

import pytest

from plugind.rpc import http1
from plugind.rpc.http1 import Framing


def parse(text: str) -> http1.Head:
    found = http1.split_head(text.encode("latin-1"))
    assert found is not None
    return http1.parse_head(found[0])


def test_a_request() -> None:
    assert http1.render_request("X.Y", b"{}\n") == (
        b"POST /X.Y HTTP/1.1\r\nHost: plugin.moby.localhost\r\n"
        b"Accept: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: 3\r\n\r\n{}\n"
    )


@pytest.mark.parametrize(
    ("text", "framing", "length", "keeps"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Framing.LENGTH, 7, True),
        ("HTTP/1.1 200\r\nContent-Length: 7, 7\r\n\r\n", Framing.LENGTH, 7, True),
        ("HTTP/1.1 200 \nCONTENT-LENGTH:7\nContent-Length: 7\n\n", Framing.LENGTH, 7, True),
        ("HTTP/1.1 204 X\r\n\r\n", Framing.NONE, 0, True),
        ("HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", Framing.NONE, 0, True),
        ("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", Framing.CHUNKED, 0, True),
        ("HTTP/1.1 200 X\r\n\r\n", Framing.CLOSE, 0, False),
        ("HTTP/1.0 200 X\r\nContent-Length: 1\r\n\r\n", Framing.LENGTH, 1, False),
    ],
)
def test_where_a_body_ends(text: str, framing: Framing, length: int, keeps: bool) -> None:
    head = parse(text)
    assert (head.framing, head.length, head.keeps_alive) == (framing, length, keeps)


def test_fields() -> None:
    head = parse("HTTP/1.1 500 X\r\nContent-Type:\ttext/plain \r\nA: \xe9\r\n\r\n")
    assert head.status == 500
    assert head.content_type == "text/plain"
    assert head.fields["a"] == "\xe9"
    assert parse("HTTP/1.1 200 X\r\n\r\n").content_type == ""


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 20 X\r\n\r\n",
        "HTTP/1.1 2000 X\r\n\r\n",
        "HTTP/1.9 200 X\r\n\r\n",
        "HTTP/1.1  200 X\r\n\r\n",
        "HTTP/1.1 200 X\r\nno field\r\n\r\n",
        "HTTP/1.1 200 X\r\n: y\r\n\r\n",
        "HTTP/1.1 200 X\r\nA : y\r\n\r\n",
        "HTTP/1.1 200 X\r\n folded: before any\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Length: 1_0\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Length: \xb2\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 X\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(http1.Broken):
        parse(text)


@pytest.mark.parametrize(
    "text", [b"SSH-2.0", b"X", b"HTTP/2 200\r\n\r\n", b"\r\nHTTP/1.1 200\r\n\r\n"]
)
def test_what_is_no_http_is_known_by_its_first_bytes(text: bytes) -> None:
    with pytest.raises(http1.Broken, match="is no status line"):
        http1.split_head(text)


def test_a_head_comes_in_pieces() -> None:
    whole = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}"
    end = whole.index(b"{}")
    for size in range(end + 1):
        found = http1.split_head(whole[:size], max(0, size - 1))
        assert (found and found[1]) == (None if size < end else end)
        assert found is None or http1.parse_head(found[0]).fields == {"a": "b"}


def test_a_head_without_end() -> None:
    endless = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000
    for text in (endless, endless + b"\r\n"):
        with pytest.raises(http1.Broken, match="more than 262144 bytes"):
            http1.split_head(text)


@pytest.mark.parametrize(("line", "size"), [(b"0", 0), (b"1f", 31), (b"A \t;x=y", 10)])
def test_sizes_of_chunks(line: bytes, size: int) -> None:
    assert http1.parse_chunk_size(line) == size


@pytest.mark.parametrize("line", [b"", b"-1", b"0x1", b" 1", b"1 1", b"f" * 16, b"1_0"])
def test_sizes_that_are_none(line: bytes) -> None:
    with pytest.raises(http1.Broken):
        http1.parse_chunk_size(line)
