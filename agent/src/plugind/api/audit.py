# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who wanted it: a line in the log for each request that may change something, when it is answered.

    msg="POST /plugins/sshfs/disable" status=200 uid=0 pid=4242 program=docker login=1000

`login` is as whom the caller's user has logged in, before any sudo, where the kernel was told. What a
request carries is not logged: events say what came of it, and secrets may be in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import aiohttp

from plugind import log
from plugind.api import status
from plugind.api.access import Peer
from plugind.host import peercred


class Outcome:
    """The status of a request's answer; None if there was nobody left to answer."""

    status: int | None = None


@contextlib.contextmanager
def told(doing: str, peer: Peer) -> Iterator[Outcome]:
    """Log the request in the end, however it ends."""
    caller = describe(peer)  # who may be gone by then
    outcome = Outcome()
    try:
        yield outcome
    except aiohttp.ClientConnectionResetError:
        raise
    except Exception as exc:
        outcome.status = status.status_of(exc)
        raise
    finally:
        log.info(doing, status=outcome.status or "none", **caller)


def describe(peer: Peer) -> dict[str, object]:
    """Return what is known of the caller, as fields of a line in the log."""
    fields: dict[str, object] = {"uid": peer.uid, "pid": peer.pid}
    if program := peercred.program_of(peer.pid):
        fields["program"] = program
    login = peercred.login_of(peer.pid)
    if login is not None:
        fields["login"] = login
    return fields
