# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report -> a page; see plugin_utils/_report_html.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.plugind.engine.plugins.plugin_utils import _report, _report_html


def report_html(report: Mapping[str, Any]) -> str:
    """Return the page."""
    if not isinstance(report, Mapping) or report.get("format") != _report.FORMAT:
        raise AnsibleFilterError(
            "plugind.engine.report_html: want what plugind.engine.fleet_report of this version returns"
        )
    return _report_html.render(report)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by their names."""
        return {"report_html": report_html}
