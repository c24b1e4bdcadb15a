# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Pure nouns: no I/O, no clock, no environment, no log."""
