# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of many hosts -> one report. Pure.

PRIVATE to this collection. What a report holds is said in `docs/fleet-report.schema.json`.

    results of apply, plugin_info, volume_info -> build -> {summary, plugins, hosts}

A host has the first of these states that is true of it:

    unreachable   Ansible could not reach it
    failed        the declaration cannot be carried out, or nobody answered
    drifted       there are steps to do
    unhealthy     as declared, but an enabled plugin does not stay up, or a mount is not in place
    changed       steps were done, and nothing is left to do
    ok            as declared
    waiting       a roll-out has not come to it yet

Of a roll-out, it also says what became of each host (`_rollout.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from ansible_collections.plugind.engine.plugins.plugin_utils import _rollout

FORMAT = 1
UNREACHABLE, FAILED, DRIFTED = "unreachable", "failed", "drifted"
UNHEALTHY, WAITING, CHANGED, OK = "unhealthy", "waiting", "changed", "ok"
#: Worst first.
STATES = (UNREACHABLE, FAILED, DRIFTED, UNHEALTHY, WAITING, CHANGED, OK)
PROBLEMS = frozenset(STATES[:4])

#: States of a plugin that the agent restarts, or has given up to restart.
TROUBLE = frozenset(("backoff", "failed"))
ABSENT = "absent"
# A step that changes nothing.
_VERIFY = "plugin-verify"
# A text that a host sends is not longer than this in a report, so that one host cannot fill it.
LONGEST = 4000

Result = Mapping[str, Any]
Results = Mapping[str, Any]
# What a roll-out did: `gates` of batches, `undone` by host, and why it `stopped`.
Rollout = Optional[Mapping[str, Any]]


def build(
    applied: Results,
    plugins: Results,
    volumes: Results,
    *,
    title: str,
    generated: str,
    rollout: Rollout = None,
) -> dict[str, Any]:
    """Return the report.

    `applied`, `plugins` and `volumes` are results of `plugind.engine.apply`, `plugin_info` and
    `volume_info` by host. The hosts are those of `applied`; the others may be empty.
    """
    if rollout is not None:
        reached = {name for gate in _mappings(rollout.get("gates")) for name in gate["hosts"]}
        applied = {name: applied[name] if name in reached else {} for name in applied}
    undone = _mapping((rollout or {}).get("undone"))
    hosts = [
        _host(str(name), _after(_mapping(applied[name]), _mapping(undone.get(name))),
              _mapping(plugins.get(name)), _mapping(volumes.get(name)))
        for name in applied
    ]  # fmt: skip
    report = {
        "format": FORMAT,
        "title": title,
        "generated": generated,
        "summary": _summary(hosts),
        "plugins": _by_plugin(hosts),
        "hosts": hosts,
    }
    if rollout is not None:
        _add_rollout(report, applied, rollout)
        report["summary"] = _summary(hosts)
    return report


def _after(applied: Result, undone: Result) -> Result:
    """Return the result of a host whose change was undone later on, as if one task had done both."""
    if "steps" not in undone:
        return applied
    steps = _mappings(undone.get("steps"))
    touched = {str(step.get("resource")) for step in steps}
    merged = {**applied, "steps": [*_mappings(applied.get("steps")), *steps]}
    for kind, key in (("plugin", "Name"), ("volume", "Name"), ("mount", "Path")):
        kept = [
            document
            for document in _mappings(applied.get(f"{kind}s"))
            if f"{kind}/{document.get(key)}" not in touched
        ]
        merged[f"{kind}s"] = kept + _mappings(undone.get(f"{kind}s"))
    return merged


def _add_rollout(report: dict[str, Any], applied: Results, rollout: Mapping[str, Any]) -> None:
    """Say of each host what the roll-out did with it, and of the roll-out how far it came."""
    gates = _mappings(rollout.get("gates"))
    by_host = {name: gate for gate in gates for name in gate["hosts"]}
    undone = _mapping(rollout.get("undone"))
    for host, name in zip(report["hosts"], applied):
        gate = by_host.get(name)
        outcome, reason = _rollout.outcome(
            _mapping(applied[name]), _mapping(undone.get(name)), gate, name
        )
        number = gate["number"] if gate else None
        host["rollout"] = {"batch": number, "outcome": outcome, "reason": _text(reason)}
        _judge(host, failed=bool(gate and name in gate["failed"]))
    outcomes = [host["rollout"]["outcome"] for host in report["hosts"]]
    counts, stopped = _rollout.summary(outcomes), _text(rollout.get("stopped"))
    report["rollout"] = {
        "stopped": stopped,
        "message": _rollout.closing(stopped, counts),
        "outcomes": counts,
        "batches": [
            {
                "number": gate["number"],
                "passed": gate["passed"],
                "reason": _text(gate["reason"]),
                "outcomes": _rollout.summary(
                    host["rollout"]["outcome"]
                    for host in report["hosts"]
                    if host["rollout"]["batch"] == gate["number"]
                ),
            }
            for gate in gates
        ],
    }


def _judge(host: dict[str, Any], *, failed: bool) -> None:
    """Let what the roll-out did count for a host's state; only if all is well its own counts."""
    outcome, reason = host["rollout"]["outcome"], host["rollout"]["reason"]
    if outcome == _rollout.NOT_REACHED:
        host["state"], host["message"] = WAITING, reason
    elif outcome == _rollout.UNREACHABLE:
        host["state"], host["message"] = UNREACHABLE, reason
    elif outcome == _rollout.ROLLED_BACK:
        host["state"] = FAILED if failed else DRIFTED
        host["message"] = f"rolled back: {reason}"
    elif outcome == _rollout.FAILED:
        host["state"], host["message"] = FAILED, reason


def _host(name: str, applied: Result, found: Result, listed: Result) -> dict[str, Any]:
    # A verification that is to come is nothing to do.
    steps = [
        step
        for step in _mappings(applied.get("steps"))
        if (step.get("action"), step.get("status")) != (_VERIFY, "planned")
    ]
    open_ = {str(step.get("resource")) for step in steps if step.get("status") != "done"}
    declared = {str(step.get("resource")) for step in steps}
    declared |= _resources("plugin", applied.get("plugins"), "Name")
    declared |= _resources("volume", applied.get("volumes"), "Name")
    declared |= _resources("mount", applied.get("mounts"), "Path")
    # Without plugin_info there are at least the declared ones.
    shown = found if "plugins" in found else applied
    plugins = [_plugin(plugin) for plugin in _mappings(shown.get("plugins"))]
    shown = listed if "volumes" in listed else applied
    volumes = [_volume(volume) for volume in _mappings(shown.get("volumes"))]
    mounts = [_mount(mount) for mount in _mappings({**applied, **listed}.get("mounts"))]
    _add_missing("plugin", "name", plugins, steps, {"source": "", "digest": "", "state": ABSENT,
                 "healthy": True, "restarts": None, "reason": ""})  # fmt: skip
    _add_missing("volume", "name", volumes, steps, {"driver": "", "state": ABSENT})
    _add_missing("mount", "path", mounts, steps, {"volume": "", "state": ABSENT, "reason": ""})
    for kind, key, rows in (("plugin", "name", plugins), ("volume", "name", volumes),
                            ("mount", "path", mounts)):  # fmt: skip
        for row in rows:
            resource = f"{kind}/{row[key]}"
            row.update(declared=resource in declared, drifted=resource in open_)
    info = _mapping(found.get("info"))
    host: dict[str, Any] = {
        "name": _text(name),
        "state": OK,
        "message": "",
        "engine": {
            "url": _text(applied.get("engine") or found.get("engine")),
            "name": _text(info.get("Name")),
            "version": _text(info.get("Version")),
        },
        "plugins": plugins,
        "volumes": volumes,
        "mounts": mounts,
        "changes": [_change(step) for step in steps],
        "warnings": _warnings(applied, found, listed),
    }
    host["state"] = _state(applied, found, listed, host)
    host["message"] = _message(host, applied, found, listed)
    return host


def _plugin(plugin: Result) -> dict[str, Any]:
    status = _mapping(plugin.get("Status"))
    enabled = bool(plugin.get("Enabled"))
    state = _text(status.get("State") or ("enabled" if enabled else "disabled"))
    reason = _text(status.get("LastError"))
    if state in TROUBLE and not reason and status.get("LastExit") is not None:
        reason = f"ended with exit status {_text(status['LastExit'])}"
    restarts = status.get("Restarts")
    return {
        "name": _text(plugin.get("Name")),
        "source": _text(plugin.get("PluginReference")),
        "digest": _text(status.get("ManifestDigest")),
        "state": state,
        "healthy": state not in TROUBLE,
        "restarts": restarts if isinstance(restarts, int) else None,
        "reason": reason,
    }


def _volume(volume: Result) -> dict[str, Any]:
    driver = _text(volume.get("Driver") or "local")
    return {"name": _text(volume.get("Name")), "driver": driver, "state": "present"}


def _mount(mount: Result) -> dict[str, Any]:
    return {
        "path": _text(mount.get("Path")),
        "volume": _text(mount.get("Volume")),
        "state": _text(mount.get("State")),
        "reason": _text(mount.get("Error")),
    }


def _add_missing(
    kind: str, key: str, rows: list[dict[str, Any]], steps: Iterable[Result], blank: Result
) -> None:
    """Add what is declared and not there; in check mode only its steps tell of it."""
    there = {row[key] for row in rows}
    for step in steps:
        resource, before = _text(step.get("resource")), _mapping(step.get("before"))
        name = resource[len(kind) + 1 :]
        if resource != f"{kind}/{name}" or name in there or before.get("state") != ABSENT:
            continue
        if step.get("status") == "done":
            continue
        there.add(name)
        rows.append({key: name, **blank})


def _change(step: Result) -> dict[str, Any]:
    before, after = step.get("before"), step.get("after")
    return {
        "resource": _text(step.get("resource")),
        "action": _text(step.get("action")),
        "status": _text(step.get("status")),
        "description": _text(step.get("description")),
        "reason": _text(step.get("reason")),
        "differences": list(differences(_mapping(before), _mapping(after))),
    }


def differences(before: Result, after: Result) -> Iterator[dict[str, Any]]:
    """Yield what differs between two states, leaf by leaf, by path; None: not there."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            yield {"path": path, "before": old.get(path), "after": new.get(path)}


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key in node:
            yield from _leaves(node[key], f"{path}.{_text(key)}" if path else _text(key))
    elif isinstance(node, (list, tuple)):
        yield path, _text(" ".join(str(item) for item in node))
    elif node is not None:
        yield path, _text(node)


def _state(applied: Result, found: Result, listed: Result, host: Mapping[str, Any]) -> str:
    results = (applied, found, listed)
    if any(result.get("unreachable") for result in results):
        return UNREACHABLE
    if not applied or applied.get("skipped") or any(result.get("failed") for result in results):
        return FAILED
    statuses = {
        change["status"]
        for change in host["changes"]
        if (change["action"], change["status"]) != (_VERIFY, "done")
    }
    if statuses - {"done"}:
        return DRIFTED
    if _trouble(host):
        return UNHEALTHY
    return CHANGED if statuses else OK


def _trouble(host: Mapping[str, Any]) -> list[str]:
    """Say what does not work although it should."""
    found = [
        f"plugin {plugin['name']} is {plugin['state']}" + _because(plugin)
        for plugin in host["plugins"]
        if not plugin["healthy"]
    ]
    return found + [
        f"mount {mount['path']} is {mount['state']}" + _because(mount)
        for mount in host["mounts"]
        if mount["state"] not in ("mounted", ABSENT)
    ]


def _because(row: Mapping[str, Any]) -> str:
    return f": {row['reason']}" if row["reason"] else ""


def _message(host: Mapping[str, Any], *results: Result) -> str:
    """Return one line: the worst that there is to say."""
    state = host["state"]
    if state in (UNREACHABLE, FAILED):
        said = [_text(r.get("msg")) for r in results if r.get("unreachable") or r.get("failed")]
        return next(filter(None, said), "nothing is known: it was not asked")
    if state == DRIFTED:
        return "; ".join(c["description"] for c in host["changes"] if c["status"] != "done")
    if state == UNHEALTHY:
        return "; ".join(_trouble(host))
    if state == CHANGED:
        return "; ".join(change["description"] for change in host["changes"])
    return "as declared"


def _warnings(*results: Result) -> list[str]:
    said = [_text(w) for result in results for w in result.get("warnings") or ()]
    return list(dict.fromkeys(said))


def _summary(hosts: list[dict[str, Any]]) -> dict[str, Any]:
    states = [host["state"] for host in hosts]
    plugins = [plugin for host in hosts for plugin in host["plugins"]]
    return {
        "hosts": len(hosts),
        "states": {state: states.count(state) for state in STATES},
        "plugins": sum(plugin["state"] != ABSENT for plugin in plugins),
        "unhealthy_plugins": sum(not plugin["healthy"] for plugin in plugins),
        "volumes": sum(v["state"] != ABSENT for host in hosts for v in host["volumes"]),
        "changes": sum(len(host["changes"]) for host in hosts),
    }


def _by_plugin(hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each plugin, on how many hosts it is, in which versions and states."""
    found: dict[str, dict[str, Any]] = {}
    for host in hosts:
        for plugin in host["plugins"]:
            row = found.setdefault(
                plugin["name"],
                {"name": plugin["name"], "hosts": 0, "versions": {}, "states": {}, "drifted": 0},
            )
            row["hosts"] += plugin["state"] != ABSENT
            row["drifted"] += plugin["drifted"]
            row["states"][plugin["state"]] = row["states"].get(plugin["state"], 0) + 1
            if plugin["state"] != ABSENT:
                shown = version(plugin)
                row["versions"][shown] = row["versions"].get(shown, 0) + 1
    return [found[name] for name in sorted(found)]


def version(plugin: Mapping[str, Any]) -> str:
    """Return what tells one version of a plugin from another: where it came from, and its digest."""
    digest = plugin["digest"].partition(":")[2][:12]
    return plugin["source"] + (f" ({digest})" if digest else "")


def _resources(kind: str, documents: Any, key: str) -> set[str]:
    return {f"{kind}/{document.get(key)}" for document in _mappings(documents)}


def _mapping(value: Any) -> Result:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Result]:
    listed = value if isinstance(value, (list, tuple)) else ()
    return [item for item in listed if isinstance(item, Mapping)]


def _text(value: Any) -> str:
    """Return a text that can be written as UTF-8, and is not longer than it may be."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
