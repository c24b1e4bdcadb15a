# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The OCI runtime spec of a plugin, as Docker Engine makes it (moby `plugin/v2`), mended.

    runtime_spec(plugin, dirs, facts, confinement) -> dict, ready for config.json in a bundle

Mended on purpose: `user` is honoured; devices come from the settings, where `set` put them; the
cgroup has an absolute path; seccomp and limits are there, by policy. Mounts are in mounts.py.
"""

from __future__ import annotations

from typing import Any

from plugind import errors
from plugind.model import config as config_
from plugind.model import facts as facts_
from plugind.model import plugin as plugin_
from plugind.model.confinement import Confinement
from plugind.spec import defaults, mounts, seccomp

#: In microseconds: what is left of a plugin's share comes back after so long. The kernel's default.
_CPU_PERIOD = 100_000


def runtime_spec(
    plugin: plugin_.Plugin,
    dirs: facts_.PluginDirs,
    facts: facts_.HostFacts,
    confinement: Confinement,
) -> dict[str, Any]:
    """Return the runtime spec of `plugin`; System names what it lacks."""
    config = plugin.config
    linux: dict[str, Any] = {
        "cgroupsPath": f"{defaults.CGROUP_PARENT}/{plugin.id}",
        "namespaces": [{"type": name} for name in _namespaces(config)],
        "devices": [_device(node) for node in _nodes(plugin, facts)],
        "resources": {
            "devices": _device_rules(plugin, facts),
            **_limits(confinement, swap=facts.swap_accounted),
        },
        "maskedPaths": [*defaults.MASKED_PATHS, *facts.thermal_throttle],
        "readonlyPaths": list(defaults.READONLY_PATHS),
    }
    bounding = _capabilities(config)["bounding"]
    if rules := seccomp.compute_filter(confinement.seccomp, bounding, facts.kernel):
        linux["seccomp"] = rules
    if config.propagated_mount:
        linux["rootfsPropagation"] = "rshared"
    return {
        "ociVersion": defaults.OCI_VERSION,
        "process": _process(plugin),
        "root": {"path": str(dirs.rootfs), "readonly": False},
        "mounts": mounts.compute_mounts(plugin, dirs, facts),
        "linux": linux,
    }


def _process(plugin: plugin_.Plugin) -> dict[str, Any]:
    """Return `process`; a relative or bare entrypoint is resolved by the runtime, by cwd and PATH."""
    config = plugin.config
    return {
        "terminal": False,
        "user": {"uid": config.uid, "gid": config.gid},
        "args": [*(config.entrypoint or ()), *plugin.settings.args],
        # A setting may name PATH again; the last one counts.
        "env": [defaults.PATH, *plugin.settings.env],
        "cwd": config.work_dir or "/",
        "capabilities": _capabilities(config),
        "noNewPrivileges": False,
    }


def _capabilities(config: config_.PluginConfig) -> dict[str, list[str]]:
    extras = [name for name in config.capabilities or () if name not in defaults.CAPABILITIES]
    every = [*defaults.CAPABILITIES, *extras]
    sets = {
        "bounding": every,
        "permitted": list(every),
        "effective": list(every),
        "inheritable": list(config.capabilities or ()),
    }
    if config.uid != 0 and config.capabilities:
        # Only ambient capabilities outlive the exec of a user other than root. What was asked for
        # by name was granted by name, so it must arrive; the defaults need not.
        sets["ambient"] = list(config.capabilities)
    return sets


def _namespaces(config: config_.PluginConfig) -> list[str]:
    shared = set()
    if config.network_type == "host":
        shared.add("network")
    if config.pid_host:
        shared.add("pid")
    if config.ipc_host:
        shared.add("ipc")
    return [name for name in defaults.NAMESPACES if name not in shared]


def _nodes(plugin: plugin_.Plugin, facts: facts_.HostFacts) -> list[facts_.DeviceNode]:
    nodes: list[facts_.DeviceNode] = []
    for device in plugin.settings.devices:
        if device.path is None:
            raise errors.System("device path is not specified")
        if device.path not in facts.devices:
            raise errors.System(f'cannot add device "{device.path}": it was not looked up')
        nodes += facts.devices[device.path]
    return nodes


def _device(node: facts_.DeviceNode) -> dict[str, Any]:
    return {
        "path": node.path,
        "type": node.type,
        "major": node.major,
        "minor": node.minor,
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    }


def _device_rules(plugin: plugin_.Plugin, facts: facts_.HostFacts) -> list[dict[str, Any]]:
    rules = defaults.device_rules()
    if plugin.config.allow_all_devices:
        rules = [{"allow": True, "access": "rwm"}]
    rules += [
        defaults.device_rule(node.type, node.major, node.minor) for node in _nodes(plugin, facts)
    ]
    return rules


def _limits(confinement: Confinement, *, swap: bool) -> dict[str, Any]:
    """Return the cgroup's limits; `swap`: the host can limit it, so that it is no way around."""
    limits: dict[str, Any] = {}
    if confinement.memory:
        limits["memory"] = {"limit": confinement.memory}
        if swap:
            # Memory and swap together: none of it may be swap.
            limits["memory"]["swap"] = confinement.memory
    if confinement.cpus:
        limits["cpu"] = {"quota": round(confinement.cpus * _CPU_PERIOD), "period": _CPU_PERIOD}
    if confinement.pids:
        limits["pids"] = {"limit": confinement.pids}
    return limits
