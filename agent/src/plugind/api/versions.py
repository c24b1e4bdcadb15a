# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The API version of a request: its prefix, what is served, and the refusal of the rest."""

from __future__ import annotations

import re

from plugind import errors

# 28 and 29 clients demand at least 1.44 at most 1.51 (their own); older ones go down to theirs.
CURRENT = "1.47"
OLDEST = "1.24"

_PREFIX = re.compile(r"/v([0-9.]+)(/.*)", re.ASCII | re.DOTALL)


def split_prefix(path: str) -> tuple[str, str]:
    """Split `/v1.41/plugins` into version and path; the version is empty if there is none."""
    if not path.startswith("/v"):
        return "", path
    match = _PREFIX.fullmatch(path)
    return (match.group(1), match.group(2)) if match else ("", path)


def parse(text: str) -> tuple[int, ...]:
    """Return a version for comparing; what is not a number counts as 0, as in the original."""
    return tuple(int(part) if 0 < len(part) < 10 else 0 for part in text.split("."))


def require_served(text: str) -> tuple[int, ...]:
    """Return the version to serve, the newest if none was asked for; else Docker's refusal."""
    asked = parse(text or CURRENT)
    if asked < parse(OLDEST):
        raise errors.InvalidParameter(
            f"client version {text} is too old. Minimum supported API version is {OLDEST}, "
            "please upgrade your client to a newer version"
        )
    if asked > parse(CURRENT):
        raise errors.InvalidParameter(
            f"client version {text} is too new. Maximum supported API version is {CURRENT}"
        )
    return asked
