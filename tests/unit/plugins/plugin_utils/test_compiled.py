# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the fast path is made of is compiled once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.plugind.engine.plugins.action import apply
from ansible_collections.plugind.engine.plugins.plugin_utils import _compiled

COLLECTIONS = Path(_compiled.__file__).parents[4]
ACTION = """
import sys
from ansible.plugins.loader import action_loader, init_plugin_loader
init_plugin_loader(sys.argv[1:])
assert action_loader.get("plugind.engine.apply", class_only=True).kind == "apply"
"""


def played(cache: Path) -> dict[str, tuple[int, int]]:
    """Load the action as a playbook does; return what was compiled by then, and which file it is."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    subprocess.run(
        [sys.executable, "-c", ACTION, str(COLLECTIONS.parent)],
        env={**environment, "PYTHONPYCACHEPREFIX": str(cache)},
        check=True,
    )
    found = [path for path in cache.rglob("*.pyc") if "ansible_collections" in path.parts]
    return {
        path.name.partition(".")[0]: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found
    }


def test_it_is_compiled_once(tmp_path: Path) -> None:
    first = played(tmp_path)
    assert {"_fast", "_agent", "_declare", "_result", "_secrets", "_spec"} <= set(first)
    assert played(tmp_path) == first


def test_ansible_imports_all_else() -> None:
    before = list(sys.meta_path)
    assert issubclass(apply.ActionModule, _compiled.load("_fast").FastAction)
    with pytest.raises(ModuleNotFoundError, match="_nothing"):
        _compiled.load("_nothing")
    assert sys.meta_path == before
