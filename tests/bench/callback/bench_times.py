# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Ansible callback: a line of JSON in $BENCH_TIMES for each task and host, with the time from the task's start.

It is the default callback with a clock: Ansible copies each result for every callback, and one beside the default
would be part of what it measures.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import default

DOCUMENTATION = """
name: bench_times
type: stdout
short_description: times of tasks
description: [For the benchmarks of this collection.]
extends_documentation_fragment: [default_callback, result_format_callback]
"""


class CallbackModule(default.CallbackModule):
    """Writes as results come in."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bench_times"

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Look at the clock."""
        super().v2_playbook_on_task_start(task, is_conditional)
        self._started = time.perf_counter()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Write what it took."""
        super().v2_runner_on_ok(result)
        spent = (time.perf_counter() - self._started) * 1000
        line = {
            "task": result.task_name,
            "host": result.host.name,
            "ms": spent,
            "changed": result.is_changed(),
        }
        with open(os.environ["BENCH_TIMES"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
