# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What all benchmarks share. From below:

figures    medians of times, and the lines that are printed
disk       a journaled file system of their own, and how to make it durable
processes  what a process and its like keep in memory
plugins    the plugin that is measured, small or filled up to a size
engines    plugind and dockerd side by side on that file system
playbooks  ansible-playbook, timed task by task, over ssh to this machine
catalogue  what each figure is, its goal, and why it may be missed
document   docs/performance.md out of figures and catalogue
cli        one benchmark alone
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# The agent's test helpers and the library of fleets.
sys.path += [str(ROOT / "agent" / "tests"), str(ROOT / "tests")]
