# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a registry's error answers mean: status and `errors[]` document -> one of our errors.

    401 Unauthorized   403 Forbidden   429 and 5xx Unavailable   anything else System

The registry's own words are kept: they say which repository needs which right, or when to return.
"""

from __future__ import annotations

import http
import json

from plugind import errors

MAX_BODY = 1 << 20  # nobody needs a longer error document, or token
_LONGEST_REASON = 1000


def compute_error(status: int, body: bytes, what: str, host: str) -> errors.PlugindError:
    """Return the error for an answer of `host`; its message starts with `cannot {what}`."""
    reason = render_reason(status, body)
    message = f'cannot {what}: registry "{host}" says: {reason}'
    if status == 401:
        return errors.Unauthorized(message)
    if status == 403:
        return errors.Forbidden(message)
    if status == 429 or status >= 500:
        return errors.Unavailable(message)
    return errors.System(message)


def render_reason(status: int, body: bytes) -> str:
    """Return `<status> <phrase>: <what the registry wrote>`, in one line."""
    try:
        phrase = f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:  # a status nobody has registered
        phrase = str(status)
    said = _said(body)
    return f"{phrase}: {said}" if said else phrase


def _said(body: bytes) -> str:
    """Return the messages of an `errors[]` document, or the text of a short plain answer."""
    text = body.decode(errors="replace").strip()
    try:
        document = json.loads(text)
        messages = [_message(error) for error in document["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Not the distribution spec's error document: a proxy's page, or a token server's text.
        # Pages are noise; one short line helps.
        messages = [] if text.startswith("<") or "\n" in text else [text]
    joined = "; ".join(message for message in messages if message)
    printable = "".join(char if char.isprintable() else " " for char in joined)
    return printable[:_LONGEST_REASON]


def _message(error: dict[str, object]) -> str:
    message = str(error.get("message") or error.get("code") or "")
    detail = error.get("detail")
    return f"{message} ({detail})" if isinstance(detail, str) and detail else message
