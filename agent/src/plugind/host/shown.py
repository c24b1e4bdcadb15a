# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A file that a container sees by a bind, and that can be replaced below it while it runs.

A bind shows an inode, and a socket that is listened at anew is another one. So what a container binds
is a lasting file, which is a shared mount of its own; what is mounted over it shows inside, too.

    lay      before the container starts: it binds the place (rbind, rslave)
    show     any time later, as often as one likes
"""

from __future__ import annotations

import os
from pathlib import Path

from plugind import errors
from plugind.host import binds, libc, mounts


def lay(place: Path) -> None:
    """Make the file `place` a mount of its own, with nothing over it."""
    mounts.unmount_tree(place)
    try:
        place.touch(mode=0o600)
    except OSError as exc:
        raise errors.System(f'cannot make "{place}": {exc.strerror}') from exc
    _attach(place, place)


def show(source: Path, place: Path) -> None:
    """Show the file `source` at a place that was laid, and to those who have bound the place."""
    for _ in mounts.stack_at(place, mounts.read_mounts())[1:]:
        mounts.umount(place, detach=True)
    _attach(source, place)


def _attach(source: Path, place: Path) -> None:
    try:
        fd = os.open(place, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            tree = libc.clone_tree(str(source))
            binds.attach(tree, fd, read_only=True, propagation="shared")
        finally:
            os.close(fd)
    except OSError as exc:
        raise errors.System(f'cannot show "{source}" at "{place}": {exc.strerror}') from exc
