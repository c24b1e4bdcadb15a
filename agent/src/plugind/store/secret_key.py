# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`<root>/secret.key`: 32 random bytes, 0600, with which the digests of secrets are made.

Made at the first boot by stage, fsync, rename. Whoever has it can try passwords against the digests,
so it is readable for root only. Without it digests cannot be compared, and that is an error.
"""

from __future__ import annotations

import os
import secrets

from plugind import errors, log
from plugind.host import fs
from plugind.store import records
from plugind.store.layout import Layout

SIZE = 32


def load_or_create(layout: Layout) -> bytes:
    """Return the key; a file that cannot be one is set aside and replaced by a new key. Blocking."""
    path = layout.secret_key
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return _create(layout)
    except OSError as exc:
        raise errors.System(f'cannot read "{path}": {exc.strerror}') from exc
    if len(key) != SIZE:
        cause = errors.System(f"it has {len(key)} bytes, not {SIZE}")
        records.quarantine(layout, path, cause)
        return _create(layout)
    if path.stat().st_mode & 0o077:
        log.warning("secret.key was open to others; it is closed now", path=path)
        os.chmod(path, 0o600)
    return key


def _create(layout: Layout) -> bytes:
    key = secrets.token_bytes(SIZE)
    fs.write_atomic(layout.secret_key, key)
    return key
