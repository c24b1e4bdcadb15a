# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from plugind.model.images import document as image_document


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T00:00:10.999999999Z", 10),
        ("1970-01-01t02:00:10.5+02:00", 10),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("", 0),
        ("yesterday", 0),
        ("2024-13-01T00:00:00Z", 0),
        ("2024-01-01T00:00:00", 0),
        ("2024-01-01T00:00:00+99:00", 0),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert image_document.unix_time(text) == seconds


@pytest.mark.parametrize(
    ("document", "comment"),
    [
        ({}, ""),
        ({"comment": "own", "history": [{"comment": "other"}]}, "own"),
        ({"history": [{"comment": "first"}, {"comment": "last"}]}, "last"),
        ({"history": [{"comment": "first"}, {}]}, ""),
        ({"history": []}, ""),
        ({"history": "x"}, ""),
        ({"history": ["x"]}, ""),
    ],
)
def test_comments(document: dict[str, Any], comment: str) -> None:
    assert image_document.comment_of(document) == comment
