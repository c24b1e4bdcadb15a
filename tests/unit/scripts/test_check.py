# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""scripts/check.py: which sessions run at the same time, and what becomes of the others' results."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "check.py"

GOOD_AND_BAD = """
import nox
nox.options.default_venv_backend = "none"

@nox.session
def good(session):
    session.run("true", external=True)

@nox.session
def bad(session):
    session.run("false", external=True)

@nox.session
def absent(session):
    session.skip("nothing there")

@nox.session(tags=["nightly"], default=False)
@nox.parametrize("room", ["a"], ids=["a"])
def slow(session, room):
    session.run("true", external=True)
"""

# It says when it is there, through a FIFO, and cleans up when it is interrupted.
LASTING = """
import nox
nox.options.default_venv_backend = "none"

@nox.session
def lasting(session):
    session.run("sh", "-c", "trap 'echo clean > cleaned; exit 1' INT; echo there > ready; read never < never",
                external=True, interrupt_timeout=60)
"""


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["check"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with check.py and no sessions yet."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    return tmp_path


def command(tree: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(tree / "scripts" / "check.py"), *arguments]


def test_sessions_that_exclude_each_other_do_not_meet(check: ModuleType) -> None:
    def named(name: str, *tags: str) -> object:
        return check.Session(name, frozenset(tags))

    quick, fleet = named("quick"), named("fleet", "long")
    sanity, units = named("sanity", "ansible"), named("units", "ansible")
    system, integration = (named(name, "engines", "long") for name in ("system", "integration"))
    demo, coverage = named("demo", "machine"), named("coverage", "machine", "nightly")
    waiting = [quick, sanity, units, demo, system, integration, fleet]
    assert check.next_of(waiting, []) is system  # the longest begin first
    assert check.next_of([quick, demo, integration], [system]) is integration
    assert check.next_of([demo, quick], [fleet]) is demo
    assert check.next_of([units, demo], [sanity]) is demo
    assert check.next_of([units], [sanity]) is None
    assert check.next_of([demo], [system]) is None
    assert check.next_of([integration], [demo]) is None
    assert check.next_of([coverage], [demo]) is None
    assert check.next_of([], [system]) is None


def test_one_failure_fails_the_run_and_the_others_still_run(tree: Path) -> None:
    (tree / "noxfile.py").write_text(GOOD_AND_BAD)
    done = subprocess.run(command(tree, "--nightly"), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    closing = done.stdout.partition("\nchecks:\n")[2].splitlines()
    assert closing[:4] == [
        "  success  good", "  failed   bad", "  skipped  absent", "  success  slow(a)",
    ]  # fmt: skip
    assert closing[4].startswith("2 checks passed, 1 failed, 1 skipped")
    # What a session printed stands together, below its name.
    (bad,) = (part for part in done.stdout.split("\n==== ") if part.startswith("bad: failed"))
    assert "nox > Session bad failed." in bad


def test_a_session_that_nobody_knows_is_an_error(tree: Path) -> None:
    (tree / "noxfile.py").write_text(GOOD_AND_BAD)
    done = subprocess.run(command(tree, "god"), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "god" in done.stderr
    assert "checks passed" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_cleans_up(tree: Path, number: signal.Signals) -> None:
    (tree / "noxfile.py").write_text(LASTING)
    for fifo in ("ready", "never"):
        os.mkfifo(tree / fifo)
    with subprocess.Popen(command(tree), stdout=subprocess.PIPE, text=True) as process:
        assert (tree / "ready").read_text() == "there\n"
        process.send_signal(number)
        output, _nothing = process.communicate()
    assert process.returncode == 130
    assert (tree / "cleaned").read_text() == "clean\n"
    assert "  not run  lasting" in output
