# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Directories to mount at: looked at before, made if they are missing, removed if we made them."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from plugind import errors
from plugind.host import fs

_DEFAULT_MODE = 0o755


def require_usable(path: Path, *, allow_nonempty: bool) -> tuple[str, ...]:
    """Raise Conflict unless `path` can be mounted at; return what has to be made, outermost first.

    Nothing is asked of a file system that is mounted at `path`: whoever calls has seen to that.
    """
    missing: list[str] = []
    for part in [*reversed(path.parents), path]:
        try:
            found = part.lstat()
        except FileNotFoundError:
            missing.append(str(part))
            continue
        except OSError as exc:
            raise errors.Conflict(f'cannot mount at "{path}": {part}: {exc.strerror}') from exc
        if stat.S_ISLNK(found.st_mode):
            raise errors.Conflict(
                f'cannot mount at "{path}": "{part}" is a symbolic link to "{os.readlink(part)}"'
            )
        if not stat.S_ISDIR(found.st_mode):
            raise errors.Conflict(f'cannot mount at "{path}": "{part}" is not a directory')
    if not missing and not allow_nonempty:
        with os.scandir(path) as entries:
            first = next(iter(entries), None)
        if first is not None:
            raise errors.Conflict(
                f'cannot mount at "{path}": the directory is not empty, it has "{first.name}"'
            )
    return tuple(missing)


def require_owner(owner: str, group: str) -> None:
    """Raise InvalidParameter unless this host knows both."""
    _ids(owner, group)


def make(path: Path, *, mode: str, owner: str, group: str) -> None:
    """Make the directory if it is missing, and its parents as root's own; then what it has to be."""
    made: list[Path] = []
    for part in [*reversed(path.parents), path]:
        with contextlib.suppress(FileExistsError):
            try:
                os.mkdir(part, _DEFAULT_MODE)
            except FileExistsError:
                raise
            except OSError as exc:
                raise errors.System(f'cannot make "{part}": {exc.strerror}') from exc
            os.chmod(part, _DEFAULT_MODE)  # whatever the umask
            made.append(part)
    if path not in made:
        return
    uid, gid = _ids(owner, group)
    os.chown(path, uid, gid)
    os.chmod(path, int(mode, 8) if mode else _DEFAULT_MODE)
    for part in made:
        fs.fsync_dir(part.parent)


def remove(made: Iterable[str]) -> None:
    """Remove directories that we made, innermost first, as long as they are empty."""
    for part in reversed(list(made)):
        try:
            os.rmdir(part)
        except FileNotFoundError:
            continue
        except OSError:
            return  # somebody has put something into it, or mounts there: it is theirs now
        fs.fsync_dir(Path(part).parent)


def _ids(owner: str, group: str) -> tuple[int, int]:
    uid = gid = 0
    try:
        if owner:
            uid = int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
        if group:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as exc:
        raise errors.InvalidParameter(f"cannot make a directory: {exc.args[0]}") from exc
    return uid, gid
