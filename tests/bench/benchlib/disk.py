# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A file system with a journal for each side, so that none waits for what the other one has written.

Creating many files where there is none costs both sides more than the work that is measured.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from plugind.host import fs

GIBIBYTES = 8


@contextlib.contextmanager
def journaled() -> Iterator[Path]:
    """Give a directory on an ext4 image, which takes only the room that is written to."""
    with tempfile.TemporaryDirectory(prefix="bench-") as parent:
        image, place = Path(parent, "image"), Path(parent, "disk")
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(GIBIBYTES << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)


def make_durable(place: Path) -> None:
    """Return when all that was written to the file system of `place` is on the disk."""
    fs.sync_tree(place)
