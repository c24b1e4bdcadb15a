# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The verbs about plugins: what they ask the agent, what they print, how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import main

PLUGIN = {
    "Id": "0123456789abcdef" * 4,
    "Name": "toy:latest",
    "Config": {"Description": "a toy"},
    "Status": {"State": "running", "Pid": 42, "Restarts": 1},
}


def run(path: Path, answers: dict[tuple[str, str], Any], *arguments: str) -> tuple[int, Any]:
    """Return the exit status and the requests."""
    with unixhttp.serve(path / "s", answers) as requests:
        status = main.main(["--socket", str(path / "s"), *arguments])
    return status, requests


def test_ls_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = {**PLUGIN, "Name": "b:1", "Status": {"State": "disabled", "Pid": None, "Restarts": 0}}
    status, _ = run(tmp_path, {("GET", "/plugind/plugins"): (200, [PLUGIN, stopped])}, "ls")
    assert status == 0
    assert capsys.readouterr().out.splitlines() == [
        "ID             NAME         STATE      PID   RESTARTS   DESCRIPTION",
        "0123456789ab   toy:latest   running    42    1          a toy",
        "0123456789ab   b:1          disabled   -     0          a toy",
    ]


def test_ls_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, {("GET", "/plugind/plugins"): (200, [PLUGIN])}, "ls", "--json")
    assert json.loads(capsys.readouterr().out) == [PLUGIN]


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        (("enable", "a/b:1"), "POST", "/plugins/a/b:1/enable?timeout=30", b""),
        (("enable", "--timeout", "5", "x"), "POST", "/plugins/x/enable?timeout=5", b""),
        (("disable", "-f", "x"), "POST", "/plugins/x/disable?force=1", b""),
        (("rm", "x y"), "DELETE", "/plugins/x%20y?force=0", b""),
        (("rpc", "x", "VolumeDriver.List"), "POST",
         "/plugind/plugins/x/rpc?method=VolumeDriver.List", b"{}"),
        (("inspect", "x"), "GET", "/plugind/plugins/x", b""),
        (("inspect", "--secrets", "x"), "GET", "/plugind/plugins/x?secrets=1", b""),
        (("ping",), "GET", "/plugind/version", b""),
    ],
)  # fmt: skip
def test_each_verb_asks_one_thing(
    tmp_path: Path, arguments: tuple[str, ...], method: str, path: str, body: bytes
) -> None:
    answers = {(method, path.partition("?")[0]): (200, {"Mountpoint": "/m"})}
    status, [request] = run(tmp_path, answers, *arguments)
    assert status == 0
    assert (request.method, request.path, request.body) == (method, path, body)


def test_logs_go_to_the_stream_that_they_came_from(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = b"T stdout F out put\nT stderr F oops\nstrange\n"
    answers = {("GET", "/plugind/plugins/x/logs"): (200, lines)}
    status, [request] = run(tmp_path, answers, "logs", "-n", "3", "x")
    captured = capfd.readouterr()
    assert (status, request.path) == (0, "/plugind/plugins/x/logs?follow=0&tail=3")
    assert captured.out == "out put\nstrange\n"
    assert captured.err == "oops\n"


def test_nothing_is_executed_in_a_plugin_that_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = {**PLUGIN, "Status": {"State": "disabled", "Pid": None, "Runtime": ["runc"]}}
    answers = {("GET", "/plugind/plugins/toy"): (200, stopped)}
    assert run(tmp_path, answers, "exec", "toy", "sh")[0] == 1
    assert "toy:latest is disabled, nothing runs in it" in capsys.readouterr().err


def test_logs_are_records_for_programs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answers = {("GET", "/plugind/plugins/x/logs"): (200, b"T stderr F oops\nstrange\n")}
    assert run(tmp_path, answers, "logs", "--json", "x")[0] == 0
    assert [json.loads(line) for line in capfd.readouterr().out.splitlines()] == [
        {"time": "T", "stream": "stderr", "text": "oops"},
        {"time": "", "stream": "stdout", "text": "strange"},
    ]


@pytest.mark.parametrize("verb", ["enable", "disable", "rm"])
def test_changes_are_told_to_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    key = ("DELETE", "/plugins/x") if verb == "rm" else ("POST", f"/plugins/x/{verb}")
    run(tmp_path, {key: (200, None)}, verb, "x", "--json")
    assert json.loads(capsys.readouterr().out) == {"Name": "x"}


@pytest.mark.parametrize("verb", ["ping", "version"])
def test_so_is_the_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    found = {"Version": "1.2", "Degraded": None}
    assert run(tmp_path, {("GET", "/plugind/version"): (200, found)}, verb, "--json")[0] == 0
    assert json.loads(capsys.readouterr().out).items() >= found.items()
