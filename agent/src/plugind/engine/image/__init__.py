# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Images of one-off containers: pull, load, import, remove."""
