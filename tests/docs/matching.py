# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Whether a command printed what the page shows.

`...` in a line stands for any text, a line that is only `...` for any lines, none included. Blanks are as good
as any other number of blanks, and at the end of a line they do not count. Nothing shown means nothing printed.
"""

from __future__ import annotations

import re

ANY = "..."


def matches(expected: str, printed: str) -> bool:
    """True if what was printed has the shape of what is shown."""
    return re.fullmatch(pattern(expected), normal(printed)) is not None


def normal(text: str) -> str:
    """Return the text with single blanks, and none at the end of a line."""
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.strip("\n").splitlines())
    return "".join(f"{line}\n" for line in lines)


def pattern(expected: str) -> str:
    """Return the regular expression for a normal text."""
    parts = []
    for line in normal(expected).splitlines():
        if line == ANY:
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*?".join(map(re.escape, line.split(ANY))) + r"\n")
    return "".join(parts)
