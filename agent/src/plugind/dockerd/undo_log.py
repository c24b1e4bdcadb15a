# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The way back from the last change of a Docker Engine: `target.UndoLog`, kept by whoever made it.

A Docker Engine has no place for it, so it is a file of the host where the command runs, one for each
engine, and only there can the change be undone. Nobody goes back after a crash of the command but an
operator. Two commands at once leave the way back of the one that began last.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugind.store import undo
from plugind.store.undo import UndoFile

#: The directory, if it is not the usual one.
VARIABLE = "PLUGIND_UNDO"
DIRECTORY = Path("/var/lib/plugind")


class FileUndoLog:
    """See `target.UndoLog` for what each method promises. Its directory is made when it is needed."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name

    def _file(self) -> UndoFile:
        return undo.in_directory(self._directory, self._name)

    async def begin(self, document: Mapping[str, Any], *, rollback: bool) -> str:
        """Record how a change is undone."""
        time = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

        def work() -> str:
            return self._file().begin(document, rollback=rollback, time=time).id

        return await asyncio.to_thread(work)

    async def done(self, change: str) -> None:
        """Record that the change has come to its end."""
        await asyncio.to_thread(lambda: self._file().done(change))

    async def drop(self, change: str) -> None:
        """Forget the change."""
        await asyncio.to_thread(lambda: self._file().drop(change))

    async def last(self) -> Mapping[str, Any] | None:
        """Return the record of the last change."""
        if not (self._directory / self._name).exists():
            return None
        found = await asyncio.to_thread(lambda: self._file().load())
        return None if found is None else found.to_json()


def of_engine(url: str, environment: Mapping[str, str] = os.environ) -> FileUndoLog:
    """Return the log of the engine at `url`; who is not root has one below the home directory."""
    name = f"undo-{hashlib.sha256(url.encode()).hexdigest()[:12]}.json"
    return FileUndoLog(directory(environment, is_root=os.geteuid() == 0), name)


def directory(environment: Mapping[str, str], *, is_root: bool) -> Path:
    """Return where the logs of this user are."""
    if environment.get(VARIABLE):
        return Path(environment[VARIABLE])
    if is_root:
        return DIRECTORY
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(state, "plugind")
