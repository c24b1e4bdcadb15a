#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A stand-in for plugind that keeps the contract of its verbs and its state in a file beside itself.

It is copied to where a test wants it. Beside it: state.json, and calls.jsonl with what it was called with.
Settings and options called `labelled...` are what a plugin's label calls secrets. What it changed last can be undone
and has the id 1.
Some names are words: a plugin called `refuse` makes it exit with 2, `unreachable` with 3, `fail` with 1 and the
plugin's secrets in the message, `crash` with a traceback.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATE = HERE / "state.json"
CALLS = HERE / "calls.jsonl"


def load() -> dict:
    return (
        json.loads(STATE.read_text())
        if STATE.exists()
        else {"plugins": {}, "volumes": {}, "mounts": {}}
    )


def inspect_plugin(name: str, declared: dict) -> dict:
    env = declared.get("settings", {}).get("env", {})
    return {
        "Name": name,
        "Enabled": declared.get("state") == "enabled",
        "PluginReference": declared.get("source", ""),
        "Settings": {"Env": [f"{key}={value}" for key, value in sorted(env.items())]},
    }


def inspect_volume(name: str, declared: dict) -> dict:
    return {"Name": name, "Driver": declared["driver"], "Options": declared.get("options")}


def inspect_mount(path: str, declared: dict) -> dict:
    return {"Path": path, "Volume": declared["volume"], "State": "mounted"}


SHOW = {"plugins": inspect_plugin, "volumes": inspect_volume, "mounts": inspect_mount}


def kept(declared: dict) -> dict:
    return {
        key: value
        for key, value in declared.items()
        if key not in ("credentials", "force", "timeout", "verify")
    }


def change(kind: str, declared: dict, state: dict, dry_run: bool, answer: dict) -> None:
    name = declared.get("name") or declared.get("path") or declared["source"]
    before = state[kind].get(name)
    after = None if declared["state"] == "absent" else kept(declared)
    if before != after:
        answer["changed"] = True
        action = "create" if before is None else "remove" if after is None else "change"
        answer["steps"].append({
            "resource": f"{kind[:-1]} {name}", "action": action, "status": "planned" if dry_run else "done",
            "description": f"{action} {name}", "reason": "declared", "before": before, "after": after,
        })  # fmt: skip
        answer["diff"]["before"][f"{kind[:-1]} {name}"] = before
        answer["diff"]["after"][f"{kind[:-1]} {name}"] = after
        if not dry_run:
            state[kind].pop(name, None)
            if after is not None:
                state[kind][name] = after
    if name in state[kind]:
        answer[kind].append(SHOW[kind](name, state[kind][name]))


def words(document: dict) -> None:
    for declared in document["plugins"]:
        name = declared.get("name")
        if name == "refuse":
            print('plugins[0].source: "::" is not a reference', file=sys.stderr)
            sys.exit(2)
        if name == "unreachable":
            print("cannot reach /run/plugind/api.sock: no such file", file=sys.stderr)
            sys.exit(3)
        if name == "fail":
            secrets = json.dumps([declared.get("credentials"), declared.get("settings")])
            print(
                json.dumps(
                    {"changed": False, "failed": True, "msg": f"login failed with {secrets}"}
                )
            )
            sys.exit(1)
        if name == "crash":
            raise RuntimeError("something is broken")


def apply(document: dict, argv: list[str]) -> dict:
    words(document)
    state, dry_run = load(), "--dry-run" in argv
    old = {kind: dict(state[kind]) for kind in SHOW}
    answer = {
        "changed": False, "failed": False, "msg": "", "steps": [], "diff": {"before": {}, "after": {}},
        "plugins": [], "volumes": [], "mounts": [], "warnings": [], "engine": "fake", "secrets": {},
        "rolled_back": False, "undo": None,
    }  # fmt: skip
    for kind in ("plugins", "volumes", "mounts"):
        for declared in document.get(kind, []):
            change(kind, declared, state, dry_run, answer)
            values = {
                **(declared.get("options") or {}),
                **declared.get("settings", {}).get("env", {}),
            }
            labelled = [name for name in values if name.lower().startswith("labelled")]
            answer["secrets"][f"{kind[:-1]} {declared.get('name')}"] = labelled
            if declared.get("name") == "warn":
                answer["warnings"].append("this one is odd")
    if answer["changed"] and not dry_run:
        state["old"], answer["undo"] = old, {"id": "1"}
    STATE.write_text(json.dumps(state))
    return answer


