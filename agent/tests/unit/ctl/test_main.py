# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The way to a verb, and how every verb ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import main, verbs

Out = pytest.CaptureFixture[str]


def run(path: Path, answers: dict[tuple[str, str], Any], *arguments: str) -> int:
    with unixhttp.serve(path / "s", answers):
        return main.main(["--socket", str(path / "s"), *arguments])


def test_every_verb_can_be_called() -> None:
    for verb in verbs.VERBS:
        for one in verb.verbs or (verb,):
            assert verb.name == "serve" or callable(main.load(one.call)), verb.name


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_has_every_verb_and_the_exit_codes(arguments: list[str], capsys: Out) -> None:
    assert main.main(arguments) == 0
    said = capsys.readouterr().out
    for verb in verbs.VERBS:
        assert f"  {verb.name:<10} {verb.summary}" in said
    assert "  3  the agent, or the engine, does not answer" in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "usage: plugind"),
        (["inst4ll"], '"inst4ll" is no verb; did you mean install?'),
        (["frobnicate"], "`plugind --help` lists the verbs"),
        (["--socket"], "--socket wants a path"),
        (["--socket", "x", "serve"], "comes first"),
        (["volumes", "frob"], "want one of ls, mount"),
        (["rpc", "x", "A.b", "{"], "the body is not JSON"),
        (["enable", "x", "--timeout", "soon"], "invalid int value"),
    ],
)
def test_bad_usage_is_status_2(arguments: list[str], words: str, capsys: Out) -> None:
    try:
        status = main.main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr()
    assert (status, words in said.out + said.err) == (2, True), said


@pytest.mark.parametrize(
    "place", [["--socket", "{}", "ls"], ["--socket={}", "ls"], ["ls", "--socket", "{}"]]
)
def test_an_agent_that_does_not_answer_is_status_3(
    tmp_path: Path, capsys: Out, place: list[str]
) -> None:
    socket = str(tmp_path / "plugind.sock")
    assert main.main([word.format(socket) for word in place]) == 3
    said = capsys.readouterr().err
    assert f"cannot connect to unix://{socket}: No such file or directory" in said
    assert "start it with `systemctl start plugind`" in said
    assert "`plugind doctor`" in said


def test_what_the_agent_refuses_is_said_in_its_words(tmp_path: Path, capsys: Out) -> None:
    answers = {("POST", "/plugins/x/disable"): (409, {"message": "plugin x is in use"})}
    assert run(tmp_path, answers, "disable", "x") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "plugind: plugin x is in use"
    assert "`plugind volumes holders NAME`" in second


def test_so_is_what_it_refuses_to_stream_and_what_may_have_been_meant(
    tmp_path: Path, capfd: Out
) -> None:
    answers = {
        ("GET", "/plugind/plugins/ssfs/logs"): (404, {"message": 'plugin "ssfs" not found'}),
        ("GET", "/plugins"): (200, [{"Name": "vieux/sshfs:latest"}, {"Name": "toy:1"}]),
    }
    assert run(tmp_path, answers, "logs", "ssfs") == 1
    assert capfd.readouterr().err.splitlines() == [
        'plugind: plugin "ssfs" not found',
        "plugind: did you mean vieux/sshfs:latest?",
    ]
