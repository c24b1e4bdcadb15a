# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What every room of the collection's tests has."""

from __future__ import annotations

# The agent's test helpers, of which both trees have the use, and pytest's own for testing one of them.
pytest_plugins = ["support.skips", "support.undo", "pytester"]
