# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""How Ansible's tasks call `apply` and `query`: as a program, its input and output whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import pipe

SOURCE = str(Path(pipe.__file__).parents[2])
DONE: dict[str, Any] = {"changed": True, "failed": False, "msg": 'he said "failed":true', "z": [1]}
APPLY = ("POST", "/plugind/apply")


def call(
    *arguments: str, document: str = '{"plugins": []}', **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plugind", *arguments],
        input=document, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": SOURCE, **environ},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["apply"], "/plugind/apply?dry_run=0"),
        (["apply", "--dry-run"], "/plugind/apply?dry_run=1"),
        (["query"], "/plugind/query"),
    ],
)
def test_the_text_of_the_answer_comes_out(tmp_path: Path, arguments: list[str], path: str) -> None:
    raw = json.dumps({**DONE, "large": "x" * 300_000}, separators=(",", ":")).encode() + b"\n"
    where, document = str(tmp_path / "s"), '{"a": "%s"}' % ("y" * 300_000)
    answers = {APPLY: (200, raw), ("POST", "/plugind/query"): (200, raw)}
    words = [arguments[0], "-", "--json", *arguments[1:]]
    with unixhttp.serve(tmp_path / "s", answers) as requests:
        given = call(*words, "--socket", where, document=document)
        found = call(*words, document=document, PLUGIND_SOCKET=where)
    for done in (given, found):
        assert (done.returncode, done.stdout, done.stderr) == (0, raw.decode(), "")
    assert [(request.path, request.body.decode()) for request in requests] == [(path, document)] * 2


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ((200, {**DONE, "failed": True, "msg": "it failed"}), 1, "it failed"),
        ((400, {"message": "invalid declaration: x"}), 2, "invalid declaration: x"),
        ((403, {"message": "not you"}), 1, "not you"),
        ((503, b""), 1, "503 Service Unavailable"),
        ((200, []), 1, "is not a JSON object"),
        ((200, b"<html>"), 1, "it is not JSON"),
    ],
)
def test_what_goes_wrong_is_said_as_ever(
    tmp_path: Path, answer: Any, code: int, message: str
) -> None:
    with unixhttp.serve(tmp_path / "s", {APPLY: answer}) as requests:
        words = ("--json", "--socket", str(tmp_path / "s"))
        piped, parsed = call("apply", "-", *words), call("apply", *words, "-")
    assert piped.returncode == code
    assert json.loads(piped.stdout)["failed"] is True
    assert message in json.loads(piped.stdout)["msg"]
    assert message in piped.stderr
    assert vars(piped) == {**vars(parsed), "args": piped.args}
    assert len(requests) == 2


def test_a_member_that_failed_deeper_down_is_not_the_answers_own(tmp_path: Path) -> None:
    answer = {**DONE, "volumes": [{"Status": {"failed": True}}]}
    with unixhttp.serve(tmp_path / "s", {APPLY: (200, answer)}):
        done = call("apply", "-", "--json", "--socket", str(tmp_path / "s"))
    assert (done.returncode, json.loads(done.stdout)) == (0, answer)


def test_nobody_listens(tmp_path: Path) -> None:
    done = call("apply", "-", "--json", "--socket", str(tmp_path / "plugind.sock"))
    assert done.returncode == 3
    assert "systemctl start plugind" in json.loads(done.stdout)["msg"]
    assert "systemctl start plugind" in done.stderr


@pytest.mark.parametrize("flags", [(), ("-IS",)])
@pytest.mark.parametrize("words", [("query", "-", "--json"), ("ls",)])
def test_the_program_finds_what_is_installed_beside_it(
    tmp_path: Path, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    program = Path(__file__).parents[3] / "scripts" / "plugind"
    done = subprocess.run(
        [sys.executable, *flags, str(program), *words, "--socket", str(tmp_path / "s")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert f"cannot connect to unix://{tmp_path}/s" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply"],
        ["apply", "-"],
        ["apply", "file.json", "--json"],
        ["apply", "--json", "-"],
        ["apply", "-", "--json", "--diff"],
        ["apply", "-", "--json", "--engine", "unix:///s"],
        ["apply", "-", "--json", "--socket"],
        ["apply", "-", "--json", "--socket", "--dry-run"],
        ["apply", "-", "--json", "--socket", "s", "--dry-run"],
        ["query", "-", "--json", "--dry-run"],
        ["query", "-", "--json", "--help"],
        ["rollback", "-", "--json"],
    ],
)
def test_other_arguments_are_for_the_parser(arguments: list[str]) -> None:
    assert pipe.read(arguments) is None


def test_next_to_nothing_is_imported(tmp_path: Path) -> None:
    # Without site, which imports what .pth files of a development environment say.
    program = (
        f"import os, sys; before = set(sys.modules); sys.path.insert(0, {SOURCE!r})\n"
        "from plugind.ctl import pipe\n"
        f"code = pipe.main(['apply', '-', '--json', '--socket', {str(tmp_path / 's')!r}])\n"
        "print(code, *sorted(set(sys.modules) - before))"
    )
    with unixhttp.serve(tmp_path / "s", {APPLY: (200, b"{}\n")}):
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], input="{}", capture_output=True,
            text=True, check=False,
        )  # fmt: skip
    answer, said = done.stdout.splitlines()
    assert answer == "{}"
    own = ["plugind", "plugind.ctl", "plugind.ctl.pipe", "plugind.ctl.wire"]
    assert said.split() == ["0", "__future__", "_socket", *own]
