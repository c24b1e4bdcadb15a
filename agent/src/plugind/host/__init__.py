# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The kernel and its tools, one thing a file, 1:1, no policy."""
