# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is on a host -> its declaration; see plugin_utils/_export.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.plugind.engine.plugins.plugin_utils import _export


def to_declaration(
    found: Mapping[str, Any], listed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the declaration of what two results tell of."""
    listed = {} if listed is None else listed
    for result, key in ((found, "plugins"), (listed, "volumes")):
        if not isinstance(result, Mapping) or (result and key not in result):
            raise AnsibleFilterError(
                f"plugind.engine.to_declaration: want a result with {key}, of a task that succeeded"
            )
    return _export.export(
        found.get("plugins") or (), listed.get("volumes") or (), listed.get("mounts") or ()
    )


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by their names."""
        return {"to_declaration": to_declaration}
