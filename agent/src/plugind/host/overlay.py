# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container's own view of an image: an overlay, or a copy where the kernel refuses one.

    lower     the image's tree, never written
    upper     what the container changes; stays between its runs
    work      the kernel's
    merged    the view; a mount, or (overlay on overlay, for example) a copy of lower

Blocking.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from plugind import errors, log
from plugind.host import fs, libc, mounts, proc

_NO_OVERLAY = frozenset({errno.EINVAL, errno.ENODEV, errno.EPERM, errno.EOPNOTSUPP})
_COPY_TIMEOUT = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The directories of one view, all on one file system."""

    lower: Path
    upper: Path
    work: Path
    merged: Path

    @property
    def partial(self) -> Path:
        """Where a copy grows before it is complete."""
        return self.merged.with_name("merged.partial")


def assemble(view: View) -> None:
    """Make `merged` show the image with the container's changes. Safe to call twice."""
    if mounts.is_mountpoint(view.merged) or any(view.merged.iterdir()):
        return
    options = ",".join(
        f"{name}={_escape(path)}"
        for name, path in (
            ("lowerdir", view.lower),
            ("upperdir", view.upper),
            ("workdir", view.work),
        )
    )
    try:
        libc.mount("overlay", str(view.merged), "overlay", 0, options)
    except OSError as exc:
        if exc.errno not in _NO_OVERLAY:
            raise errors.System(f'cannot mount "{view.merged}": {exc.strerror}') from exc
        log.info("no overlay here, copying the image", path=view.merged, cause=exc.strerror)
        _copy(view)


def copy_tree(source: str, target: Path) -> None:
    """Copy what `source` holds into `target`, with owners, modes, links and extended attributes."""
    argv = ["cp", "-a", "--reflink=auto", "--", f"{source}/.", str(target)]
    proc.run_blocking(argv, timeout=_COPY_TIMEOUT)


def _copy(view: View) -> None:
    fs.remove_tree(view.partial)
    view.partial.mkdir(mode=0o755)
    copy_tree(str(view.lower), view.partial)
    os.rename(view.partial, view.merged)  # complete from here on


def _escape(path: Path) -> str:
    """Escape what overlay's options take for their own."""
    text = str(path)
    for char in "\\,:":
        text = text.replace(char, f"\\{char}")
    return text
