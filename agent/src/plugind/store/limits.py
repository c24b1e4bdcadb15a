# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""How much an archive may ask of the host. What breaks a limit is HostileArchive, by entry."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one archive. The defaults are far above every plugin known, far below a bomb.

    `total_bytes` counts the uncompressed stream, headers and padding included, so that it bounds a
    decompression bomb as well as the space on disk. `header_bytes` bounds what one pax or long-name
    header holds in memory.
    """

    entries: int = 500_000
    total_bytes: int = 10 * GIB
    file_bytes: int = 5 * GIB
    depth: int = 200
    path_bytes: int = 4095
    header_bytes: int = MIB
    config_bytes: int = MIB
