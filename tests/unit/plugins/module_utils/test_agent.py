# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Finding plugind, calling it, reading its answer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.plugind.engine.plugins.module_utils import _agent


def executable(path: Path) -> str:
    path.write_text('#!/bin/sh\necho "$0" "$@"\n')
    path.chmod(0o755)
    return str(path)


def shell(command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], **environ},
    )


def test_arguments() -> None:
    params = {"engine": "unix:///s", "socket": "/a b"}
    assert _agent.arguments("apply", params, check_mode=True) == [
        "apply", "-", "--json", "--dry-run", "--engine", "unix:///s", "--socket", "/a b",
    ]  # fmt: skip
    assert _agent.arguments("query", {}, check_mode=True) == ["query", "-", "--json"]
    assert _agent.arguments("rollback", {"id": None}, check_mode=False) == ["rollback", "--json"]
    argv = _agent.arguments("rollback", {"remove_volumes": True}, check_mode=False)
    assert argv == ["rollback", "--json", "--remove-volumes"]
    assert _agent.arguments("rollback", {"id": "5f"}, check_mode=True) == [
        "rollback", "5f", "--json", "--dry-run",
    ]  # fmt: skip


def test_module_and_shell_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = executable(tmp_path / "it's first"), executable(tmp_path / "second")
    monkeypatch.setattr(_agent, "SEARCHED", (str(tmp_path / "none"), second))
    for option, environ, expected in [
        (first, {}, first),
        (None, {"PLUGIND": first}, first),
        (None, {"PLUGIND": str(tmp_path)}, second),
        (None, {}, second),
        (first, {"PLUGIND": second}, first),
    ]:
        assert _agent.find(option, environ) == expected
        done = shell(_agent.shell_command(option, ["apply", "a b"]), **environ)
        assert done.stdout == f"{expected} apply a b\n"
        # Assignments are for plugind, and may say where it is.
        done = shell(_agent.shell_command(option, ["a b"], f"PLUGIND='{second}' X='1 2'"))
        assert done.stdout == f"{option or second} a b\n"


def test_nothing_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_agent, "SEARCHED", (str(tmp_path / "none"),))
    assert _agent.find(None, {}) is None
    done = shell(_agent.shell_command(None, []))
    with pytest.raises(
        _agent.AgentError,
        match=r"plugind is not installed on web1: run role plugind\.engine\.agent, or set executable",
    ):
        _agent.read_answer(done.returncode, done.stdout, done.stderr, host="web1", executable=None)
    done = shell(_agent.shell_command("/none/x", []))
    with pytest.raises(_agent.AgentError, match="/none/x is not an executable file on web1"):
        _agent.read_answer(
            done.returncode, done.stdout, done.stderr, host="web1", executable="/none/x"
        )


@pytest.mark.parametrize(
    "stdout",
    ['{"a": 1}', 'Welcome!\n{not json\n{"a": 1}\n', '{"a": 1}\nbye {', '\n\n{"a":\n 1}'],
)
def test_the_answer_is_found_among_noise(stdout: str) -> None:
    assert _agent.read_answer(0, stdout, "", host="h", executable=None) == {"a": 1}


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr", "message"),
    [
        (2, '{"msg": "bad source"}', "plugind: bad source", "refused the declaration: bad source"),
        (2, "", "usage: plugind", "refused the declaration: usage: plugind"),
        (3, "", "debug1: x\nno socket\ndebug2: y", "the agent on h does not answer: no socket"),
        (1, "", "Traceback", r"gave no answer \(exit code 1\): Traceback"),
        (0, "nothing", "", r"gave no answer \(exit code 0\): nothing"),
        (127, "", "sh: not found", r"gave no answer \(exit code 127\): sh: not found"),
        (-9, "", "", r"gave no answer \(exit code -9\)"),
    ],
)
def test_no_answer(rc: int, stdout: str, stderr: str, message: str) -> None:
    with pytest.raises(_agent.AgentError, match=message) as raised:
        _agent.read_answer(rc, stdout, stderr, host="h", executable=None)
    assert raised.value.details["rc"] == rc
