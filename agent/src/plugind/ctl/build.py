# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind build -`: a data directory becomes an installed plugin, and is pushed if asked.

    {"name": "x:tag", "path": "/dir or .tar[.gz]", "push": false, "credentials": {...},
     "force": false, "dry_run": false, "engine": null}

Agent and Docker Engine speak the same API, so this is one client for both: POST /plugins/create
with the tar, then POST /plugins/{name}/push. An engine keeps no digest of what a plugin was
created from, so it is kept here, with the plugin's id, in `builds.json`: same content and same id
mean that there is nothing to do.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugind import errors
from plugind.ctl import apply, http, pack, parser
from plugind.model import masking, reference, secrets

_SAME_BYTES = re.compile(r"content sha256:[0-9a-f]{64}: already exists")
STATE_DIR = "/var/lib/plugind-builds"
_KEYS = {
    "name": str, "path": str, "push": bool, "credentials": dict, "force": bool,
    "dry_run": bool, "engine": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build. `url` is the engine's."""

    name: str
    path: Path
    url: str
    state_dir: Path
    push: bool = False
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    force: bool = False
    dry_run: bool = False

    @property
    def key(self) -> str:
        """What the build is kept under: one name on one engine."""
        return f"{self.url} {self.name}"


def main_build(argv: list[str]) -> int:
    """Run `plugind build`; return the exit code."""
    return run(parser.parse("build", argv))


def run(options: argparse.Namespace) -> int:
    """Build what the document says."""
    return apply.run(options, _work, _render)


def parse_order(document: Mapping[str, Any], options: argparse.Namespace) -> Order:
    """Check the document; InvalidParameter lists every problem."""
    problems = [f".{key}: unknown" for key in sorted(document.keys() - _KEYS.keys())]
    given = {key: value for key, value in document.items() if value is not None}
    for key, kind in _KEYS.items():
        if key in given and not isinstance(given[key], kind):
            problems.append(f".{key}: is not of type {kind.__name__}")
    problems += [f".{key}: is missing" for key in ("name", "path") if key not in given]
    if problems:
        raise errors.InvalidParameter("invalid build order: " + "; ".join(problems))
    engine = options.engine or given.get("engine")
    socket = http.agent_socket(options.socket)
    return Order(
        name=reference.canonical_name(given["name"]),
        path=Path(given["path"]).absolute(),
        url=engine or http.agent_url(socket),
        state_dir=Path(options.state_dir or os.environ.get("PLUGIND_BUILDS") or STATE_DIR),
        push=given.get("push", False),
        credentials=given.get("credentials", {}),
        force=given.get("force", False),
        dry_run=given.get("dry_run", False) or options.dry_run,
    )


def build(order: Order) -> dict[str, Any]:
    """Create the plugin unless it is there with this content, and push it; return the result."""
    _require_config(order)
    digest = pack.compute_digest(order.path)
    with _locked(order.state_dir, order.dry_run):
        records = _load(order.state_dir)
        record = records.get(order.key, {})
        present = _inspect(order)
        known = present is not None and record.get("id") == present["Id"]
        same = known and record.get("digest") == digest
        before = _state(present, record if known else {})
        if present is not None and not same and not order.force:
            raise errors.Conflict(_refusal(order, known))
        pushes = order.push and not (same and record.get("pushed"))
        changed = pushes or not same
        after = dict(before) if same else {"state": "disabled", "content": digest, "pushed": ""}
        if changed and not order.dry_run:
            if not same:
                present = _recreate(order, present)
                records[order.key] = record = {"id": present["Id"], "digest": digest}
                _save(order.state_dir, records)
            if pushes:
                record["pushed"] = _push(order)
                records[order.key] = record
                _save(order.state_dir, records)
        if pushes:
            after["pushed"] = order.name
    return {
        "changed": changed,
        "failed": False,
        "msg": _message(order, same, pushes),
        "plugin": masking.mask_plugin(present or {}, secrets.DEFAULT),
        "digest": digest,
        "pushed": pushes and not order.dry_run,
        "pushed_digest": record.get("pushed", "") if order.push else "",
        "engine": order.url,
        "diff": {
            "before": {f"plugin/{order.name}": before},
            "after": {f"plugin/{order.name}": after},
        },
    }


def _work(options: argparse.Namespace, document: dict[str, Any]) -> dict[str, Any]:
    return build(parse_order(document, options))


def _render(answer: Mapping[str, Any]) -> Iterator[str]:
    yield ("+ " if answer["changed"] else "  ") + str(answer["msg"])


def _require_config(order: Order) -> None:
    try:
        config = json.loads(pack.read_config(order.path))
    except ValueError as exc:
        raise errors.InvalidParameter(f"cannot read config.json of {order.path}: {exc}") from exc
    if not isinstance(config, dict):
        raise errors.InvalidParameter(f"config.json of {order.path} is not a JSON object")


def _inspect(order: Order) -> dict[str, Any] | None:
    with _connection(order) as connection:
        path = f"/plugins/{http.quote(order.name)}/json"
        try:
            found: dict[str, Any] = http.request_json(connection, "GET", path)
        except http.Refused as exc:
            if exc.status == 404:
                return None
            raise
    return found


def _recreate(order: Order, present: Mapping[str, Any] | None) -> dict[str, Any]:
    """Remove the plugin that is there, create the new one, return it."""
    name = http.quote(order.name)
    if present is not None:
        with _connection(order) as connection:
            if present["Enabled"]:
                http.request_json(connection, "POST", f"/plugins/{name}/disable?force=1")
            http.request_json(connection, "DELETE", f"/plugins/{name}?force=1")
    try:
        _create(order, 0)
    except http.Refused as exc:
        # Docker cannot create a second plugin with the same rootfs bytes, under whatever name,
        # nor the same one again before its garbage collection has run. Another time makes other
        # bytes of the same content.
        if not _SAME_BYTES.search(str(exc)):
            raise
        _create(order, int(time.time()))
    created = _inspect(order)
    if created is None:
        raise errors.System(f'created plugin "{order.name}", but the engine does not have it')
    return created


def _create(order: Order, written: int) -> None:
    with _connection(order) as connection:
        path = f"/plugins/create?name={http.quote(order.name)}"
        with http.open_body(connection, "POST", path, "application/x-tar") as body:
            pack.write_tar(order.path, body, written=written)


def _push(order: Order) -> str:
    """Push; return the manifest's digest."""
    digest = ""
    with _connection(order) as connection:
        path = f"/plugins/{http.quote(order.name)}/push"
        headers = http.registry_auth(order.credentials)
        for line in http.read_lines(connection, "POST", path, headers):
            digest = (line.get("aux") or {}).get("Digest") or digest
    if not digest:
        raise errors.System(f'pushed plugin "{order.name}", but no digest came back')
    return digest


@contextlib.contextmanager
def _connection(order: Order) -> Iterator[Any]:
    connection = http.connect(order.url)
    try:
        yield connection
    finally:
        connection.close()


def _state(present: Mapping[str, Any] | None, record: Mapping[str, str]) -> dict[str, str]:
    if present is None:
        return {"state": "absent"}
    return {
        "state": "enabled" if present["Enabled"] else "disabled",
        "content": record.get("digest", "unknown"),
        "pushed": present["Name"] if record.get("pushed") else "",
    }


def _refusal(order: Order, known: bool) -> str:
    why = "was built from other content" if known else "was not built by this tool on this host"
    return (
        f'cannot build plugin "{order.name}": it exists and {why} '
        "(force: true disables and removes it, and builds it again)"
    )


def _message(order: Order, same: bool, pushes: bool) -> str:
    would = "would " if order.dry_run else ""
    done = [] if same else ["create" if order.dry_run else "created"]
    done += ["push" if order.dry_run else "pushed"] if pushes else []
    return f"{would}{' and '.join(done)} plugin {order.name}" if done else "nothing to do"


def _load(state_dir: Path) -> dict[str, dict[str, str]]:
    path = state_dir / "builds.json"
    try:
        builds: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))["builds"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise errors.System(f"cannot read {path}: {exc} (remove it to start anew)") from exc
    return builds


def _save(state_dir: Path, builds: Mapping[str, Mapping[str, str]]) -> None:
    """Write builds.json: stage, fsync, rename. The rename is the commit point."""
    path = state_dir / "builds.json"
    with tempfile.NamedTemporaryFile("w", dir=state_dir, prefix="builds.", delete=False) as stage:
        try:
            json.dump({"format": 1, "builds": builds}, stage, indent=1, sort_keys=True)
            stage.flush()
            os.fsync(stage.fileno())
            Path(stage.name).replace(path)
        except OSError as exc:
            Path(stage.name).unlink(missing_ok=True)
            raise errors.System(f"cannot write {path}: {exc}") from exc
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def _locked(state_dir: Path, dry_run: bool) -> Iterator[None]:
    """Let one build at a time read and write builds.json; a dry run leaves no trace."""
    if dry_run:
        yield
        return
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise errors.System(f"cannot use {state_dir}: {exc}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
