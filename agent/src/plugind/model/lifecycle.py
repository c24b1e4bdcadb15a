# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The life of a plugin: one enum, one transition table. Timers only raise triggers.

DISABLED --enable--> STARTING --ready--> RUNNING --exited--> BACKOFF --elapsed--> STARTING
   ^                    | timeout           | disable            | limit
   +--- STOPPING <------+-------------------+                    v
        (TERM, then KILL)                                      FAILED --enable--> STARTING

STOPPING --enable--> STARTING    what runs is replaced: nothing is disabled in between
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from plugind import errors


class PluginState(enum.Enum):
    """Where a plugin is in its life."""

    DISABLED = "disabled"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"


class Trigger(enum.Enum):
    """What moves a plugin from one state to another."""

    ENABLE = "enable"
    READY = "ready"
    FAILED = "failed"
    EXITED = "exited"
    ELAPSED = "elapsed"
    LIMIT = "limit"
    DISABLE = "disable"
    STOPPED = "stopped"
    ADOPT = "adopt"


_S, _T = PluginState, Trigger
TRANSITIONS: dict[tuple[PluginState, Trigger], PluginState] = {
    (_S.DISABLED, _T.ENABLE): _S.STARTING,
    (_S.DISABLED, _T.ADOPT): _S.RUNNING,
    (_S.STARTING, _T.READY): _S.RUNNING,
    (_S.STARTING, _T.FAILED): _S.STOPPING,
    (_S.STARTING, _T.EXITED): _S.BACKOFF,
    (_S.STARTING, _T.DISABLE): _S.STOPPING,
    (_S.RUNNING, _T.EXITED): _S.BACKOFF,
    (_S.RUNNING, _T.DISABLE): _S.STOPPING,
    (_S.BACKOFF, _T.ELAPSED): _S.STARTING,
    (_S.BACKOFF, _T.LIMIT): _S.FAILED,
    (_S.BACKOFF, _T.DISABLE): _S.STOPPING,
    (_S.FAILED, _T.ENABLE): _S.STARTING,
    (_S.FAILED, _T.DISABLE): _S.STOPPING,
    (_S.STOPPING, _T.STOPPED): _S.DISABLED,
    (_S.STOPPING, _T.ENABLE): _S.STARTING,
}


def advance(state: PluginState, trigger: Trigger) -> PluginState:
    """Return the next state; Conflict if the trigger has no meaning in this one."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise errors.Conflict(f"cannot {trigger.value} a plugin that is {state.value}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Backoff between restarts, in seconds, and how many in a row before giving up.

    A run of at least `healthy_after` seconds ends the row.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 60.0
    limit: int = 10
    healthy_after: float = 10.0

    def delay(self, failures: int) -> float | None:
        """Return the seconds to wait after `failures` (>= 1) in a row; None means give up."""
        if failures > self.limit:
            return None
        try:
            return min(self.longest, self.first * self.factor ** (failures - 1))
        except OverflowError:  # a generous limit, and a thousand failures
            return self.longest
