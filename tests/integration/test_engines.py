# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The same tasks on the agent's engine and on a real Docker Engine, on the fast path and by module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import image

pytestmark = pytest.mark.root
TARGETS = Path(__file__).parent / "targets"
PLUGIN = "examples/localdir"


def prepared(registry: str, directories: dict[str, Path]) -> list[Any]:
    """Tasks that put both versions of the plugin into the registry."""
    names = {tag: f"{registry}/{PLUGIN}:{tag}" for tag in directories}
    build = [
        {
            "plugind.engine.plugin_build": {
                "name": name,
                "path": str(directories[tag]),
                "push": True,
                "force": True,
            }
        }
        for tag, name in names.items()
    ]
    gone = [{"name": name, "state": "absent"} for name in names.values()]
    return [*build, {"plugind.engine.apply": {"plugins": gone}}]


@pytest.fixture(scope="session")
def tools(registry: str) -> str:
    """An image with a shell, in the registry."""
    if image.REASON:
        pytest.skip(image.REASON)
    image.push(registry, "tools/busybox", *image.busybox(), tag="1")
    return f"{registry}/tools/busybox:1"


@pytest.fixture(scope="session")
def published() -> set[str]:
    return set()


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "module"])
@pytest.mark.parametrize(
    "target",
    [
        "module_plugin",
        "module_plugin_info",
        "module_plugin_build",
        "module_volume",
        "module_volume_mount",
        "module_apply",
        "module_rollback",
        "module_run",
    ],
)
def test_target(
    play: Callable[..., str],
    engine: dict[str, str],
    registry: str,
    directories: dict[str, Path],
    published: set[str],
    tools: str,
    target: str,
    fast: bool,
    tmp_path: Path,
) -> None:
    tasks = [] if registry in published else prepared(registry, directories)
    variables = {
        "registry": registry,
        "plugin": PLUGIN,
        "alias": target.replace("module_", "t-").replace("_", "-") + ("-f" if fast else "-m"),
        "image": tools,
        "directory": str(directories["1"]),
        "plugind_fast_path": fast,
        # Docker Engine before API 1.45 crashes when a plugin is named by digest (moby #47299).
        "by_digest": "engine" not in engine,
        "host_mounts": "engine" not in engine,
        "place": str(tmp_path / "host"),
        "ansible_python_interpreter": sys.executable,
    }
    play(
        {
            "vars": variables,
            "module_defaults": {"group/plugind.engine.plugind": engine},
            "tasks": [
                *tasks,
                {"ansible.builtin.include_tasks": str(TARGETS / target / "tasks" / "main.yml")},
            ],
        }
    )
    published.add(registry)
