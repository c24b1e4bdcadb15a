# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent's answer -> what a task returns. Pure.

PRIVATE to this collection. The module hands the mapping to `exit_json` or `fail_json`, the fast path returns it; so
both paths return the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.plugind.engine.plugins.module_utils import _secrets

Answer = Mapping[str, Any]


def task_result(
    kind: str,
    answer: Answer,
    params: Mapping[str, Any],
    *,
    diff_mode: bool,
    with_invocation: bool = True,
) -> dict[str, Any]:
    """Return the result of a task of this kind; `failed` is in it when the agent says so."""
    result: dict[str, Any] = {
        "changed": bool(answer.get("changed")),
        "failed": bool(answer.get("failed")),
    }
    if with_invocation:
        result["invocation"] = invocation(params, _secrets.names(kind, params, answer))
    if kind == "run":
        # What a command writes is what the task is for: nothing in it is masked by its looks.
        result.update(_run(answer, params))
    else:
        result.update(_secrets.masked(_BY_KIND[kind](answer)))
    for key in ("msg", "warnings", "engine"):
        if answer.get(key):
            result[key] = answer[key]
    if result["failed"]:
        result.setdefault("msg", "the agent failed and did not say why")
    difference = answer.get("diff")
    if diff_mode and difference:
        result["diff"] = render_diff(difference, answer.get("engine"))
    return result


def failure(message: str, params: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a task that got no answer."""
    return {
        **details,
        "changed": False,
        "failed": True,
        "msg": message,
        "invocation": invocation(params),
    }


def invocation(params: Mapping[str, Any], named: _secrets.Names = None) -> dict[str, Any]:
    """Return the parameters as results show them; see `_secrets.shown`."""
    return {"module_args": _secrets.shown(params, named)}


def render_diff(difference: Mapping[str, Any], engine: Any = None) -> dict[str, Any]:
    """Return a before/after pair as Ansible prints it: both sides mappings, sorted by Ansible itself."""
    rendered = {side: _secrets.masked(difference.get(side) or {}) for side in ("before", "after")}
    if isinstance(engine, str) and engine:
        rendered.update(before_header=engine, after_header=engine)
    return rendered


def _steps(answer: Answer) -> list[Any]:
    return list(answer.get("steps") or [])


def _listed(answer: Answer, key: str) -> list[Any]:
    return list(answer.get(key) or [])


def _first(answer: Answer, key: str) -> Any:
    found = _listed(answer, key)
    return found[0] if found else {}


def _way_back(answer: Answer) -> dict[str, Any]:
    return {"undo": answer.get("undo"), "rolled_back": bool(answer.get("rolled_back"))}


def _plugin(answer: Answer) -> dict[str, Any]:
    return {"plugin": _first(answer, "plugins"), "steps": _steps(answer), **_way_back(answer)}


def _volume(answer: Answer) -> dict[str, Any]:
    first, undo = _first(answer, "volumes"), answer.get("undo")
    return {"volume": first, "steps": _steps(answer), "undo": undo}


def _mount(answer: Answer) -> dict[str, Any]:
    first, undo = _first(answer, "mounts"), answer.get("undo")
    return {"mount": first, "steps": _steps(answer), "undo": undo}


def _apply(answer: Answer) -> dict[str, Any]:
    return {
        "plugins": _listed(answer, "plugins"),
        "volumes": _listed(answer, "volumes"),
        "mounts": _listed(answer, "mounts"),
        "steps": _steps(answer),
        **_way_back(answer),
    }


def _build(answer: Answer) -> dict[str, Any]:
    return {
        "plugin": answer.get("plugin") or {},
        "digest": answer.get("digest") or "",
        "pushed": bool(answer.get("pushed")),
        "pushed_digest": answer.get("pushed_digest") or "",
    }


def _run(answer: Answer, params: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("rc", "stdout", "stderr", "image", "image_id", "container", "skipped")
    result = {key: answer[key] for key in kept if key in answer}
    for key in ("stdout", "stderr"):
        if key in result:
            # Both as ansible.builtin.command does it.
            if params.get("strip_empty_ends"):
                result[key] = result[key].rstrip("\r\n")
            result[key + "_lines"] = result[key].splitlines()
    return result


def _plugins(answer: Answer) -> dict[str, Any]:
    return {"plugins": _listed(answer, "plugins"), "info": answer.get("info") or {}}


def _volumes(answer: Answer) -> dict[str, Any]:
    mounts = _listed(answer, "mounts")
    return {
        "volumes": _listed(answer, "volumes"),
        "mounts": mounts,
        "info": answer.get("info") or {},
    }


_BY_KIND = {
    "plugin": _plugin,
    "volume": _volume,
    "volume_mount": _mount,
    "apply": _apply,
    "rollback": _apply,
    "plugin_build": _build,
    "plugin_info": _plugins,
    "volume_info": _volumes,
}
