# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import apply

RESULT: dict[str, Any] = {
    "changed": True,
    "failed": False,
    "msg": "2 steps done",
    "steps": [
        {"action": "plugin-install", "status": "done", "description": "install x", "reason": ""},
        {"action": "plugin-set", "status": "done", "description": "set x", "reason": "why"},
        {"action": "plugin-remove", "status": "done", "description": "remove y", "reason": ""},
        {"action": "plugin-enable", "status": "failed", "description": "enable z", "reason": "no"},
        {"action": "volume-create", "status": "skipped", "description": "v", "reason": "needs z"},
    ],
    "diff": {"before": {"plugin/x": {"a": 1}, "b": 1}, "after": {"plugin/x": {"a": 2}, "b": 1}},
    "warnings": ["beware"],
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "declaration.json"
    path.write_text('{"plugins": []}')
    return str(path)


def run(tmp_path: Path, file: str, answer: Any, *arguments: str) -> tuple[int, list[Any]]:
    with unixhttp.serve(tmp_path / "s", {("POST", "/plugind/apply"): answer}) as requests:
        code = apply.main_apply([file, "--socket", str(tmp_path / "s"), *arguments])
    return code, requests


def test_json(tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, requests = run(tmp_path, file, (200, RESULT), "--json")
    assert code == 0
    assert json.loads(capsys.readouterr().out) == RESULT
    assert requests[0].path == "/plugind/apply?dry_run=0"
    assert json.loads(requests[0].body) == {"plugins": []}


def test_a_dry_run_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"volumes": []}')))
    code, requests = run(tmp_path, "-", (200, RESULT), "--dry-run")
    assert code == 0
    assert requests[0].path == "/plugind/apply?dry_run=1"
    assert json.loads(requests[0].body) == {"volumes": []}
    assert capsys.readouterr().out


def test_what_a_person_reads(tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, file, (200, RESULT), "--diff")
    assert capsys.readouterr().out.splitlines() == [
        "+ install x",
        "~ set x (why)",
        "- remove y",
        "! enable z: no",
        "  v (skipped: needs z)",
        "--- before: plugin/x",
        "+++ after: plugin/x",
        "@@ -1,3 +1,3 @@",
        " {",
        '-  "a": 1',
        '+  "a": 2',
        " }",
        "warning: beware",
        "2 steps done",
    ]


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ((200, {**RESULT, "failed": True, "msg": "it failed"}), 1, "it failed"),
        ((400, {"message": "invalid declaration: x"}), 2, "invalid declaration: x"),
        ((403, {"message": "not you"}), 1, "not you"),
        ((500, {"message": "bang"}), 1, "bang"),
        ((200, []), 1, "is not a JSON object"),
    ],
)
def test_exit_codes(
    tmp_path: Path, file: str, answer: Any, code: int, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(tmp_path, file, answer, "--json")[0] == code
    captured = capsys.readouterr()
    assert message in json.loads(captured.out)["msg"]
    assert message in captured.err
    assert json.loads(captured.out)["failed"] is True


def test_no_agent(tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert apply.main_apply([file, "--socket", str(tmp_path / "plugind.sock")]) == 3
    captured = capsys.readouterr()
    assert "systemctl start plugind" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_what_is_no_declaration(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    assert apply.main_apply([str(path), "--socket", str(tmp_path / "s")]) == 2
    assert apply.main_apply([str(tmp_path / "none"), "--socket", str(tmp_path / "s")]) == 2


def test_query(tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {("POST", "/plugind/query"): (200, {"plugins": []})}
    with unixhttp.serve(tmp_path / "s", answers):
        assert apply.main_query([file, "--socket", str(tmp_path / "s")]) == 0
    assert json.loads(capsys.readouterr().out) == {"plugins": []}


@pytest.mark.parametrize("main", [apply.main_apply, apply.main_query])
def test_a_docker_engine_that_does_not_answer(tmp_path: Path, file: str, main: Any) -> None:
    assert main([file, "--engine", f"unix://{tmp_path}/docker.sock"]) == 3


def test_an_invalid_declaration_does_not_reach_the_docker_engine(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"plugins": [{}]}')
    assert apply.main_apply([str(path), "--engine", f"unix://{tmp_path}/none.sock"]) == 2
