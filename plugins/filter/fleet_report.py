# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of many hosts -> a report; see plugin_utils/_report.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible.errors import AnsibleFilterError

from ansible_collections.plugind.engine.plugins.plugin_utils import _report

Results = Optional[Mapping[str, Any]]


def fleet_report(
    applied: Results,
    plugins: Results = None,
    volumes: Results = None,
    title: str = "Managed plugins",
    generated: str = "",
    rollout: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report."""
    given = {"input": applied, "plugins": plugins or {}, "volumes": volumes or {}}
    for name, results in given.items():
        if not isinstance(results, Mapping):
            raise AnsibleFilterError(
                f"plugind.engine.fleet_report: {name}: want a mapping from hosts to results"
            )
    if rollout is not None and not isinstance(rollout, Mapping):
        raise AnsibleFilterError(
            "plugind.engine.fleet_report: rollout: want a mapping with gates, undone and stopped"
        )
    return _report.build(
        *given.values(), title=str(title), generated=str(generated), rollout=rollout
    )


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by their names."""
        return {"fleet_report": fleet_report}
