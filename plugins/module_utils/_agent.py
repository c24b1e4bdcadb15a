# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find plugind on the target, call it, and read its answer.

PRIVATE to this collection. The module calls it directly, the fast path through a shell on the open connection; what
is searched, which arguments are passed and how an answer is read is the same and stands here.

    executable option -> $PLUGIND -> /usr/local/bin/plugind -> /opt/plugind/bin/plugind
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

SEARCHED = ("/usr/local/bin/plugind", "/opt/plugind/bin/plugind")
VARIABLE = "PLUGIND"

# What the shell of the fast path says when there is nothing to call; plugind itself never says it.
_MISSING = "plugind-executable-is-missing"
_MISSING_RC = 127

#: The agent's exit codes.
DONE, FAILED, REFUSED, UNREACHABLE = 0, 1, 2, 3

# ssh -vvv talks on the same channel as plugind's own errors.
_CHATTER = ("debug1:", "debug2:", "debug3:", "OpenSSH_", "Authenticated to ", "Transferred: ")


class AgentError(Exception):
    """There is no answer to work with; the message says why, and `details` goes into the result."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


def arguments(verb: str, params: Mapping[str, Any], *, check_mode: bool) -> list[str]:
    """Return the agent's arguments. They are seen by everyone on the host: no secret belongs here."""
    if verb == "rollback":
        argv = [verb, *([params["id"]] if params.get("id") else []), "--json"]
        argv += ["--remove-volumes"] if params.get("remove_volumes") else []
    else:
        argv = [verb, "-", "--json"]
    if check_mode and verb in ("apply", "rollback"):
        argv.append("--dry-run")
    for option in ("engine", "socket"):
        if params.get(option):
            argv += ["--" + option, params[option]]
    return argv


def find(executable: str | None, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the path of plugind on this host."""
    variable = (os.environ if environ is None else environ).get(VARIABLE, "")
    candidates = (executable,) if executable else (variable, *SEARCHED)
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def shell_command(executable: str | None, argv: list[str], environment: str = "") -> str:
    """Return a command for a POSIX shell that does what `find` does and then calls it.

    `environment` are assignments for it, as a shell reads them. Only they need a shell of their own.
    """
    candidates = (
        [shlex.quote(executable)]
        if executable
        else ['"$' + VARIABLE + '"', *map(shlex.quote, SEARCHED)]
    )
    script = (
        "for p in "
        + " ".join(candidates)
        + '; do if [ -f "$p" ] && [ -x "$p" ]; then exec "$p" "$@"; fi; done; '
        "echo " + _MISSING + " >&2; exit " + str(_MISSING_RC)
    )
    words = list(map(shlex.quote, argv))
    if environment:
        return " ".join([environment, "/bin/sh", "-c", shlex.quote(script), "plugind", *words])
    return " ".join(["set", "--", *words]) + "; " + script


def missing(host: str, executable: str | None = None) -> AgentError:
    """Return the error for a host without the agent."""
    where = (
        f"{executable} is not an executable file on"
        if executable
        else "plugind is not installed on"
    )
    return AgentError(f"{where} {host}: run role plugind.engine.agent, or set executable")


def read_answer(
    rc: int, stdout: str, stderr: str, *, host: str, executable: str | None
) -> dict[str, Any]:
    """Return the agent's JSON document, or raise AgentError with what it said instead."""
    if rc == _MISSING_RC and _MISSING in stderr:
        raise missing(host, executable)
    said = _said(stderr)
    answer = _json_object(stdout)
    if rc in (DONE, FAILED) and answer is not None:
        return answer
    if answer is not None and isinstance(answer.get("msg"), str):
        said = answer["msg"]
    if rc == REFUSED:
        raise AgentError(f"plugind refused the declaration: {said}", rc=rc)
    if rc == UNREACHABLE:
        raise AgentError(f"the agent on {host} does not answer: {said}", rc=rc)
    raise AgentError(
        f"plugind on {host} gave no answer (exit code {rc}): {said or stdout.strip()}", rc=rc
    )


def _said(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if not line.startswith(_CHATTER)]
    return "\n".join(lines).strip()


def _json_object(stdout: str) -> dict[str, Any] | None:
    """Find the JSON object in what came back: login scripts of the target may have had their say first."""
    for start in re.finditer(r"^\{", stdout, re.MULTILINE):
        try:
            found = json.JSONDecoder().raw_decode(stdout, start.start())[0]
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return None
