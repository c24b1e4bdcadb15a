# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The rulebook plugind.engine.repair as users run it: ansible-rulebook, its rules in Java, and an agent to repair."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docs.pages as pages
import pytest

from support import eda
from support.daemon import Agent

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLACE = ROOT / ".build" / "rulebook"
WANTED = "ansible-rulebook>=1.2,<2"
#: As docs/operations.md has it.
((COMMAND,),) = pages.left_to("tests/integration/test_rulebook.py", ROOT).values()
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
}


@pytest.fixture(scope="module")
def rulebook() -> Path:
    """ansible-rulebook in a virtual environment of its own: it is none of what this project needs."""
    if shutil.which("java") is None:
        pytest.skip("needs java, 17 or newer")
    program = PLACE / "bin" / "ansible-rulebook"
    if not program.exists():
        venv.create(PLACE, clear=True, with_pip=True)
        pip = [PLACE / "bin" / "python", "-m", "pip", "install", "-q", WANTED]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot install {WANTED}: {done.stderr.strip()[-2000:]}")
    return program


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with eda.toy(tmp_path) as running:
        yield running


class Rulebook:
    """A running ansible-rulebook, which prints every event that it gets."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.output = ""

    def until(self, text: str) -> None:
        """Read on until a line has this; AssertionError if it ends without."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if text in line:
                return
        raise AssertionError(f"it ended without {text!r}:\n{self.output}")

    def until_event(self, action: str) -> None:
        self.until(f"'action': '{action}'")


@contextlib.contextmanager
def running(program: Path, agent: Agent, **variables: Any) -> Iterator[Rulebook]:
    """Run the rulebook on this host until the block ends."""
    place = agent.root.parent
    inventory, given = place / "inventory.json", place / "vars.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"localhost": HERE}}}))
    given.write_text(json.dumps({"agents": {"socket": str(agent.socket)}, **variables}))
    environ = {
        **os.environ,
        # The collection and ansible-playbook are this checkout's.
        "PATH": os.pathsep.join([str(BIN), str(program.parent), os.environ["PATH"]]),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
        "ANSIBLE_HOME": str(place / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PLUGIND": str(BIN / "plugind"),
        "PLUGIND_SOCKET": str(agent.socket),
        "PYTHONUNBUFFERED": "1",
    }
    command = pages.replace(COMMAND.text, {"INVENTORY": str(inventory), "VARS": str(given)})
    argv = [*shlex.split(command), "--print-events"]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=environ, cwd=place,
    ) as process:  # fmt: skip
        try:
            yield Rulebook(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def kill(agent: Agent) -> None:
    os.kill(agent.plugin("toy")["Status"]["Pid"], signal.SIGKILL)


def test_a_plugin_that_was_given_up_is_enabled_again(rulebook: Path, agent: Agent) -> None:
    with running(rulebook, agent) as seen:
        seen.until_event("connected")
        kill(agent)
        seen.until_event("restarted")
        kill(agent)
        seen.until_event("gave up")
        seen.until_event("enable")
        seen.until("changed=1")
        assert agent.plugin("toy")["Status"]["State"] == "running"


def test_what_differs_is_declared_again(rulebook: Path, agent: Agent) -> None:
    declaration = {"plugins": [{"name": "toy", "state": "enabled"}]}
    with running(rulebook, agent, declaration=declaration, every=3600) as seen:
        seen.until_event("connected")
        agent.cli("plugin", "disable", "toy")
        seen.until_event("drifted")
        seen.until_event("in sync")
        assert agent.plugin("toy")["Status"]["State"] == "running"
