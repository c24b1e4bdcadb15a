# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes of plugins and of `local`: records, drivers, mounts, and who holds them."""
