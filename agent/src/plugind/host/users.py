# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Users and groups of an image: `-u name:group` by the image's own /etc/passwd and /etc/group.

Both files are the image's, so they may be anything: links lead nowhere but into the rootfs, only
regular files are read, and no more of one than a limit. Messages are Docker's (moby `user`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from plugind import errors
from plugind.host import libc

_LIMIT = 4 << 20
_MAX_ID = (1 << 31) - 1

Ids = tuple[int, int, tuple[int, ...]]


def resolve(rootfs: Path, text: str) -> Ids:
    """Return (uid, gid, other groups) of `user[:group]`, names or numbers; "" is root.

    InvalidParameter if the rootfs knows no such name. Blocking.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        passwd = list(_entries(root, "/etc/passwd"))
        groups = list(_entries(root, "/etc/group"))
    except OSError as exc:
        raise errors.System(f"cannot read the users of the image: {exc.strerror}") from exc
    finally:
        os.close(root)
    user, _, group = text.partition(":")
    uid, gid, name = _user(passwd, user or "0")
    if group:
        return uid, _group(groups, group), ()
    member_of = (_number(entry, 2) for entry in groups if name and name in _members(entry))
    return uid, gid, tuple(dict.fromkeys(found for found in member_of if found is not None))


def _user(passwd: list[list[str]], wanted: str) -> tuple[int, int, str]:
    """Return uid, gid and name; a number needs no entry."""
    number = _parse_id(wanted)
    for entry in passwd:
        uid, gid = _number(entry, 2), _number(entry, 3)
        if uid is None or gid is None:
            continue
        if entry[0] == wanted or uid == number:
            return uid, gid, entry[0]
    if number is None:
        raise errors.InvalidParameter(
            f"unable to find user {wanted}: no matching entries in passwd file"
        )
    return number, 0, ""


def _group(groups: list[list[str]], wanted: str) -> int:
    number = _parse_id(wanted)
    for entry in groups:
        gid = _number(entry, 2)
        if gid is not None and (entry[0] == wanted or gid == number):
            return gid
    if number is None:
        raise errors.InvalidParameter(
            f"unable to find group {wanted}: no matching entries in group file"
        )
    return number


def _entries(root: int, path: str) -> Iterator[list[str]]:
    """Yield the fields of each line; nothing if there is no such regular file."""
    try:
        fd = libc.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return
        text = file.read(_LIMIT).decode("utf-8", "replace")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield line.strip().split(":")


def _members(entry: list[str]) -> list[str]:
    return entry[3].split(",") if len(entry) > 3 else []


def _number(entry: list[str], index: int) -> int | None:
    return _parse_id(entry[index]) if len(entry) > index else None


def _parse_id(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal()) or len(text) > 10:
        return None
    number = int(text)
    return number if number <= _MAX_ID else None
