# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""ansible-builder reads what meta/ says that a controller needs, and takes the example of a definition."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
BUILDER = Path(sys.executable).parent / "ansible-builder"
EXAMPLE = ROOT / "examples" / "execution-environment"


def test_what_a_controller_needs_is_found(tmp_path: Path) -> None:
    place = tmp_path / "ansible_collections" / "plugind"
    place.mkdir(parents=True)
    (place / "engine").symlink_to(ROOT)
    done = subprocess.run(
        [BUILDER, "introspect", "--sanitize", tmp_path], check=True, capture_output=True, text=True
    )
    found = yaml.safe_load(done.stdout)
    assert found["system"] == [
        "openssh-client [platform:dpkg]  # from collection plugind.engine",
        "openssh-clients [platform:rpm]  # from collection plugind.engine",
    ]
    assert not found["python"]


def test_the_example_is_a_definition(tmp_path: Path) -> None:
    context = tmp_path / "context"
    done = subprocess.run(
        [BUILDER, "create", "--file", "execution-environment.yml", "--context", context],
        cwd=EXAMPLE, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FROM" in (context / "Containerfile").read_text()
    wanted = yaml.safe_load((context / "_build" / "requirements.yml").read_text())
    assert wanted == yaml.safe_load((EXAMPLE / "requirements.yml").read_text())
