# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A declaration on this engine: apply, probe, and the way back."""
