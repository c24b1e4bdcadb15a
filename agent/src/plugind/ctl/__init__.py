# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The verbs of the `plugind` command; each is imported only when it is called."""