def rollback(document: None, argv: list[str]) -> dict:
    del document
    wanted = argv[0] if not argv[0].startswith("--") else "1"
    old = load().get("old") if wanted == "1" else None
    answer = {
        "changed": old is not None, "failed": old is None, "plugins": [], "volumes": [], "mounts": [],
        "steps": [], "engine": "fake", "secrets": {}, "rolled_back": False, "undo": None,
        "msg": "" if old else "cannot roll back: there is no change to go back from",
    }  # fmt: skip
    if old is None or "--dry-run" in argv:
        return answer
    for kind, show in SHOW.items():
        answer[kind] = [show(name, declared) for name, declared in old[kind].items()]
    STATE.write_text(json.dumps(old))
    return {**answer, "rolled_back": True}


def query(document: dict, argv: list[str]) -> dict:
    del argv
    state = load()
    answer = {"engine": "fake", "info": {"Version": "0"}}
    for kind, show in (("plugins", inspect_plugin), ("volumes", inspect_volume)):
        names = state[kind] if document[kind] is None else document[kind]
        answer[kind] = [show(name, state[kind][name]) for name in names if name in state[kind]]
    return answer


def build(document: dict, argv: list[str]) -> dict:
    del argv
    return {
        "changed": True, "failed": False, "msg": "", "plugin": {"Name": document["name"]}, "digest": "sha256:00",
        "pushed": document["push"], "diff": {"before": {}, "after": {document["name"]: document["path"]}},
    }  # fmt: skip


def run(document: dict, argv: list[str]) -> dict:
    """The "container" says what it was given; a command `exit N` ends with N."""
    del argv
    if document["image"] == "refuse":
        print("invalid run order: .image: is missing", file=sys.stderr)
        sys.exit(2)
    answer = {
        "changed": True,
        "failed": False,
        "msg": "",
        "image": document["image"],
        "engine": "fake",
    }
    if document["dry_run"]:
        return {
            **answer,
            "changed": False,
            "skipped": True,
            "msg": f"Would run {document.get('command')}",
            "rc": 0,
            "stdout": "",
            "stderr": "",
        }
    command = document.get("command") or []
    rc = int(command[1]) if command[:1] == ["exit"] else 0
    env = "".join(f"{key}={value}\n" for key, value in document.get("env", {}).items())
    return {
        **answer, "failed": rc != 0, "msg": "non-zero return code" if rc else "", "rc": rc,
        "stdout": env + document.get("stdin", ""), "stderr": "a\n\n", "image_id": "sha256:1",
        "container": "c", "warnings": ["no swap limit"] if command[:1] == ["warn"] else [],
    }  # fmt: skip


def main() -> None:
    verb, *argv = sys.argv[1:]
    if verb != "rollback" and argv[:2] != ["-", "--json"]:
        sys.exit(2)
    text = "null" if verb == "rollback" else sys.stdin.read()
    seen = {key: value for key, value in os.environ.items() if key.startswith("SEEN_")}
    with CALLS.open("a") as calls:
        call = {
            "argv": sys.argv[1:],
            "document": json.loads(text),
            "environ": seen,
            "uid": os.getuid(),
        }
        # How it was called: by a module's Python, or by a shell.
        call["parent"] = Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")[:-1]
        calls.write(json.dumps(call) + "\n")
    verbs = {"apply": apply, "query": query, "build": build, "run": run, "rollback": rollback}
    answer = verbs[verb](json.loads(text), argv)
    print(json.dumps(answer))
    sys.exit(1 if answer.get("failed") else 0)


if __name__ == "__main__":
    main()
