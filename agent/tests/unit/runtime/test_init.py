# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The room's front: what it offers is what the engine asks for."""

from __future__ import annotations

from pathlib import Path

from plugind import runtime
from plugind.engine import ports
from plugind.runtime import engine


def test_the_front_is_the_runtime(tmp_path: Path) -> None:
    made: ports.Runtime = runtime.OciRuntime(root=tmp_path / "runc", run=tmp_path)
    assert isinstance(made, engine.OciRuntime)
    assert runtime.__all__ == ["OciRuntime"]
