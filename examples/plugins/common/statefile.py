# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A small file that is replaced as a whole, for what a driver must not forget.

It belongs below the propagated mount, the only place that outlives both a restart and an upgrade of
the plugin. It is written beside the old one, made durable, and renamed over it: after a crash there
is either the old state or the new one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class BrokenState(Exception):
    """The file is there and cannot be understood. Nobody but an operator may decide what to do."""


def replace(path: Path, content: str) -> None:
    """Replace a file, durably. Mode 0600: whoever may read a driver's state is root."""
    staged = path.with_name(f"{path.name}.new")
    staged.unlink(missing_ok=True)  # so that the mode below is the one it gets
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    staged.rename(path)  # the commit point
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def save(path: Path, document: dict[str, Any]) -> None:
    """Replace a file by a JSON document."""
    replace(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def load(path: Path, form: int) -> dict[str, Any]:
    """Read a document with this number as its "format"; only that if there is no file yet."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {"format": form}
    except ValueError as error:
        raise BrokenState(f"cannot read {path}: not a state file: {error}") from None
    if not isinstance(document, dict):
        raise BrokenState(f"cannot read {path}: not a state file")
    if document.get("format") != form:
        raise BrokenState(
            f"cannot read {path}: format {document.get('format')} is not known to this version"
        )
    return document
