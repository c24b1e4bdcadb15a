# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the records of plugins and of volumes share: reading, setting aside, throwing away.

    read    plugin.json, volume.json  -- unreadable as JSON, or not an object -->  Broken
    broken  plugins/<id>  -> quarantine/<id>-<n>      never deleted
    remove  plugins/<id>  -> trash/<id>-<random>      the commit point; then the slow deletion

An OSError becomes one of ours here, once: `mapped_errors` says what could not be done and where.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from plugind import checkpoint, errors, log
from plugind.host import fs
from plugind.store.layout import Layout

T = TypeVar("T")


class Broken(errors.System):
    """A record does not say what a record must say; reading it again will not help."""


def load_json(path: Path) -> Any:
    """Return the document in `path`; Broken if it is missing or is no JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        raise Broken(f'"{path}" is missing') from exc
    except OSError as exc:
        raise errors.System(f'cannot read "{path}": {exc.strerror}') from exc
    except (ValueError, RecursionError) as exc:
        raise Broken(f'"{path}" is no JSON: {exc}') from exc


def load(path: Path) -> dict[str, Any]:
    """Return the object in `path`; Broken if it is missing or something else."""
    document = load_json(path)
    if not isinstance(document, dict):
        raise Broken(f'"{path}" holds no object')
    return document


@contextlib.contextmanager
def broken_on_bad_value(path: Path) -> Iterator[None]:
    """Turn what the model says about a bad record into Broken."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, errors.InvalidParameter) as exc:
        raise Broken(f'"{path}" is malformed: {type(exc).__name__}: {exc}') from exc


@contextlib.contextmanager
def mapped_errors(what: str) -> Iterator[None]:
    """Turn an OSError into System `cannot <what>: cause`."""
    try:
        yield
    except OSError as exc:
        place = f" ({os.fsdecode(exc.filename)})" if isinstance(exc.filename, (str, bytes)) else ""
        raise errors.System(f"cannot {what}: {exc.strerror}{place}") from exc


def load_all(
    layout: Layout, parent: Path, kind: str, load_one: Callable[[Path], T]
) -> tuple[list[T], list[str]]:
    """Return what `load_one` makes of every directory below `parent`, and the names of the broken.

    A broken directory goes to quarantine/, one that cannot be read stays; the rest go on.
    """
    loaded, broken = [], []
    for directory in sorted(parent.iterdir()):
        try:
            loaded.append(load_one(directory))
        except Broken as exc:
            quarantine(layout, directory, exc)
            broken.append(directory.name)
        except (errors.PlugindError, OSError) as exc:
            # The disk may only be failing now, so this one stays where it is.
            log.error(f"{kind} skipped: it cannot be read", path=directory, cause=exc)
            broken.append(directory.name)
    return loaded, broken


def load_readable(parent: Path, kind: str, load_one: Callable[[Path], T]) -> list[T]:
    """Return what can be read below `parent`, and change nothing on disk."""
    loaded = []
    for directory in sorted(parent.glob("*")):
        try:
            loaded.append(load_one(directory))
        except (errors.PlugindError, OSError) as exc:
            log.error(f"{kind} skipped: it cannot be read", path=directory, cause=exc)
    return loaded


@contextlib.contextmanager
def staged_rootfs(layout: Layout, what: str) -> Iterator[Path]:
    """Give a directory below staging/ with an empty rootfs/; removed at the end if it is still there."""
    path = layout.staging / secrets.token_hex(16)
    with mapped_errors(f"stage {what}"):
        (path / "rootfs").mkdir(mode=0o755, parents=True)
        path.chmod(0o700)
        # Whatever the umask; a layer's own entry for its root may change it.
        (path / "rootfs").chmod(0o755)
    try:
        yield path
    finally:
        fs.remove_tree(path)


def quarantine(layout: Layout, directory: Path, cause: Exception) -> None:
    """Set what is broken aside for the operator, or leave it if it cannot be moved."""
    set_aside(layout.quarantine, directory, cause)


def set_aside(quarantine_: Path, path: Path, cause: Exception) -> None:
    """Move what is broken, a directory or a file, to a directory that keeps such things."""
    taken = {entry.name for entry in quarantine_.iterdir()}
    number = next(n for n in range(1, len(taken) + 2) if f"{path.name}-{n}" not in taken)
    target = quarantine_ / f"{path.name}-{number}"
    try:
        os.rename(path, target)
        fs.fsync_dir(quarantine_)
        fs.fsync_dir(path.parent)
    except OSError as exc:
        log.error(f"broken record left in place: {exc.strerror}", path=path, cause=cause)
    else:
        log.error("broken record set aside", path=target, cause=cause)


def throw_away(
    layout: Layout,
    directory: Path,
    name: str,
    *,
    operation: Literal["remove", "volume-remove", "image-remove"] | None = None,
) -> None:
    """Take `directory` out by one rename, then delete it; refused while it holds a live mount."""
    empty_trash(take_out(layout, directory, name, operation=operation))


def take_out(
    layout: Layout,
    directory: Path,
    name: str,
    *,
    operation: Literal["remove", "volume-remove", "image-remove"] | None = None,
) -> Path:
    """Take `directory` out by one rename; return where it is now, for `empty_trash`."""
    fs.require_unmounted(directory, f"remove {directory}")
    target = layout.trash / f"{name}-{secrets.token_hex(8)}"
    with mapped_errors(f"remove {directory}"):
        if operation:
            checkpoint.checkpoint(f"{operation}:before-commit")
        os.rename(directory, target)  # the commit point
        fs.fsync_dir(directory.parent)
        if operation:
            checkpoint.checkpoint(f"{operation}:after-commit")
    return target


def empty_trash(target: Path) -> None:
    """Delete what was taken out; what cannot be deleted stays for the next sweep."""
    try:
        fs.remove_tree(target)
    except errors.System as exc:
        # Removed is what it is; the bytes go with the next sweep.
        log.warning("could not empty the trash", path=target, cause=exc)
