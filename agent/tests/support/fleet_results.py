# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Results of tasks as a fleet returns them, made up: three hosts of every kind, or any number."""

from __future__ import annotations

from typing import Any

Results = dict[str, dict[str, Any]]
SSHFS = "registry.example.com/plugins/sshfs:3"
DIGEST = "sha256:" + "3fb2a1c0" * 8


def plugin(name: str, source: str, state: str = "running", **status: Any) -> dict[str, Any]:
    """A plugin as plugin_info shows it."""
    running = {"State": state, "Restarts": 0, "LastExit": None, "LastError": None, **status}
    return {
        "Id": name,
        "Name": name,
        "Enabled": state != "disabled",
        "PluginReference": source,
        "Status": {"ManifestDigest": DIGEST, **running},
    }


def step(resource: str, description: str, before: Any, after: Any, **more: Any) -> dict[str, Any]:
    """A step of a dry run."""
    return {
        "resource": resource, "action": "plugin-set", "status": "planned", "reason": "",
        "description": description, "before": before, "after": after, **more,
    }  # fmt: skip


def applied(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A result of apply."""
    engine = "unix:///run/plugind/api.sock"
    return {
        "changed": bool(steps), "failed": False, "engine": engine, "steps": list(steps),
        "plugins": [{"Name": "sshfs:latest"}], "volumes": [{"Name": "backups"}], **more,
    }  # fmt: skip


def infos(*plugins: dict[str, Any], volumes: tuple[str, ...] = ("backups",)) -> tuple[Any, Any]:
    """Results of plugin_info and volume_info."""
    listed = [{"Name": name, "Driver": "sshfs:latest"} for name in volumes]
    info = {"Name": "plugind", "Version": "0.1.0"}
    return {"plugins": list(plugins), "info": info}, {"volumes": listed, "mounts": []}


def three() -> tuple[Results, Results, Results]:
    """A host that is as declared, one that differs, one that is not there."""
    setting = step(
        "plugin/sshfs:latest", "set DEBUG of plugin sshfs:latest in place",
        {"state": "enabled", "settings": {"env": {"DEBUG": "0"}}},
        {"state": "enabled", "settings": {"env": {"DEBUG": "1"}}},
    )  # fmt: skip
    fine, listed = infos(plugin("sshfs:latest", SSHFS))
    asked = {
        "web1": applied(),
        "web2": applied(setting),
        "web10": {"unreachable": True, "changed": False, "msg": "ssh: connect: No route to host"},
    }
    return asked, {"web1": fine, "web2": fine}, {"web1": listed, "web2": listed}


def many(count: int) -> tuple[Results, Results, Results]:
    """Hosts of which a few are in each state that there is."""
    asked: Results = {}
    plugins: Results = {}
    volumes: Results = {}
    for number in range(count):
        name = f"node{number:04}.rack{number % 20}.example.com"
        asked[name], plugins[name], volumes[name] = _one(number)
    return asked, plugins, volumes


def _one(number: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    kind = number % 100
    source = SSHFS if kind < 90 else "registry.example.com/plugins/sshfs:2"
    running = [
        plugin("sshfs:latest", source),
        plugin("metrics:1", "registry.example.com/plugins/metrics:1"),
        plugin("linelog:latest", "registry.example.com/plugins/linelog:2.4", Restarts=kind % 3),
        plugin("denylist:latest", "registry.example.com/plugins/denylist:1", "disabled"),
    ]
    if kind == 1:
        return {"unreachable": True, "msg": "Connection timed out"}, {}, {}
    if kind == 2:
        problem = {
            "resource": "volume/backups", "action": "check", "status": "failed",
            "description": "check volume/backups", "before": {}, "after": {},
            "reason": 'cannot change volume "backups": it was created with other options (sshcmd)',
        }  # fmt: skip
        failed = applied(problem, failed=True, changed=False, msg=problem["reason"])
        return (failed, *infos(*running))
    if kind == 3:
        words = "dial unix /run/docker/plugins/x/sshfs.sock: connect: connection refused"
        running[0] = plugin("sshfs:latest", source, "backoff", Restarts=7, LastError=words)
        return (applied(), *infos(*running))
    if kind == 4:
        enable = step(
            "plugin/sshfs:latest", "enable plugin sshfs:latest",
            {"state": "disabled"}, {"state": "enabled"},
        )  # fmt: skip
        running[0] = plugin("sshfs:latest", source, "disabled")
        return (applied(enable, warnings=["the volume's driver is disabled"]), *infos(*running))
    if kind == 5:
        done = step("plugin/metrics:1", "install plugin metrics:1", {"state": "absent"},
                    {"state": "enabled", "source": "metrics:1"}, status="done")  # fmt: skip
        return (applied(done), *infos(*running))
    return (applied(), *infos(*running))


def rolled_out(count: int) -> tuple[Results, dict[str, Any]]:
    """Results of a roll-out that stopped at its second batch of three hosts, and what the playbook says of it."""
    names = [f"node{number:04}.example.com" for number in range(count)]
    old, new = "registry.example.com/plugins/sshfs:2", SSHFS
    upgrade = step(
        "plugin/sshfs:latest", "upgrade plugin sshfs:latest", {"source": old}, {"source": new},
        action="plugin-upgrade", status="done",
    )  # fmt: skip
    done = applied(upgrade, plugins=[plugin("sshfs:latest", new)])
    back = {**upgrade, "before": {"source": new}, "after": {"source": old}}
    undone = applied(back, plugins=[plugin("sshfs:latest", old)], volumes=[], rolled_back=True)
    lost = {"unreachable": True, "changed": False, "msg": "Connection timed out"}
    reason = "1 of 2 hosts failed"
    empty: dict[str, Any] = {"failed": {}, "unreachable": []}
    gates = [
        {**empty, "number": 1, "hosts": names[:1], "passed": True, "reason": "", "changed": True},
        {
            "number": 2, "hosts": names[1:4], "passed": False, "reason": reason, "changed": True,
            "failed": {names[2]: "check failed: no answer"}, "unreachable": [names[3]],
        },
    ]  # fmt: skip
    results = {**dict.fromkeys(names[:3], done), names[3]: lost}
    return (
        {name: results.get(name, {}) for name in names},
        {
            "gates": gates,
            "stopped": f"stopped at batch 2: {reason}",
            "undone": {names[1]: undone, names[2]: undone},
        },
    )
