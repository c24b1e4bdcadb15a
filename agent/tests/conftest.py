# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What every room of the agent's tests has."""

from __future__ import annotations

pytest_plugins = ["support.skips", "support.undo"]
