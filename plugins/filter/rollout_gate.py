# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of a batch -> whether it passes; see plugin_utils/_rollout.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.plugind.engine.plugins.plugin_utils import _rollout


def rollout_gate(
    applied: Mapping[str, Any],
    checks: Mapping[str, Any] | None = None,
    number: int = 1,
    max_fail: float = 0,
    max_unreachable: float = 100,
) -> dict[str, Any]:
    """Return the gate."""
    if not isinstance(applied, Mapping):
        raise AnsibleFilterError(
            "plugind.engine.rollout_gate: want a mapping from hosts to results"
        )
    return _rollout.judge(
        applied,
        checks,
        number=int(number),
        max_fail=_percentage(max_fail, "max_fail"),
        max_unreachable=_percentage(max_unreachable, "max_unreachable"),
    )


def _percentage(value: Any, name: str) -> float:
    try:
        number = float(str(value).rstrip("%"))
    except ValueError:
        number = -1
    if not 0 <= number <= 100:
        raise AnsibleFilterError(
            f"plugind.engine.rollout_gate: {name}: want a percentage from 0 to 100, not {value!r}"
        )
    return number


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by their names."""
        return {"rollout_gate": rollout_gate}
