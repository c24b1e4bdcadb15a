# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One-off containers: create, run, attach, end."""
