# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The project's own checks, which do not run themselves: each `make` command that a page shows is a target that runs a
check, and CI, `make test` or `make test-all` runs that check."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

import docs.pages as pages
from support import daemon

ROOT = daemon.REPOSITORY
COMMANDS = [
    command.text
    for commands in pages.left_to("tests/docs/test_targets.py", ROOT).values()
    for command in commands
]
NOX = re.compile(r"\bnox -s (\w+)(?: |$)")


@pytest.fixture(scope="module")
def checks() -> set[str]:
    """The sessions that `make test-all` runs, those of `make test` among them."""
    spec = importlib.util.spec_from_file_location("check", ROOT / "scripts" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = check
    spec.loader.exec_module(check)
    return {session.name for session in (*check.find(), *check.find("-t", "nightly"))}


@pytest.mark.parametrize("command", COMMANDS)
def test_target(command: str, checks: set[str]) -> None:
    words = command.partition("#")[0]
    assert re.fullmatch(r"make [\w-]+( ARGS=.*)?\s*", words), (
        f"{command}: not a check of the project"
    )
    shown = subprocess.run(
        ["bash", "-c", f"{words} --dry-run"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    session = NOX.search(shown)
    if session is None:
        assert "scripts/check.py" in shown
    else:
        assert session[1] in checks


def test_ci_runs_what_a_newcomer_runs() -> None:
    assert any(re.match(r"make test\s", command) for command in COMMANDS)
    assert re.search(r"^exec make test\b", (ROOT / ".ci/run").read_text(), re.MULTILINE)
