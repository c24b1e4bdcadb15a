# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""plugind: Docker managed plugins as an engine, a planner and an operator's tool."""
