# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import io

import pytest

from plugind.ctl import screen


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("widths", "columns", "cut", "fitted"),
    [
        ([4, 4], 80, [0, 1], [4, 4]),
        ([40, 50], 80, [0, 1], [38, 39]),
        ([40, 50], 80, [1], [40, 37]),
        ([40, 50], 80, [], [40, 50]),
        ([40, 50], 10, [0, 1], [8, 8]),
    ],
)
def test_the_widest_column_gives_way(
    widths: list[int], columns: int, cut: list[int], fitted: list[int]
) -> None:
    assert sorted(screen.fit(widths, columns, cut)) == sorted(fitted)


@pytest.mark.parametrize(
    ("text", "size", "end", "shown"),
    [
        ("short", 8, False, "short"),
        ("registry.example/acme/tool:1", 12, False, "regis\u2026tool:1"),
        ("a long description", 8, True, "a long \u2026"),
    ],
)
def test_a_name_keeps_its_end_and_a_description_its_start(
    monkeypatch: pytest.MonkeyPatch, text: str, size: int, end: bool, shown: str
) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert screen.shorten(text, size, end=end) == shown
    assert len(shown) <= size


def test_where_there_is_no_ellipsis_there_are_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert screen.shorten("registry.example", 8) == "re...ple"


@pytest.mark.parametrize(
    ("stream", "environment", "coloured", "moves"),
    [
        (Terminal(), {"TERM": "xterm"}, True, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        (Terminal(), {"TERM": "dumb"}, False, False),
        (Terminal(), {}, False, False),
        (io.StringIO(), {"TERM": "xterm"}, False, False),
    ],
)
def test_colour_is_for_those_who_see_it(
    stream: io.StringIO, environment: dict[str, str], coloured: bool, moves: bool
) -> None:
    assert screen.coloured(stream, environment) is coloured
    assert screen.moves(stream, environment) is moves


@pytest.mark.parametrize(
    ("stream", "environment", "columns"),
    [
        (io.StringIO(), {"COLUMNS": "40"}, None),
        (Terminal(), {"COLUMNS": "40"}, 40),
        (Terminal(), {"COLUMNS": "wide"}, 80),
    ],
)
def test_how_wide_it_is(
    stream: io.StringIO, environment: dict[str, str], columns: int | None
) -> None:
    assert screen.width(stream, environment) == columns
