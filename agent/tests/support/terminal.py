# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A program at a terminal of a given size, as somebody would see it.

terminal.run([...], columns=80)   all that it wrote, both streams, escape sequences included
terminal.screen(text)             the lines that are seen at the end
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

_ESCAPE = re.compile(r"\033\[([0-9]*)([A-Za-z])|(\r?\n)|(\r)")


def run(
    argv: Sequence[str], *, columns: int = 80, env: Mapping[str, str], typed: str = ""
) -> tuple[int, str]:
    """Return the exit status and all that was written."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        written = bytearray()
        while piece := _read(ours):
            written += piece
        os.close(ours)
    return process.returncode, written.decode()


def screen(text: str) -> list[str]:
    """Return what is seen in the end: colours are nothing, lines are redrawn where they stand."""
    lines, row, position = [""], 0, 0
    for found in _ESCAPE.finditer(text):
        lines[row] += text[position : found.start()]
        position = found.end()
        count, command, newline, carriage = found.groups()
        if newline:
            row += 1
            lines += [""] * (row - len(lines) + 1)
        elif command in ("A", "B"):
            row += int(count or 1) * (1 if command == "B" else -1)
        elif command == "K":
            lines[row] = ""
        elif carriage is None and command != "m":
            raise AssertionError(f"a sequence that no verb should write: {found[0]!r}")
    lines[row] += text[position:]
    return lines


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""  # EIO: nobody has the other end any more
