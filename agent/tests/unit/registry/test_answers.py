# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a registry's error answers mean."""

from __future__ import annotations

import json

import pytest

from plugind import errors
from plugind.registry import answers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.System),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.System),
        (405, errors.System),
        (416, errors.System),
        (429, errors.Unavailable),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
        (599, errors.Unavailable),
        (302, errors.System),
    ],
)
def test_categories(status: int, kind: type[errors.PlugindError]) -> None:
    error = answers.compute_error(status, b"", "fetch it", "example.org")
    assert type(error) is kind
    assert str(error).startswith(f'cannot fetch it: registry "example.org" says: {status}')


def document(*found: object) -> bytes:
    return json.dumps({"errors": list(found)}).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "429 Too Many Requests"),
        (document(), "429 Too Many Requests"),
        (document({"code": "TOOMANYREQUESTS", "message": "slow down"}), ": slow down"),
        (document({"code": "DENIED"}), ": DENIED"),
        (document({"message": "a"}, {"message": "b"}), ": a; b"),
        (document({"message": "a", "detail": "why"}), ": a (why)"),
        (document({"message": "a", "detail": {"x": 1}}), ": a"),
        (b"slow down", ": slow down"),
        (b"two\nlines", "429 Too Many Requests"),
        (b"<html>busy</html>", "429 Too Many Requests"),
        (b'{"errors": 1}', ': {"errors": 1}'),
        (b'{"errors": [1]}', ': {"errors": [1]}'),
        (b"\xff\xfe", ": \ufffd\ufffd"),
        (document({"message": "a\x1b[31m\r\nb"}), ": a [31m  b"),
    ],
)
def test_the_registrys_own_words(body: bytes, reason: str) -> None:
    rendered = answers.render_reason(429, body)
    assert rendered.endswith(reason)
    assert rendered.startswith("429 Too Many Requests")


def test_an_unregistered_status() -> None:
    assert answers.render_reason(599, b"") == "599"


def test_words_have_a_limit() -> None:
    assert len(answers.render_reason(500, b"x" * 100_000)) < 1100


def test_deep_nesting_is_only_text() -> None:
    assert answers.render_reason(500, b"[" * 100_000).startswith("500 Internal Server Error: [")
