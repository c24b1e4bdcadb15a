# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What plugins are made of in tests: config.json, layers, and the tar of `docker plugin create`.

The entrypoint is the head of this machine's own Python, which is all that a check of its
architecture reads; the fake runtime runs `fakes.plugin` instead.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SETTABLE = ("PLUGIN_BEHAVIOUR", "PLUGIN_OUTPUT", "DEBUG")


def program() -> bytes:
    """Return the head of an ELF program for this machine."""
    with Path(sys.executable).resolve().open("rb") as file:
        return file.read(256)


def config(**changes: Any) -> bytes:
    """Return the config.json of a volume plugin with these members replaced (None: left out)."""
    document: dict[str, Any] = {
        "description": "a volume plugin for tests",
        "documentation": "https://example.invalid",
        "entrypoint": ["/plugin"],
        "interface": {"types": ["docker.volumedriver/1.0"], "socket": "plugin.sock"},
        "network": {"type": ""},
        "propagatedMount": "/data",
        "env": [{"name": name, "value": "", "settable": ["value"]} for name in SETTABLE],
    }
    document.update(changes)
    kept = {key: value for key, value in document.items() if value is not None}
    return json.dumps(kept).encode()


def env(name: str, value: str = "") -> dict[str, Any]:
    """Return a settable variable for `config(env=[...])`."""
    return {"name": name, "value": value, "settable": ["value"]}


def layer(files: Mapping[str, bytes] | None = None, *, size: int = 0) -> bytes:
    """Return a layer's tar with the entrypoint, `files`, and `size` bytes that do not compress."""
    members = {"plugin": program(), **(files or {})}
    if size:
        members["ballast"] = random.Random(1).randbytes(size)
    return _tar(members)


def context(
    config_json: bytes | None, files: Mapping[str, bytes] | None = None, *, rootfs: bool = True
) -> bytes:
    """Return the tar that the docker CLI sends for `plugin create`: config.json and rootfs/."""
    members = {} if config_json is None else {"config.json": config_json}
    if rootfs:
        members |= {"rootfs/": b"", "rootfs/plugin": program()}
        members |= {f"rootfs/{name}": data for name, data in (files or {}).items()}
    return _tar(members)


def _tar(members: Mapping[str, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode = 0o755
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return output.getvalue()
