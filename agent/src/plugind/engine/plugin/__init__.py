# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The stories of plugins: install, enable, set, upgrade, supervise, remove."""
