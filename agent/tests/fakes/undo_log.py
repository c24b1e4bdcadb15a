# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An undo log in memory: implements `target.UndoLog`, and keeps what a disk would keep.

log.fail["done"] = errors.System("...")     the next `done` raises this
log.record                                  what is on record now
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeUndoLog:
    """See the module's text."""

    record: dict[str, Any] | None = None
    fail: dict[str, BaseException] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    begun: int = 0

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if method in self.fail:
            raise self.fail.pop(method)

    async def begin(self, document: Mapping[str, Any], *, rollback: bool) -> str:
        self._called("begin")
        self.begun += 1
        change = f"{self.begun:016x}"
        # What cannot be written as JSON, or differs when it is read, is a mistake of the caller's.
        declaration = json.loads(json.dumps(document))
        self.record = {
            "id": change, "state": "running", "rollback": rollback, "declaration": declaration,
        }  # fmt: skip
        return change

    async def done(self, change: str) -> None:
        self._called("done")
        assert self.record is not None
        assert self.record["id"] == change
        self.record["state"] = "done"

    async def drop(self, change: str) -> None:
        self._called("drop")
        assert self.record is not None
        assert self.record["id"] == change
        self.record = None

    async def last(self) -> Mapping[str, Any] | None:
        self._called("last")
        return self.record
