# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The progress of a pull: a line for each layer, redrawn on a terminal; elsewhere a line for each change.

4f4fb700ef54  Downloading  [===============>          ]  31.5 MB / 52.4 MB
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from plugind.ctl import screen

_BAR = 24
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Progress:
    """What a stream of progress lines looks like. Everything goes to standard error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._columns = screen.width(self._stream)
        self._redraws = screen.moves(self._stream)
        #: by id, the line that is shown; in the order in which they appeared
        self._lines: dict[str, str] = {}
        self._said: dict[str, str] = {}

    def show(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Show lines until there are no more."""
        for line in lines:
            self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """Show one line of the stream."""
        status, name = str(line.get("status", "")), str(line.get("id", ""))
        if not status:
            return
        if not name:
            self._end_block()
            self._print(status)
        elif self._redraws:
            self._draw(
                name, f"{name}  {status:<13}  {bar(line.get('progressDetail') or {})}".rstrip()
            )
        elif self._said.get(name) != status:
            self._said[name] = status
            self._print(f"{name}: {status}")

    def _draw(self, name: str, text: str) -> None:
        """Redraw the line of one layer where it stands."""
        if self._columns is not None:
            text = text[: self._columns - 1]
        if name not in self._lines:
            self._lines[name] = text
            self._print(text)
            return
        if self._lines[name] == text:
            return
        self._lines[name] = text
        up = len(self._lines) - list(self._lines).index(name)
        self._write(f"\033[{up}A\r\033[2K{text}\033[{up}B\r")

    def _end_block(self) -> None:
        self._lines.clear()

    def _print(self, text: str) -> None:
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def bar(detail: Mapping[str, Any]) -> str:
    """Return how far something is: a bar if the whole is known, else how much there is."""
    current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
    if total <= 0:
        return size(current) if current else ""
    full = min(_BAR, current * _BAR // total)
    head = ">" if full < _BAR else ""
    shown = ("=" * full + head)[:_BAR].ljust(_BAR)
    return f"[{shown}]  {size(current)} / {size(total)}"


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} B"
