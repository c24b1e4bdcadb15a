# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The files by which consumers find fronts, and the sockets of plugins that are gone. Blocking.

Each is written whole and only if it differs; what is not ours is never touched. What cannot be
written is logged: the plugins run all the same.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from plugind import errors, log
from plugind.engine.context import Engine
from plugind.host import fs
from plugind.model import front as front_
from plugind.model import publishing
from plugind.model.plugin import Plugin


def announce(engine: Engine) -> None:
    """Bring the files of Docker and Podman up to date with the fronts that listen."""
    options = engine.options.publishing
    plugins = [e.plugin for e in list(engine.entries.values()) if e.plugin.name in engine.fronts]
    with _logged(engine.fronts_dir):
        _sweep_sockets(engine)
    if engine.degraded:
        return
    with _logged(Path(options.docker_place)):
        _write_specs(engine, plugins if options.docker else [])
    with _logged(Path(options.podman_place)):
        _write_drop_in(engine, plugins if options.podman else [])


def _sweep_sockets(engine: Engine) -> None:
    """Remove the sockets of plugins that are gone."""
    ours = {Path(front.path) for front in engine.fronts.values()}
    for path in _files(engine.fronts_dir):
        if path not in ours and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
            _remove_empty(path.parent, engine.fronts_dir)


def _write_specs(engine: Engine, plugins: list[Plugin]) -> None:
    top = Path(engine.options.publishing.docker_place)
    wanted = {
        top / f"{spelling}{publishing.SPEC}": publishing.spec_content(engine.fronts[p.name].path)
        for p in plugins
        if front_.implements(p.config.interface) and not front_.is_raw(p.config.interface)
        for spelling in publishing.spellings(p.name)
    }
    for path, content in wanted.items():
        with _logged(path):
            _write(path, content, _is_our_spec(engine, path))
    for path in _files(top):
        if path.suffix == publishing.SPEC and path not in wanted and _is_our_spec(engine, path):
            path.unlink()
            _remove_empty(path.parent, top)


def _write_drop_in(engine: Engine, plugins: list[Plugin]) -> None:
    path = Path(engine.options.publishing.podman_place)
    fronts = {
        p.name: engine.fronts[p.name].path
        for p in plugins
        if p.serves("volumedriver") and not front_.is_raw(p.config.interface)
    }
    is_ours = publishing.is_our_drop_in(_read(path), engine.fronts_dir)
    if fronts:
        timeout = engine.options.publishing.podman_timeout
        _write(path, publishing.podman_content(fronts, timeout), is_ours)
    elif is_ours:
        path.unlink()


def _write(path: Path, content: str, is_ours: bool) -> None:
    present = _read(path)
    if present == content:
        return
    if not is_ours and os.path.lexists(path):
        raise errors.Conflict(f'cannot write "{path}": it is not ours')
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fs.write_atomic(path, content.encode(), 0o644)


def _is_our_spec(engine: Engine, path: Path) -> bool:
    return publishing.is_our_spec(_read(path), engine.fronts_dir)


def _read(path: Path) -> str:
    """Return what a file says, "" if there is none; a link is not followed."""
    if path.is_symlink() or not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _files(top: Path) -> list[Path]:
    return sorted(Path(folder, name) for folder, _, names in os.walk(top) for name in names)


def _remove_empty(directory: Path, top: Path) -> None:
    """Remove directories that have become empty, up to `top`, which stays."""
    while directory != top:
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent


@contextlib.contextmanager
def _logged(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        log.error(f"cannot publish plugins: {exc.strerror}", path=exc.filename or place)
    except errors.PlugindError as exc:
        log.error(f"cannot publish plugins: {exc}", path=place)
