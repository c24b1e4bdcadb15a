# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What lies on disk. Synchronous and blocking; the engine decides what runs in a thread."""
