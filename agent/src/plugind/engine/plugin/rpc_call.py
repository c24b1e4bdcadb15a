# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One raw RPC to a plugin's socket, for the operator (`plugind rpc`)."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

from plugind import errors
from plugind.engine import lookup, sealing
from plugind.engine.context import Engine
from plugind.engine.volume import volumes

_METHOD = re.compile(r"[A-Za-z]+\.[A-Za-z]+", re.ASCII)
_TIMEOUT = 120.0


async def call(engine: Engine, text: str, method: str, body: dict[str, Any]) -> Any:
    """Call `method` (for example `VolumeDriver.List`) of plugin `text`.

    The answer is for a person: secrets in it are masked.
    """
    if not _METHOD.fullmatch(method):
        raise errors.InvalidParameter(f'invalid method "{method}": want <Interface>.<Method>')
    entry = lookup.entry(engine, text)
    if entry.holds:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(engine.patience(entry)):
                await entry.wait_held()
    if entry.socket is None:
        raise errors.Conflict(f"plugin {entry.plugin.name} is {entry.state.value}")
    volume = str(body.get("Name") or "")
    try:
        answer = await entry.socket.call(method, body, timeout=_TIMEOUT)
    except errors.PlugindError as exc:
        raise volumes.type_of(exc)(sealing.redact(engine, exc.message, volume)) from exc
    return sealing.redact_document(engine, answer, sealing.volumes_of(engine, entry))
