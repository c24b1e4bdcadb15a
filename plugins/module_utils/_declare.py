# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module's parameters -> the JSON document that the agent reads. Pure.

PRIVATE to this collection. Four documents: a declaration for `plugind apply`, a list of names for `plugind query`,
orders for `plugind build` and `plugind run`; `plugind rollback` reads none. What the user left out is left out here
too, so that the agent's defaults count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean


class Invalid(ValueError):
    """A parameter that no declaration can express; the message names it."""


#: kind -> the verb of the agent that carries it out
VERBS = {
    "plugin": "apply",
    "volume": "apply",
    "volume_mount": "apply",
    "apply": "apply",
    "rollback": "rollback",
    "plugin_build": "build",
    "run": "run",
    "plugin_info": "query",
    "volume_info": "query",
}


def document(kind: str, params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Return what the agent's verb for this kind reads on its standard input."""
    if kind == "rollback":
        return {}
    if kind == "plugin":
        return {"plugins": [plugin(params)], "volumes": [], **_given(params, "rollback")}
    if kind == "volume":
        return {"plugins": [], "volumes": [volume(params)]}
    if kind == "volume_mount":
        return {"plugins": [], "volumes": [], "mounts": [mount(params)]}
    if kind == "apply":
        declared = {
            "plugins": [plugin(item) for item in params.get("plugins") or []],
            "volumes": [volume(item) for item in params.get("volumes") or []],
            **_given(params, "prune", "rollback"),
        }
        if params.get("mounts") is not None:
            declared["mounts"] = [mount(item) for item in params["mounts"]]
        return declared
    if kind == "plugin_build":
        return build(params, check_mode=check_mode)
    if kind == "run":
        return run(params, check_mode=check_mode)
    names = params.get("name")
    wanted = None if names is None else list(names)
    if kind == "plugin_info":
        return {"plugins": wanted, "volumes": []}
    return {"plugins": [], "volumes": wanted}


def plugin(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return one plugin of a declaration."""
    declared = _given(
        params, "name", "source", "state", "timeout", "force", "secret_settings", "requires"
    )
    where = declared.get("name") or declared.get("source") or "plugin"
    if params.get("grant") is not None:
        declared["grant"] = grant(params["grant"], where)
    if params.get("settings") is not None:
        declared["settings"] = settings(params["settings"], where)
    if params.get("credentials") is not None:
        declared["credentials"] = _credentials(params["credentials"])
    verified = verify(params.get("verify"), where)
    if verified is not None:
        declared["verify"] = verified
    return declared


def verify(value: Any, where: str) -> Any:
    """Return how a plugin is verified: true, a mapping, or None if it is not."""
    if not isinstance(value, Mapping):
        return True if _flag(value or False, f"{where}: verify") else None
    declared = {str(key): item for key, item in value.items() if item is not None}
    if "activate" in declared:
        declared["activate"] = _flag(declared["activate"], f"{where}: verify.activate")
    if "timeout" in declared:
        declared["timeout"] = _seconds(declared["timeout"], f"{where}: verify.timeout")
    if "volume" in declared:
        declared["volume"] = _probe(declared["volume"], f"{where}: verify.volume")
    return declared


def _probe(value: Any, where: str) -> dict[str, Any]:
    """Return the volume that is made for a moment; `{}` is one without options."""
    options = value.get("options") if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping) or not isinstance(options, (Mapping, type(None))):
        raise Invalid(f"{where}: want a mapping with options")
    others = {str(key): item for key, item in value.items() if key != "options"}
    return {**others, "options": _texts(options or {}, f"{where}.options")}


def _flag(value: Any, where: str) -> bool:
    try:
        return boolean(value)
    except TypeError:
        raise Invalid(f"{where}: want true, false or a mapping, not {value!r}") from None


def _seconds(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Invalid(f"{where}: want a number of seconds, not {value!r}") from None


def volume(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return one volume of a declaration."""
    declared = _given(params, "name", "driver", "state", "recreate", "force", "secret_options")
    for key in ("options", "labels"):
        if params.get(key) is not None:
            declared[key] = _texts(params[key], f"{params['name']}: {key}")
    return declared


def mount(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return one host mount of a declaration."""
    declared = _given(params, "path", "volume", "state", "read_only", "propagation", "force")
    return {**declared, **_given(params, "mode", "owner", "group", "allow_nonempty")}


def build(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Return the order to build a plugin."""
    order = _given(params, "name", "path", "push", "force", "engine")
    if params.get("credentials") is not None:
        order["credentials"] = _credentials(params["credentials"])
    order["dry_run"] = check_mode
    return order


def run(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Return the order to run a container."""
    order = _given(
        params, "image", "pull", "working_dir", "user", "network", "volume_driver", "name",
        "read_only", "timeout", "creates", "removes",
    )  # fmt: skip
    for key in ("command", "entrypoint"):
        if params.get(key) is not None:
            order[key] = _words(params[key], key)
    for key in ("env", "labels"):
        if params.get(key) is not None:
            order[key] = _texts(params[key], key)
    if params.get("volumes") is not None:
        order["volumes"] = [_mounted(item) for item in params["volumes"]]
    if params.get("credentials") is not None:
        order["credentials"] = _credentials(params["credentials"])
    if params.get("stdin") is not None:
        # As ansible.builtin.command does it.
        order["stdin"] = params["stdin"] + ("\n" if params.get("stdin_add_newline") else "")
    order["dry_run"] = check_mode
    return order


def grant(value: Any, where: str) -> Any:
    """Return the privileges granted: the word "all", or name -> values.

    A single value may stand without its list, `network: host`; so may the `true` of a privilege that is only there
    or not there, `host pid namespace: true`.
    """
    if value == "all":
        return "all"
    if not isinstance(value, Mapping):
        raise Invalid(f'{where}: grant: want "all" or a mapping of privileges, not {value!r}')
    granted: dict[str, Any] = {}
    for name, values in value.items():
        if values is None:
            raise Invalid(f"{where}: grant.{name}: want a list of values, or true")
        if isinstance(values, bool):
            granted[str(name)] = values
            continue
        listed = values if isinstance(values, (list, tuple)) else [values]
        granted[str(name)] = [_text(item, f"{where}: grant.{name}") for item in listed]
    return granted


def settings(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the settings, every value a text."""
    declared: dict[str, Any] = {}
    for key in ("env", "mounts", "devices"):
        if value.get(key) is not None:
            declared[key] = _texts(value[key], f"{where}: settings.{key}")
    if value.get("args") is not None:
        declared["args"] = _words(value["args"], f"{where}: settings.args")
    return declared


def _credentials(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}


def _given(params: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: params[name] for name in names if params.get(name) is not None}


def _words(value: Any, where: str) -> Any:
    """Return a list of texts, or one text, which the agent splits."""
    if isinstance(value, (list, tuple)):
        return [_text(item, where) for item in value]
    return _text(value, where)


def _mounted(value: Any) -> Any:
    """Return one of the volumes of a container: a text, or a mapping that the agent checks."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items() if item is not None}
    return _text(value, "volumes")


def _texts(value: Mapping[str, Any], where: str) -> dict[str, str]:
    """Null means "not declared", so that a variable can leave a setting out."""
    return {
        str(key): _text(item, f"{where}.{key}") for key, item in value.items() if item is not None
    }


def _text(value: Any, where: str) -> str:
    """Plugins know only texts. A YAML `true` is the text "true", as plugins' documentation writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    kind = "mapping" if isinstance(value, Mapping) else "list"
    raise Invalid(f"{where}: want a text, not a {kind}")
