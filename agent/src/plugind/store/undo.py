# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`undo.json`: how to go back from the last change of an engine. Blocking.

    {"format": 1, "id": "<16 hex>", "state": "running", "rollback": true, "time": "<RFC 3339>",
     "declaration": {...}}

    begin   staging/.undo.json.<random> -> undo.json     before the first step of a change
    done    the same, with the state `done`              it was carried out, and can be undone later
    drop    undo.json is removed                         it was undone
    forget  as done, without a plugin; or as drop        the plugin was removed by hand: it has nothing to go back to

`running` after a kill means that nobody knows how far the change came; `rollback` says whether it has
to be undone then. The declaration is what was before, with the settings' secrets: 0600.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from plugind import checkpoint, errors
from plugind.host import fs
from plugind.store import records
from plugind.store.layout import Layout

FORMAT = 1
RUNNING, DONE = "running", "done"
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A change that can be undone. `time` is RFC 3339; `declaration` is what was before."""

    id: str
    state: str
    rollback: bool
    time: str
    declaration: Mapping[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the document that the file holds."""
        return {
            "format": FORMAT,
            "id": self.id,
            "state": self.state,
            "rollback": self.rollback,
            "time": self.time,
            "declaration": dict(self.declaration),
        }


def parse(document: Mapping[str, Any]) -> Undo:
    """Read the document back; ValueError, KeyError or TypeError if it is none of ours."""
    name, state, declaration = document["id"], document["state"], document["declaration"]
    if document["format"] != FORMAT:
        raise ValueError(f"its format is {document['format']!r}, not {FORMAT}")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ValueError("its id is not 16 hexadecimal digits")
    if state not in (RUNNING, DONE) or not isinstance(document["rollback"], bool):
        raise ValueError("its state is unknown")
    if not isinstance(declaration, dict):
        raise TypeError("its declaration is no object")
    return Undo(
        id=name,
        state=state,
        rollback=document["rollback"],
        time=str(document["time"]),
        declaration=declaration,
    )


def without_plugin(declaration: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a way back that leaves plugin `name` alone."""
    plugins = [
        {**plugin, "requires": [other for other in plugin.get("requires") or () if other != name]}
        for plugin in declaration.get("plugins") or ()
        if plugin["name"] != name
    ]
    if len(plugins) == len(declaration.get("plugins") or ()):
        return dict(declaration)
    return {**declaration, "plugins": plugins}


class UndoFile:
    """The file at `path`. `staging` and `quarantine` are directories on the same file system."""

    def __init__(self, path: Path, *, staging: Path, quarantine: Path) -> None:
        self.path = path
        self._staging = staging
        self._quarantine = quarantine

    def load(self) -> Undo | None:
        """Return the last change, None if there is none to undo.

        A file that is broken is set aside, with a log line: nobody can go back by it. System if it
        cannot be read.
        """
        if not os.path.lexists(self.path):
            return None
        try:
            document = records.load(self.path)
            with records.broken_on_bad_value(self.path):
                return parse(document)
        except records.Broken as exc:
            records.set_aside(self._quarantine, self.path, exc)
            return None

    def begin(self, declaration: Mapping[str, Any], *, rollback: bool, time: str) -> Undo:
        """Record how to go back from a change that is about to begin. The one before is forgotten."""
        undo = Undo(
            id=secrets.token_hex(8),
            state=RUNNING,
            rollback=rollback,
            time=time,
            declaration=declaration,
        )
        self._write(undo, "undo-begin")
        return undo

    def done(self, id: str) -> None:
        """Say that change `id` was carried out; another one that came since is left alone."""
        undo = self.load()
        if undo is not None and (undo.id, undo.state) == (id, RUNNING):
            self._write(replace(undo, state=DONE), "undo-done")

    def drop(self, id: str) -> None:
        """Forget change `id`, which was undone; another one that came since is left alone."""
        undo = self.load()
        if undo is None or undo.id != id:
            return
        with records.mapped_errors("forget a change"):
            checkpoint.checkpoint("undo-drop:before-commit")
            os.unlink(self.path)  # the commit point
            fs.fsync_dir(self.path.parent)
        checkpoint.checkpoint("undo-drop:after-commit")

    def forget(self, name: str) -> None:
        """Forget what plugin `name` was like before a change that was carried out."""
        undo = self.load()
        if undo is None or undo.state != DONE:
            return
        left = without_plugin(undo.declaration, name)
        if left == undo.declaration:
            return
        if any(left.values()):
            self._write(replace(undo, declaration=left), "undo-done")
        else:
            self.drop(undo.id)

    def _write(self, undo: Undo, change: Literal["undo-begin", "undo-done"]) -> None:
        staged = self._staging / f".{self.path.name}.{secrets.token_hex(8)}"
        data = json.dumps(undo.to_json(), indent=2).encode() + b"\n"
        try:
            with records.mapped_errors("record how to undo a change"):
                fs.write_new(staged, data)
                checkpoint.checkpoint(f"{change}:before-commit")
                os.rename(staged, self.path)  # the commit point
                fs.fsync_dir(self.path.parent)
        finally:
            staged.unlink(missing_ok=True)
        checkpoint.checkpoint(f"{change}:after-commit")


def of_layout(layout: Layout) -> UndoFile:
    """Return the agent's own file."""
    return UndoFile(layout.undo, staging=layout.staging, quarantine=layout.quarantine)


def in_directory(directory: Path, name: str) -> UndoFile:
    """Return a file of a process that has no store, in a directory that is made if it is missing."""
    try:
        for path in (directory, directory / "quarantine"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise errors.System(f'cannot make "{exc.filename}": {exc.strerror}') from exc
    return UndoFile(directory / name, staging=directory, quarantine=directory / "quarantine")
