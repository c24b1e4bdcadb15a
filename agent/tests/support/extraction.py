# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Extract a layer of a test, and hold against it that nothing outside has changed.

The root is `.../root`; beside it, and nothing else, is `.../outside`, which nobody may touch.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.store import untar
from plugind.store.limits import Limits
from support import tars


def extract(root: Path, *parts: bytes, limits: Limits | None = None) -> None:
    """Extract, and hold against it that nothing outside the root has changed."""
    before = tars.snapshot(root.parent / "outside")
    try:
        untar.extract_layer(tars.archive(*parts), root, limits=limits)
    finally:
        assert sorted(os.listdir(root.parent)) == ["outside", "root"]
        assert tars.snapshot(root.parent / "outside") == before


def refused(root: Path, *parts: bytes, match: str, limits: Limits | None = None) -> None:
    """Expect the refusal of a hostile archive."""
    with pytest.raises(errors.HostileArchive, match=match):
        extract(root, *parts, limits=limits)
