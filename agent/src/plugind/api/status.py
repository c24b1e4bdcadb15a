# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Errors become responses here: one table, searched along the error's MRO.

Below this room there are categories and no statuses. What is not one of ours is a defect: it is
logged with its traceback and answered with 500. Every body is `{"message": "..."}`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from plugind import errors, log
from plugind.api import wire

STATUS: dict[type[BaseException], int] = {
    errors.InvalidParameter: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unsupported: 501,
    errors.Unavailable: 503,
    errors.System: 500,
}


def status_of(exc: BaseException) -> int:
    """Return the status of the nearest category; 500 for what has none."""
    if isinstance(exc, web.HTTPException):
        return exc.status
    return next((STATUS[kind] for kind in type(exc).__mro__ if kind in STATUS), 500)


def message_of(exc: BaseException, doing: str) -> str:
    """Return what the client is told; an error that nobody raised on purpose is logged."""
    if isinstance(exc, errors.PlugindError):
        return exc.message
    if isinstance(exc, web.HTTPException):
        return exc.text or exc.reason
    log.error(f"cannot {doing}: unexpected {type(exc).__name__}", exc=exc)
    return f"cannot {doing}: {type(exc).__name__}: {exc}"


def render(exc: BaseException, doing: str, redact: Callable[[str], str]) -> web.Response:
    """Return the response that reports `exc`; `redact` takes secrets out of its text."""
    message = redact(message_of(exc, doing))
    return wire.json_response({"message": message}, status=status_of(exc))


def render_line(exc: BaseException, doing: str, redact: Callable[[str], str]) -> dict[str, Any]:
    """Return the line that reports `exc` in a stream whose status has gone out already."""
    message = redact(message_of(exc, doing))
    return {"errorDetail": {"message": message}, "error": message}
