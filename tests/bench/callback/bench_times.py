# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Ansible callback: a line of JSON in $BENCH_TIMES for each task and host, with the time from the task's start."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: bench_times
type: aggregate
short_description: times of tasks
description: [For the benchmarks of this collection.]
"""


class CallbackModule(CallbackBase):
    """Writes as results come in."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bench_times"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Look at the clock."""
        self._started = time.perf_counter()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Write what it took."""
        spent = (time.perf_counter() - self._started) * 1000
        line = {
            "task": result.task_name,
            "host": result.host.name,
            "ms": spent,
            "changed": bool(result.result.get("changed")),
        }
        with open(os.environ["BENCH_TIMES"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
