# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes that all modules share, with the support that all of them have."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of Ansible content."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action:
    description: Has a corresponding action, so that some parts are executed on the controller.
    support: full
  action_group:
    description: Use C(group/plugind.engine.plugind) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - plugind.engine.plugind
  async:
    description: Can be used with the C(async) keyword.
    support: full
    details:
      - Without the fast path.
  become:
    description: Is usable alongside C(become) keywords.
    support: full
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  connection:
    description: Uses the target's configured connection information to execute code on it.
    support: full
  delegation:
    description: Can be used in conjunction with C(delegate_to) and related keywords.
    support: full
  diff_mode:
    description: Returns details on what has changed, or possibly needs changing in C(check_mode), when in diff
      mode.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation
      changes nothing.
  platform:
    description: Target OS or families that can be operated against.
    platforms: linux
    support: full
"""

    # A module that declares: check mode is the agent's dry run.
    DECLARES = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - The agent plans and carries nothing out. A call that would fail for a reason that can be known fails in
        check mode, too.
  diff_mode:
    support: full
  idempotent:
    support: full
"""

    # A module that only looks.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not change anything.
  diff_mode:
    support: N/A
    details:
      - This module does not change anything.
  idempotent:
    support: full
    details:
      - This module does not change anything.
"""
