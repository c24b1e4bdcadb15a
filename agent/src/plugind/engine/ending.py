# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Work that must come to its end although nobody waits for it any more.

A client that goes away cancels an operation up to its commit point, never across it; and a thread
cannot be cancelled at all, so whoever deletes what it works on has to wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T] | asyncio.Future[T]) -> T:
    """Await `work` even if the caller is cancelled meanwhile; then let the cancellation go on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await wait_done(task)
        raise


async def wait_done(task: asyncio.Future[T]) -> None:
    """Wait until `task` is done, however often the caller is cancelled; its error is taken note of."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
