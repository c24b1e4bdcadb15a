# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every error that plugind raises on purpose, by category.

The category decides the HTTP status, in one table (``api.status``); nothing below ``api`` knows
about HTTP. Foreign exceptions are mapped into this tree once per boundary.

    PlugindError
    |-- InvalidParameter      the caller asked for something that cannot be meant       400
    |-- Unauthorized          credentials are missing or wrong                          401
    |-- Forbidden             known caller, not allowed                                 403
    |-- NotFound              no such plugin, volume, reference                         404
    |   `-- NoSuchVolume      a driver or the store says definitely: not there
    |-- Conflict              the present state does not allow it                       409
    |-- Unsupported           understood, and not served by this engine                 501
    |-- Unavailable           a dependency does not answer now                          503
    `-- System                everything else that went wrong                           500
        |-- DigestMismatch    content is not what its digest says
        |-- HostileArchive    an archive tries to leave its root, or breaks a limit
        `-- PluginFailed      the plugin's process failed; carries its last lines
"""

from __future__ import annotations


class PlugindError(Exception):
    """Base of the tree. The first argument is the message shown to the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class InvalidParameter(PlugindError):
    """The caller asked for something that cannot be meant."""


class Unauthorized(PlugindError):
    """Credentials are missing or wrong."""


class Forbidden(PlugindError):
    """The caller is known and not allowed."""


class NotFound(PlugindError):
    """No such plugin, volume or reference."""


class NoSuchVolume(NotFound):
    """The volume definitely does not exist (as opposed to: the driver could not say)."""


class Conflict(PlugindError):
    """The present state does not allow the operation."""


class Unsupported(PlugindError):
    """Understood, and not served by this engine."""


class Unavailable(PlugindError):
    """Something the operation depends on does not answer now.

    `harmless`: it cannot have seen the request, so that asking again does no harm.
    """

    harmless: bool = False


class System(PlugindError):
    """Anything else that went wrong."""


class DigestMismatch(System):
    """Content is not what its digest says."""


class HostileArchive(System):
    """An archive tries to leave its root, or breaks a limit; the message names the entry."""


class PluginFailed(System):
    """A plugin's process failed to start, died or did not answer in time.

    Fields: ``exit_status`` (None while it still runs), ``last_lines`` of its output, oldest first.
    """

    def __init__(
        self, message: str, *, exit_status: int | None = None, last_lines: tuple[str, ...] = ()
    ) -> None:
        text = message
        if last_lines:
            text += "; last output of the plugin:\n" + "\n".join("  " + line for line in last_lines)
        super().__init__(text)
        self.exit_status = exit_status
        self.last_lines = last_lines
