# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""From what is declared and what is observed to steps: one module a kind of thing."""
