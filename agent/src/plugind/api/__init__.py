# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""HTTP only: one route table, parse, one engine call, render."""
