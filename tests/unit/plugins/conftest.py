# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A fake plugind to call, a module to run in this process, a playbook to run in another."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args

FAKE = Path(__file__).parent / "fake_plugind.py"
# Beside this Python, or where ansible-test has it.
PLAYBOOK = shutil.which(
    "ansible-playbook", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)


@dataclass(frozen=True)
class Fake:
    """A fake plugind below a directory of its own."""

    path: Path

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What it was called with so far."""
        file = self.path.parent / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def state(self) -> dict[str, Any]:
        """What it believes to be installed."""
        file = self.path.parent / "state.json"
        return json.loads(file.read_text()) if file.exists() else {"plugins": {}, "volumes": {}}


def place_fake(directory: Path) -> Fake:
    directory.mkdir()
    # For everybody: become tests call it as somebody else.
    directory.chmod(0o777)
    path = directory / "plugind"
    shutil.copy(FAKE, path)
    path.chmod(0o755)
    return Fake(path)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return place_fake(tmp_path / "fake")


@pytest.fixture
def public_fake() -> Iterator[Fake]:
    """One that other users reach: every pytest that starts closes the parent of all tmp_paths to them."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield place_fake(Path(directory, "fake"))


@pytest.fixture
def run_module(fake: Fake, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a module as Ansible does, except that it is in this process; return its result."""

    def run(kind: str, *, check: bool = False, diff: bool = False, **params: Any) -> dict[str, Any]:
        module = importlib.import_module(
            f"ansible_collections.plugind.engine.plugins.modules.{kind}"
        )
        params.setdefault("executable", str(fake.path))
        # Results of ansible-core 2.20 and newer say how a module was called only if they are asked to.
        asked = {"_ansible_inject_invocation": True} if "inject_invocation" in PASS_VARS else {}
        args = {**params, **asked, "_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(args), pytest.raises(SystemExit):
            module.main()
        said = capsys.readouterr()
        result: dict[str, Any] = json.loads(said.out)
        if said.err:
            # Where other tests have imported Ansible's controller, a module's warnings are displayed
            # at once instead of being returned.
            result.setdefault("warnings", [said.err])
        return result

    return run


@dataclass(frozen=True)
class Played:
    """What came out of a playbook."""

    rc: int
    output: str
    results: list[dict[str, Any]]

    @property
    def result(self) -> dict[str, Any]:
        """The result of the only task."""
        (result,) = self.results
        return result


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Played]:
    """Run tasks with a real ansible-playbook on connection local; return the registered results."""

    def run(
        *tasks: dict[str, Any],
        arguments: tuple[str, ...] = (),
        environ: dict[str, str] | None = None,
        inventory: str = "localhost,",
        **keywords: Any,
    ) -> Played:
        results = tmp_path / "results.jsonl"
        results.unlink(missing_ok=True)
        steps: list[dict[str, Any]] = []
        for number, task in enumerate(tasks):
            steps.append({**task, "register": f"result_{number}", "ignore_errors": True})
            steps.append({
                "ansible.builtin.lineinfile": {
                    "path": str(results), "create": True, "mode": "0600",
                    "line": f"{{{{ result_{number} | to_json }}}}",
                },
                "delegate_to": "localhost", "connection": "local", "become": False, "check_mode": False,
                "diff": False, "no_log": True,
                "vars": {"ansible_python_interpreter": sys.executable},
            })  # fmt: skip
        playbook = tmp_path / "play.yml"
        head = {"hosts": "all", "connection": "local", "gather_facts": False, "tasks": steps}
        variables = {"ansible_python_interpreter": sys.executable, **keywords.pop("vars", {})}
        playbook.write_text(yaml.safe_dump([{**head, "vars": variables, **keywords}]))
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": collections_path(),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            **(environ or {}),
        }
        environment.pop("PLUGIND", None)
        done = subprocess.run(
            [str(PLAYBOOK), "-i", inventory, *arguments, str(playbook)],
            capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=240, check=False,
        )  # fmt: skip
        lines = results.read_text().splitlines() if results.exists() else []
        return Played(
            done.returncode, done.stdout + done.stderr, [json.loads(line) for line in lines]
        )

    return run


def collections_path() -> str:
    """Where this collection lies under its own name."""
    spec = importlib.import_module("ansible_collections.plugind.engine.plugins.module_utils._spec")
    return str(Path(spec.__file__).parents[5])
