# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Daemon log: logfmt lines, as dockerd writes them.

    time="2026-01-01T00:00:00.000000000Z" level=info msg="Starting..." plugin=f52a3df4...

Plugin output appears here with the single field ``plugin=<full id>``, stdout at level info and
stderr at level error, which is what the documentation of managed plugins shows.

Every line passes through the function that `redact_with` was given, tracebacks included, so that no
secret that is known gets into the log by an exception's text.
"""

from __future__ import annotations

import datetime
import logging
import re
import sys
from collections.abc import Callable
from typing import TextIO

_LEVELS = {"WARNING": "warning", "CRITICAL": "fatal"}
_BARE = re.compile(r"[-0-9A-Za-z._/@^+:]+", re.ASCII)
logger = logging.getLogger("plugind")


def quote(value: str) -> str:
    """Return `value` as a logfmt value: bare where that is unambiguous, else quoted."""
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f'"{escaped}"'


class LogfmtFormatter(logging.Formatter):
    """Render a record with its ``fields`` (a dict passed as ``extra``) as one logfmt line."""

    redact: Callable[[str], str] = staticmethod(str)

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, tz=datetime.UTC)
        level = _LEVELS.get(record.levelname, record.levelname.lower())
        parts = [
            f'time="{when.isoformat(timespec="microseconds").replace("+00:00", "Z")}"',
            f"level={level}",
            "msg=" + quote(self.redact(record.getMessage())),
        ]
        fields: dict[str, object] = getattr(record, "fields", {})
        for key, value in fields.items():
            text = str(value)
            # A plugin's id is what lines are looked up by, and none of its digits are secret.
            parts.append(f"{key}={quote(text if key == 'plugin' else self.redact(text))}")
        if record.exc_info:
            parts.append("trace=" + quote(self.redact(self.formatException(record.exc_info))))
        return " ".join(parts)


def setup(level: str = "info", stream: TextIO | None = None) -> None:
    """Send plugind's log to `stream` (standard error by default) at `level`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    logger.handlers[:] = [handler]
    # What libraries have to say (asyncio: "exception was never retrieved") goes the same way.
    for library in (logging.getLogger("asyncio"), logging.getLogger("aiohttp")):
        library.handlers[:] = [handler]
        library.propagate = False
    logger.propagate = False
    logger.setLevel(level.upper())


def redact_with(redact: Callable[[str], str]) -> None:
    """Let every text pass through `redact` from now on."""
    for handler in logger.handlers:
        if isinstance(handler.formatter, LogfmtFormatter):
            handler.formatter.redact = redact


def debug(message: str, **fields: object) -> None:
    """Log at level debug."""
    logger.debug(message, extra={"fields": fields})


def info(message: str, **fields: object) -> None:
    """Log at level info."""
    logger.info(message, extra={"fields": fields})


def warning(message: str, **fields: object) -> None:
    """Log at level warning."""
    logger.warning(message, extra={"fields": fields})


def error(message: str, *, exc: BaseException | None = None, **fields: object) -> None:
    """Log at level error, with the traceback of `exc` if given."""
    logger.error(message, exc_info=exc, extra={"fields": fields})
