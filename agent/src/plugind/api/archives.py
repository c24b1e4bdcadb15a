# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Archives that clients send: what is wrong with one is the client's mistake, 400 and not 500.

The same errors about what a registry sent are no client's mistake, so the mapping is here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from plugind import errors
from plugind.store.decompress import CorruptStream
from plugind.store.tarentry import MalformedArchive


@contextlib.contextmanager
def sent_by_client() -> Iterator[None]:
    """Make InvalidParameter of what says that an archive cannot be read or must not be."""
    try:
        yield
    except (errors.HostileArchive, MalformedArchive, CorruptStream) as exc:
        raise errors.InvalidParameter(exc.message) from exc
