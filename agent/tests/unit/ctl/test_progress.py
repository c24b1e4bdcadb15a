# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import io
from typing import Any

import pytest

from plugind.ctl import progress

LINES: list[dict[str, Any]] = [
    {"status": "Digest: sha256:0"},
    {"status": "Waiting", "progressDetail": {}, "id": "a"},
    {"status": "Waiting", "progressDetail": {}, "id": "b"},
    {"status": "Downloading", "progressDetail": {"current": 50, "total": 100}, "id": "a"},
    {"status": "Downloading", "progressDetail": {"current": 60, "total": 100}, "id": "a"},
    {"status": "Pull complete", "progressDetail": {}, "id": "a"},
    {"aux": {}},
]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_a_line_for_each_change() -> None:
    stream = io.StringIO()
    progress.Progress(stream).show(LINES)
    assert stream.getvalue().splitlines() == [
        "Digest: sha256:0",
        "a: Waiting",
        "b: Waiting",
        "a: Downloading",
        "a: Pull complete",
    ]


def test_a_terminal_has_one_line_for_each_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    progress.Progress(stream).show(LINES)
    said = stream.getvalue()
    assert said.count("\n") == 3
    # Two up, because b stands below a; and back.
    assert (
        "\033[2A\r\033[2Ka  Downloading    [============>           ]  50 B / 100 B\033[2B\r"
        in said
    )
    assert "\033[2A\r\033[2Ka  Pull complete\033[2B\r" in said
    assert all(len(part.partition("\033")[0]) < 60 for part in said.split("\033[2K"))


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ({}, ""),
        ({"current": 2_500_000}, "2.5 MB"),
        ({"current": 100, "total": 100}, "[========================]  100 B / 100 B"),
        ({"current": 0, "total": 1000}, "[>                       ]  0 B / 1.0 kB"),
        ({"current": 200, "total": 100}, "[========================]  200 B / 100 B"),
    ],
)
def test_how_far_it_is(detail: dict[str, int], shown: str) -> None:
    assert progress.bar(detail) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (52_428_800, "52.4 MB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert progress.size(count) == shown
