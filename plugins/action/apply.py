# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module `apply` on the fast path; see plugin_utils/_fast.py."""

from __future__ import annotations

from ansible_collections.plugind.engine.plugins.plugin_utils import _compiled

_fast = _compiled.load("_fast")


class ActionModule(_fast.FastAction):
    """The action of `plugind.engine.apply`."""

    kind = "apply"
