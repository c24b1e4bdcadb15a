# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fast path: what the module would do, from the controller, without sending the module.

PRIVATE to this collection. Sending, unpacking and compiling a module costs 120 to 700 ms a host and task; all that
ours does is to hand one JSON document to plugind. So the action validates the same argument spec here and pipes the
document to `plugind` over the connection that is open anyway:

    spec (controller) -> document -> connection stdin -> plugind apply - --json -> answer -> the module's result

The module itself runs instead wherever that would not be the same thing:

* the connection cannot pass standard input on, or the become method cannot (`su` reads it);
* become without `pipelining`: that setting is the user's word that sudo on the target does not demand a terminal;
* async, ANSIBLE_KEEP_REMOTE_FILES, a shell that is not POSIX;
* a path that only the target can expand (`~`, `$HOME`);
* the variable `plugind_fast_path` is false.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from ansible import constants
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.plugind.engine.plugins.module_utils import (
    _agent,
    _declare,
    _result,
    _secrets,
    _spec,
)

SWITCH = "plugind_fast_path"
# -vvv
_SHOWS_INVOCATION = 3


class FastAction(ActionBase):
    """An action that is its module, only quicker."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True

    #: the module's name in this collection
    kind: ClassVar[str]

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Validate, then take the fast path or the module's."""
        task_vars = task_vars or {}
        base = super().run(None, task_vars)
        validated = ArgumentSpecValidator(**_spec.for_controller(self.kind)).validate(
            _plain(self._task.args)
        )
        params = validated.validated_parameters
        hidden = set(validated._no_log_values)  # noqa: SLF001 - it has no other name
        hidden |= _secrets.values(params)
        if validated.error_messages:
            outcome = self._failure(_refusal(self.kind, validated), params, {})
        elif self._is_fast(params, task_vars):
            outcome = self._call(params, hidden)
        else:
            return {**base, **self._run_module(task_vars)}
        return {**base, **_censored(outcome, hidden)}

    def _is_fast(self, params: dict[str, Any], task_vars: dict[str, Any]) -> bool:
        connection = self._connection
        return (
            boolean(self._templar.template(task_vars.get(SWITCH, True)), strict=False)
            and bool(connection.has_pipelining)
            and getattr(self._shell(), "SHELL_FAMILY", "") == "sh"
            and not self._task.async_val
            and not constants.DEFAULT_KEEP_REMOTE_FILES
            # Without become there is nobody on the way who could want a terminal, whatever `pipelining` says.
            and (not connection.become or connection.is_pipelining_enabled())
            and not _spec.needs_expansion(self.kind, params)
        )

    def _call(self, params: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
        """Call the agent; what it says is secret is added to what is `hidden`."""
        check_mode, executable = bool(self._task.check_mode), params["executable"]
        try:
            document = _declare.document(self.kind, params, check_mode=check_mode)
            argv = _agent.arguments(_declare.VERBS[self.kind], params, check_mode=check_mode)
            environment = self._compute_environment_string().strip()
            command = _agent.shell_command(executable, argv, environment)
            self._display.vvv(f"plugind.engine.{self.kind}: fast path")
            said = self._low_level_execute_command(command, in_data=json.dumps(document).encode())
            answer = _agent.read_answer(
                said["rc"],
                said["stdout"],
                said["stderr"],
                host=self._host(),
                executable=executable,
            )
        except _agent.AgentError as error:
            return self._failure(str(error), params, error.details)
        except _declare.Invalid as error:
            return self._failure(str(error), params, {})
        hidden |= _secrets.values(params, _secrets.names(self.kind, params, answer))
        return _result.task_result(
            self.kind,
            answer,
            params,
            diff_mode=bool(self._task.diff),
            with_invocation=self._wants_invocation(),
        )

    def _failure(self, message: str, params: dict[str, Any], details: Any) -> dict[str, Any]:
        failed = _result.failure(message, params, details)
        if not self._wants_invocation():
            del failed["invocation"]
        return failed

    def _wants_invocation(self) -> bool:
        """True if somebody looks at how the task was called; a registered result never has it.

        A declaration with all its defaults may be larger than the answer, and Ansible's main process, of which there
        is one for all hosts, copies every value of a result for each callback.
        """
        # Since ansible-core 2.21 a module's result has it where this is set, however talkative a play is.
        if hasattr(constants, "INJECT_INVOCATION"):
            return bool(constants.INJECT_INVOCATION)
        return bool(self._display.verbosity >= _SHOWS_INVOCATION)

    def _run_module(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        wrap_async = bool(self._task.async_val and not self._connection.has_native_async)
        self._display.vvv(f"plugind.engine.{self.kind}: by module")
        try:
            return self._execute_module(
                module_name=f"plugind.engine.{self.kind}",
                task_vars=task_vars,
                wrap_async=wrap_async,
            )
        finally:
            # An async module still runs in there.
            if not wrap_async:
                self._remove_tmp_path(self._shell().tmpdir)

    def _shell(self) -> Any:
        return self._connection._shell  # noqa: SLF001 - Ansible's actions reach it so, too

    def _host(self) -> str:
        return str(self._task.delegate_to or self._play_context.remote_addr or "this host")


def _plain(value: Any) -> Any:
    """Return a copy as JSON would give it to a module: without the notes that Ansible keeps with each value.

    Where a value comes from is of no use any more, and copying it with the values takes longer than all else here.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value) if isinstance(value, int) else float(value)
    return value


def _refusal(kind: str, validated: Any) -> str:
    message = validated.errors.msg
    if isinstance(validated.errors[0], UnsupportedError):
        message = f"Unsupported parameters for (plugind.engine.{kind}) module: {message}"
    return str(message)


def _censored(outcome: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
    """Do what AnsibleModule does before it prints: no secret leaves, but True and None stay what they are."""
    if not hidden:
        return outcome
    kept = {
        key: value for key, value in outcome.items() if value is None or isinstance(value, bool)
    }
    return {**remove_values(outcome, hidden), **kept}
