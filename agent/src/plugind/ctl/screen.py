# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What verbs print: JSON, tables that fit a terminal, colour where somebody sees it.

A pipe gets every table whole and without colour; a terminal has it cut to its width. NO_COLOR and
TERM=dumb are respected.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

BOLD, RED, GREEN, YELLOW = "1", "31", "32", "33"
_GAP = "   "
#: A column is not cut to less than this.
_LEAST = 8
_STATES = {
    "running": GREEN, "mounted": GREEN, "ok": GREEN,
    "starting": YELLOW, "stopping": YELLOW, "backoff": YELLOW, "unmounted": YELLOW, "warn": YELLOW,
    "failed": RED, "stale": RED, "covered": RED, "FAIL": RED,
}  # fmt: skip


def print_json(document: Any) -> None:
    """Print a document for programs, indented for people."""
    print(json.dumps(document, indent=2))


def width(stream: TextIO, environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the columns of the terminal that `stream` is, None if it is none."""
    if not stream.isatty():
        return None
    columns = environment.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def coloured(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """True if escape sequences are for somebody who sees them."""
    plain = environment.get("NO_COLOR") or environment.get("TERM", "") in ("", "dumb")
    return stream.isatty() and not plain


def moves(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """True if lines can be redrawn where they stand."""
    return stream.isatty() and environment.get("TERM", "") not in ("", "dumb")


def paint(text: str, colour: str, stream: TextIO) -> str:
    """Return a text in a colour, if `stream` shows colours."""
    return f"\033[{colour}m{text}\033[0m" if colour and coloured(stream) else text


def paint_state(text: str, stream: TextIO) -> str:
    """Return a text, perhaps padded, in the colour of the state that it says."""
    return paint(text, _STATES.get(text.strip(), ""), stream)


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    cut: Sequence[str] = (),
    state: str = "",
) -> None:
    """Print rows below their titles.

    `cut` names the columns that may be shortened on a terminal, `state` the one with colours. A
    description loses its end; a name or a path its middle, because its end tells it from others.
    """
    columns = width(sys.stdout)
    widths = [max(len(row[i]) for row in (titles, *rows)) for i in range(len(titles))]
    if columns is not None:
        widths = fit(widths, columns, [i for i, title in enumerate(titles) if title in cut])
    for number, row in enumerate((titles, *rows)):
        cells = []
        for title, cell, size in zip(titles, row, widths, strict=True):
            shown = shorten(cell, size, end=title == "DESCRIPTION").ljust(size)
            if number and title == state:
                shown = paint_state(shown, sys.stdout)
            cells.append(shown)
        line = _GAP.join(cells).rstrip()
        print(line if number else paint(line, BOLD, sys.stdout))


def fit(widths: Sequence[int], columns: int, cut: Sequence[int]) -> list[int]:
    """Return widths that fit into `columns`: of those in `cut` the widest gives way first."""
    fitted = list(widths)
    over = sum(fitted) + len(_GAP) * (len(fitted) - 1) - columns
    while over > 0:
        widest = max(cut, key=lambda i: fitted[i], default=None)
        if widest is None or fitted[widest] <= _LEAST:
            break
        fitted[widest] -= 1
        over -= 1
    return fitted


def shorten(text: str, size: int, *, end: bool = False) -> str:
    """Return a text of at most `size` characters, with an ellipsis where something is missing."""
    if len(text) <= size:
        return text
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    dots = "\u2026" if encoding == "utf8" else "..."
    left = size - len(dots)
    if end:
        return text[:left] + dots
    tail = (left + 1) // 2
    return text[: left - tail] + dots + text[len(text) - tail :]
