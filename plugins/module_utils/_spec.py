# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The argument specs, one per module: what the module and the fast path on the controller both validate.

PRIVATE to this collection. The words are those of the declaration (see `_declare.py`).
"""

from __future__ import annotations

import copy
from typing import Any

Spec = dict[str, Any]


def _credentials() -> Spec:
    return {
        "type": "dict",
        "options": {
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "identity_token": {"type": "str", "no_log": True},
            "registry_token": {"type": "str", "no_log": True},
            "server_address": {"type": "str"},
        },
    }


# How the agent is reached: in every module.
COMMON: Spec = {
    "engine": {"type": "str"},
    "socket": {"type": "path"},
    "executable": {"type": "path"},
}

PLUGIN: Spec = {
    "name": {"type": "str"},
    "source": {"type": "str"},
    "state": {
        "type": "str",
        "choices": ["enabled", "present", "disabled", "absent"],
        "default": "enabled",
    },
    "grant": {"type": "raw"},
    "settings": {
        "type": "dict",
        "options": {
            "env": {"type": "dict"},
            "args": {"type": "raw"},
            "mounts": {"type": "dict"},
            "devices": {"type": "dict"},
        },
    },
    # Names, not secrets.
    "secret_settings": {"type": "list", "elements": "str", "no_log": False},
    "credentials": _credentials(),
    "timeout": {"type": "float"},
    "force": {"type": "bool", "default": False},
    "verify": {"type": "raw"},
}
# By default the agent goes back if it was to verify something.
_ROLLBACK: Spec = {"rollback": {"type": "bool"}}

VOLUME: Spec = {
    "name": {"type": "str", "required": True},
    "driver": {"type": "str", "default": "local"},
    "options": {"type": "dict"},
    "labels": {"type": "dict"},
    "secret_options": {"type": "list", "elements": "str", "no_log": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "recreate": {
        "type": "str",
        "choices": ["never", "options-changed", "always"],
        "default": "never",
    },
    "force": {"type": "bool", "default": False},
}

RUN: Spec = {
    "image": {"type": "str", "required": True},
    "pull": {"type": "str", "choices": ["missing", "always", "never"], "default": "missing"},
    "credentials": _credentials(),
    "command": {"type": "raw"},
    "entrypoint": {"type": "raw"},
    "env": {"type": "dict"},
    "working_dir": {"type": "str"},
    "user": {"type": "str"},
    "network": {"type": "str"},
    "volumes": {"type": "list", "elements": "raw"},
    "volume_driver": {"type": "str"},
    "name": {"type": "str"},
    "labels": {"type": "dict"},
    "read_only": {"type": "bool", "default": False},
    "stdin": {"type": "str"},
    "stdin_add_newline": {"type": "bool", "default": True},
    "strip_empty_ends": {"type": "bool", "default": True},
    "timeout": {"type": "float"},
    "creates": {"type": "path"},
    "removes": {"type": "path"},
}

MOUNT: Spec = {
    # A text, not a path: what is mounted at a place that `~` or a variable names would be a guess.
    "path": {"type": "str", "required": True},
    "volume": {"type": "str"},
    "state": {"type": "str", "choices": ["mounted", "absent"], "default": "mounted"},
    "read_only": {"type": "bool", "default": False},
    "propagation": {
        "type": "str",
        "choices": ["rprivate", "private", "rslave", "slave", "rshared", "shared"],
        "default": "rprivate",
    },
    "mode": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "allow_nonempty": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
}
_MOUNT_REQUIRED = [["state", "mounted", ["volume"]]]

_NAMES: Spec = {"name": {"type": "list", "elements": "str"}}
# A plugin is known by its name, and a name can be read off its source.
_PLUGIN_NAMED = [["name", "source"]]

#: kind (the module's name) -> what AnsibleModule and ArgumentSpecValidator are made with.
MODULES: dict[str, dict[str, Any]] = {
    "plugin": {
        "argument_spec": {**PLUGIN, **_ROLLBACK, **COMMON},
        "required_one_of": _PLUGIN_NAMED,
    },
    "volume": {"argument_spec": {**VOLUME, **COMMON}},
    "volume_mount": {"argument_spec": {**MOUNT, **COMMON}, "required_if": _MOUNT_REQUIRED},
    "apply": {
        "argument_spec": {
            "plugins": {
                "type": "list",
                "elements": "dict",
                "options": {**PLUGIN, "requires": {"type": "list", "elements": "str"}},
                "required_one_of": _PLUGIN_NAMED,
            },
            "volumes": {"type": "list", "elements": "dict", "options": VOLUME},
            "mounts": {
                "type": "list",
                "elements": "dict",
                "options": MOUNT,
                "required_if": _MOUNT_REQUIRED,
            },
            "prune": {
                "type": "list",
                "elements": "str",
                "choices": ["plugins", "volumes", "mounts"],
            },
            **_ROLLBACK,
            **COMMON,
        },
        "required_one_of": [["plugins", "volumes", "mounts"]],
    },
    "rollback": {
        "argument_spec": {
            "id": {"type": "str"},
            "remove_volumes": {"type": "bool", "default": False},
            **COMMON,
        }
    },
    "plugin_build": {
        "argument_spec": {
            "name": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "push": {"type": "bool", "default": False},
            "credentials": _credentials(),
            "force": {"type": "bool", "default": False},
            **COMMON,
        }
    },
    "run": {"argument_spec": {**RUN, **COMMON}},
    "plugin_info": {"argument_spec": {**_NAMES, **COMMON}},
    "volume_info": {"argument_spec": {**_NAMES, **COMMON}},
}

#: Those that change nothing.
READ_ONLY = frozenset({"plugin_info", "volume_info"})


def for_module(kind: str) -> dict[str, Any]:
    """Return the keyword arguments of AnsibleModule for this kind."""
    return copy.deepcopy(MODULES[kind])


def for_controller(kind: str) -> dict[str, Any]:
    """Return the keyword arguments of ArgumentSpecValidator: paths belong to the target.

    Validating a path expands `~` and variables, which on the controller would be the wrong ones.
    """
    keywords = for_module(kind)
    for option in keywords["argument_spec"].values():
        if option["type"] == "path":
            option["type"] = "str"
    return keywords


def needs_expansion(kind: str, params: dict[str, Any]) -> bool:
    """True if a path among `params` can only be read on the target."""
    spec = MODULES[kind]["argument_spec"]
    paths = [params.get(name) for name, option in spec.items() if option["type"] == "path"]
    return any(path and (path.startswith("~") or "$" in path) for path in paths)
