# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the fast path is made of is compiled once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.plugind.engine.plugins.action import apply
from ansible_collections.plugind.engine.plugins.plugin_utils import _compiled

PLUGINS = Path(_compiled.__file__).parents[1]
ROOMS = ("action", "module_utils", "plugin_utils")
ACTION = """
import sys
from ansible.plugins.loader import action_loader, init_plugin_loader
init_plugin_loader(sys.argv[1:])
assert action_loader.get("plugind.engine.apply", class_only=True).kind == "apply"
"""


def play(collections: Path) -> dict[str, tuple[int, int]]:
    """Load the action as a playbook does; return what is compiled by then, and which file it is."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", ACTION, str(collections)], env=environment, check=True)
    found = {path.name.partition(".")[0]: path.stat() for path in collections.rglob("*.pyc")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def test_it_is_compiled_once(tmp_path: Path) -> None:
    there = tmp_path / "ansible_collections" / "plugind" / "engine" / "plugins"
    for room in ROOMS:
        shutil.copytree(PLUGINS / room, there / room, ignore=shutil.ignore_patterns("__pycache__"))
    first = play(tmp_path)
    assert {"_fast", "_agent", "_declare", "_result", "_secrets", "_spec"} <= set(first)
    assert play(tmp_path) == first


def test_ansible_imports_all_else() -> None:
    before = list(sys.meta_path)
    assert issubclass(apply.ActionModule, _compiled.load("_fast").FastAction)
    with pytest.raises(ModuleNotFoundError, match="_nothing"):
        _compiled.load("_nothing")
    assert sys.meta_path == before
