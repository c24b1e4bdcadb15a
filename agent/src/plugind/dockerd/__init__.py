# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real Docker Engine as the target of a plan, through the docker SDK."""
