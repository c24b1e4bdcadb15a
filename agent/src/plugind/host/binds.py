# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Showing a directory at another place of the host, and taking it away again.

    copy the mounts at the source -> read-only, propagation -> attach

The copy is finished before anybody sees it, so a crash leaves all of it or nothing. Nothing here
asks the file system itself: one whose server hangs or died can be attached and taken away.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from plugind import errors
from plugind.host import beneath, libc, mounts
from plugind.host.mounts import Mount
from plugind.model.host_mount import Source
from plugind.model.mountpoint import Mountpoint

_PRIVATE, _SLAVE, _SHARED = 1 << 18, 1 << 19, 1 << 20
_PROPAGATIONS = {"private": _PRIVATE, "slave": _SLAVE, "shared": _SHARED}
_DETACH, _NOFOLLOW = 2, 8
_SHOWN = 8


def bind(
    source: Mountpoint, target: Path, *, located: Path, read_only: bool, propagation: str
) -> None:
    """Show `source`, with what is mounted below it, at the directory `target`.

    `located` is where it was a moment ago: System if it is another directory now, or if anything
    else goes wrong. `propagation` is a word of mount(8): `rprivate`, `slave`, ...
    """
    with beneath.opened(source) as found:
        if found.path != located:
            raise errors.System(
                f'cannot mount "{source}" at "{target}": it was "{located}" and is "{found.path}" '
                "now; its driver has changed a symbolic link meanwhile"
            )
        _bind(found, target, read_only=read_only, propagation=propagation)


def _bind(source: beneath.Place, target: Path, *, read_only: bool, propagation: str) -> None:
    try:
        place = libc.open_directory(str(target))
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise errors.Conflict(
                f'cannot mount at "{target}": a symbolic link leads there'
            ) from exc
        raise errors.System(f'cannot mount at "{target}": {exc.strerror}') from exc
    try:
        tree = libc.clone_tree("", source.fd)
        attach(tree, place, read_only=read_only, propagation=propagation)
    except OSError as exc:
        raise errors.System(f'cannot mount "{source.path}" at "{target}": {exc.strerror}') from exc
    finally:
        os.close(place)


def attach(tree: int, place: int, *, read_only: bool, propagation: str) -> None:
    """Show a tree from `libc.clone_tree`, which is closed, at a place that is open (O_PATH).

    OSError says what went wrong.
    """
    try:
        kind = propagation.removeprefix("r")
        libc.set_mount(
            tree,
            read_only=read_only,
            propagation=_PROPAGATIONS[kind],
            recursive=kind != propagation,
        )
        libc.move_mount(tree, place)
    finally:
        os.close(tree)


def unbind(target: Path, *, detach: bool) -> None:
    """Take the topmost mount at `target` away, with what came along below it.

    With `detach` also from those who use it; else Conflict names them.
    """
    table = mounts.read_mounts()
    top = mounts.stack_at(target, table)[-1:]
    if not top:
        return
    try:
        if detach:
            libc.umount2(str(target), _NOFOLLOW | _DETACH)
            return
        for below in reversed(_came_along(top[0], table)):
            libc.umount2(below.path, _NOFOLLOW)
        libc.umount2(str(target), _NOFOLLOW)
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            users = ", ".join(_busy(target, top[0])) or "a process that cannot be seen from here"
            raise errors.Conflict(f'cannot unmount "{target}": it is used by {users}') from exc
        if exc.errno == errno.EINVAL:
            return  # somebody else was quicker
        raise errors.System(f'cannot unmount "{target}": {exc.strerror}') from exc


def source_of(path: Path, table: Iterable[Mount]) -> Source:
    """Return what is seen at `path`: the device, and the directory in its file system."""
    text = str(path)
    above = [m for m in table if f"{text}/".startswith(m.path.rstrip("/") + "/")]
    nearest = max(above, key=lambda mount: (len(mount.path), above.index(mount)))
    inside = text[len(nearest.path.rstrip("/")) :]
    return Source(device=nearest.device, root=(nearest.root.rstrip("/") + inside) or "/")


def _came_along(top: Mount, table: list[Mount]) -> list[Mount]:
    """Return the mounts below that were copied from below the source, outermost first."""
    children = [mount for mount in table if mount.path.startswith(top.path + "/")]
    copied = {(mount.device, mount.root) for mount in table if mount not in children}
    return [mount for mount in children if (mount.device, mount.root) in copied]


def _busy(target: Path, top: Mount) -> Iterator[str]:
    """Say what keeps a mount busy: mounts below it, and processes, as far as they can be seen."""
    below = str(target) + "/"
    found = [f"the mount at {m.path}" for m in mounts.read_mounts() if m.path.startswith(below)]
    found += [f"process {pid} ({name})" for pid, name in processes_in(Path(top.path))]
    yield from found[:_SHOWN]
    if len(found) > _SHOWN:
        yield "..."


def processes_in(path: Path) -> list[tuple[int, str]]:
    """Return the processes that have a file or a directory at `path` or below in use, and names.

    The links of /proc are read and never followed, so that no file system is asked.
    """
    return [
        (int(entry.name), _name(entry))
        for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name))
        if any(f"{used}/".startswith(f"{path}/") for used in _used(entry))
    ]


def _used(process: Path) -> Iterator[str]:
    links = [process / name for name in ("cwd", "root", "exe")]
    try:
        links += list((process / "fd").iterdir())
    except OSError:
        pass  # it ended meanwhile
    for link in links:
        try:
            yield os.readlink(link)
        except OSError:
            continue
    yield from _mapped(process)


def _mapped(process: Path) -> Iterator[str]:
    try:
        lines = (process / "maps").read_bytes().split(b"\n")
    except OSError:
        return
    yield from {os.fsdecode(line.split(maxsplit=5)[5]) for line in lines if b"/" in line}


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
