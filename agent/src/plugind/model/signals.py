# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Signals by name, as `docker kill` and `--stop-signal` take them."""

from __future__ import annotations

from plugind import errors

_NAMES = (
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
    "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
)  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(_NAMES, start=1)}
_REAL_TIME = (34, 64)
TERM, KILL = _NUMBERS["TERM"], _NUMBERS["KILL"]


def parse(text: str) -> int:
    """Return the number that `TERM`, `SIGTERM`, `15` or `RTMIN+3` means, else InvalidParameter."""
    first, last = _REAL_TIME
    if text.isascii() and text.isdecimal() and len(text) < 4:
        number = int(text)
        if 0 < number <= len(_NAMES) or first <= number <= last:
            return number
    name = text.upper().removeprefix("SIG")
    if name in _NUMBERS:
        return _NUMBERS[name]
    for base, start, sign in (("RTMIN", first, "+"), ("RTMAX", last, "-")):
        offset = name.removeprefix(base + sign)
        if name == base:
            return start
        if name != offset and offset.isascii() and offset.isdecimal() and len(offset) < 3:
            number = start + int(sign + offset)
            if first <= number <= last:
                return number
    raise errors.InvalidParameter(f"invalid signal: {text}")
