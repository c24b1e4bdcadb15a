# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Versions of the volume driver that misbehaves on request, system/plugins/faulty."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def make_version(built: Path, directory: Path, tag: str, fault: str) -> Path:
    """Copy the built plugin to `directory`/`tag`, as a version of its own that has the fault; "" is none."""
    version = Path(shutil.copytree(built, directory / tag, symlinks=True))
    document = json.loads((version / "config.json").read_text())
    document["env"][0]["value"] = fault
    document["description"] = f"version {tag}"
    (version / "config.json").write_text(json.dumps(document))
    return version
