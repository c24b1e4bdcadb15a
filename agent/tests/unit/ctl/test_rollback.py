# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import main, rollback
from plugind.dockerd import undo_log

RESULT: dict[str, Any] = {
    "changed": True,
    "failed": False,
    "msg": "1 step done",
    "steps": [
        {"action": "plugin-upgrade", "status": "done", "description": "upgrade x", "reason": ""}
    ],
    "diff": {"before": {"plugin/x": {"a": 2}}, "after": {"plugin/x": {"a": 1}}},
    "warnings": [],
    "rolled_back": True,
}


def run(tmp_path: Path, answer: Any, *arguments: str) -> tuple[int, list[unixhttp.Request]]:
    with unixhttp.serve(tmp_path / "s", {("POST", "/plugind/rollback"): answer}) as requests:
        code = rollback.main([*arguments, "--socket", str(tmp_path / "s")])
    return code, requests


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        ([], "/plugind/rollback?dry_run=0", {}),
        (["0123", "--dry-run"], "/plugind/rollback?dry_run=1", {"id": "0123"}),
        (["--remove-volumes"], "/plugind/rollback?dry_run=0&remove_volumes=1", {}),
    ],
)
def test_the_change_that_is_meant_is_posted(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    path: str,
    body: dict[str, Any],
) -> None:
    code, (request,) = run(tmp_path, (200, RESULT), "--json", *arguments)
    assert (code, json.loads(capsys.readouterr().out)) == (0, RESULT)
    assert (request.path, json.loads(request.body)) == (path, body)


def test_what_a_person_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, (200, RESULT), "--diff")[0] == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1]) == ("~ upgrade x", "1 step done")
    assert "+++ after: plugin/x" in lines


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, {"message": "cannot roll back: there is no change to go back from"}), 1),
        ((409, {"message": "cannot roll back change 1: the last change of this host is 2"}), 1),
        ((200, {**RESULT, "failed": True, "msg": "it failed"}), 1),
    ],
)
def test_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Any, code: int
) -> None:
    assert run(tmp_path, answer, "--json")[0] == code
    captured = capsys.readouterr()
    message = answer[1].get("message") or answer[1]["msg"]
    assert json.loads(captured.out)["msg"] == message
    assert message in captured.err


def test_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["rollback", "--socket", str(tmp_path / "none")]) == 3
    assert "cannot connect" in capsys.readouterr().err


def test_an_engine_of_which_nothing_is_known_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(undo_log.VARIABLE, str(tmp_path / "undo"))
    assert rollback.main(["--engine", f"unix://{tmp_path}/none"]) == 1
    assert "there is no change to go back from" in capsys.readouterr().err
    assert not (tmp_path / "undo").exists()
