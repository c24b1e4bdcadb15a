# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every module of this collection does: one call of the agent.

PRIVATE to this collection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.plugind.engine.plugins.module_utils import (
    _agent,
    _declare,
    _result,
    _secrets,
)

#: Parameters that hold values under names of the plugin's own.
_UNJUDGED = frozenset(("settings", "options", "plugins", "volumes", "verify"))


class EngineModule(AnsibleModule):
    """An AnsibleModule that also keeps secrets quiet which only their names give away."""

    @property
    def diff_mode(self) -> bool:
        """Whether the task wants a diff."""
        return bool(self._diff)

    def log(self, msg: Any, log_args: Mapping[str, Any] | None = None) -> None:
        """Write to the target's system log, as every module does with its parameters at its start."""
        self.no_log_values.update(_secrets.values(self.params))
        quiet = {
            # What a plugin's label calls a secret, the agent knows: until then any value may be one.
            key: "(not logged)"
            if key in _UNJUDGED and value not in ("", "None")
            else remove_values(value, self.no_log_values)
            for key, value in (log_args or {}).items()
        }
        if quiet:
            msg = "Invoked with " + " ".join(f"{key}={value}" for key, value in quiet.items())
        super().log(remove_values(msg, self.no_log_values), quiet)


def carry_out(module: EngineModule, kind: str) -> None:
    """Call the agent once and end the module with its answer."""
    params = module.params
    module.no_log_values.update(_secrets.values(params))
    try:
        answer = _call(module, kind)
    except _agent.AgentError as error:
        result = _result.failure(str(error), params, error.details)
    except _declare.Invalid as error:
        result = _result.failure(str(error), params, {})
    else:
        module.no_log_values.update(_secrets.values(params, _secrets.names(kind, params, answer)))
        result = _result.task_result(kind, answer, params, diff_mode=module.diff_mode)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if result.pop("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


def _call(module: EngineModule, kind: str) -> dict[str, Any]:
    params, verb = module.params, _declare.VERBS[kind]
    document = _declare.document(kind, params, check_mode=module.check_mode)
    executable = _agent.find(params["executable"])
    if executable is None:
        raise _agent.missing("this host", params["executable"])
    argv = [executable, *_agent.arguments(verb, params, check_mode=module.check_mode)]
    rc, stdout, stderr = module.run_command(argv, data=json.dumps(document))
    return _agent.read_answer(rc, stdout, stderr, host="this host", executable=params["executable"])
