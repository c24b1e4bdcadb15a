# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Front sockets: one for each plugin's name, and how consumers find it."""
