# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""In which boot of the host the store was settled last: `boot_id`, a line of text.

The kernel gives every boot a random id. Another one than the recorded one means that no process and
no mount of then is there any more, whatever records say.
"""

from __future__ import annotations

from plugind import errors
from plugind.host import fs
from plugind.store.layout import Layout

NAME = "boot_id"


def load(layout: Layout) -> str:
    """Return the recorded boot's id, "" if there is none (a new store, or an older agent's)."""
    path = layout.root / NAME
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise errors.System(f'cannot read "{path}": {exc.strerror}') from exc


def save(layout: Layout, boot_id: str) -> None:
    """Record that the store was settled in that boot."""
    if load(layout) != boot_id:
        fs.write_atomic(layout.root / NAME, f"{boot_id}\n".encode())
