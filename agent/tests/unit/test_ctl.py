# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The operator's verbs: what they ask the agent, what they print, how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind import ctl

PLUGIN = {
    "Id": "0123456789abcdef" * 4,
    "Name": "toy:latest",
    "Config": {"Description": "a toy"},
    "Status": {"State": "running", "Pid": 42, "Restarts": 1},
}
VOLUMES = {
    "Volumes": [{"Driver": "toy:latest", "Name": "v", "Scope": "local", "Mountpoint": "/m"}],
    "Warnings": ["list x: plugin x found but disabled"],
}


def run(path: Path, answers: dict[tuple[str, str], Any], *arguments: str) -> tuple[int, Any]:
    """Return the exit status and the requests."""
    with unixhttp.serve(path / "s", answers) as requests:
        status = ctl.main(["--socket", str(path / "s"), *arguments])
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


def test_a_volume_is_removed_and_what_force_left_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {("DELETE", "/plugind/volumes/v"): (200, {"Warnings": ["not asked"]})}
    status, requests = run(tmp_path, answers, "volumes", "rm", "-f", "v")
    assert status == 0
    assert requests[0].path == "/plugind/volumes/v?force=1"
    assert capsys.readouterr().err == "warning: not asked\n"


def test_volumes_are_listed_and_warnings_are_on_the_other_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = run(tmp_path, {("GET", "/volumes"): (200, VOLUMES)}, "volumes")
    captured = capsys.readouterr()
    assert status == 0
    assert captured.out.splitlines()[1].split() == ["toy:latest", "v", "local", "/m"]
    assert captured.err == "warning: list x: plugin x found but disabled\n"


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        (("enable", "a/b:1"), "POST", "/plugins/a/b:1/enable?timeout=30", b""),
        (("enable", "--timeout", "5", "x"), "POST", "/plugins/x/enable?timeout=5", b""),
        (("disable", "-f", "x"), "POST", "/plugins/x/disable?force=1", b""),
        (("rm", "x y"), "DELETE", "/plugins/x%20y?force=0", b""),
        (("rpc", "x", "VolumeDriver.List"), "POST",
         "/plugind/plugins/x/rpc?method=VolumeDriver.List", b"{}"),
        (("volumes", "mount", "v", "--holder", "me"), "POST", "/plugind/volumes/v/mount",
         b'{"Holder": "me"}'),
        (("volumes", "unmount", "v"), "POST", "/plugind/volumes/v/unmount",
         b'{"Holder": "operator"}'),
        (("volumes", "holders", "v"), "GET", "/plugind/volumes/v/holders", b""),
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
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b"T stdout F out put\nT stderr F oops\nstrange\n"
    answers = {("GET", "/plugind/plugins/x/logs"): (200, lines)}
    status, [request] = run(tmp_path, answers, "logs", "-n", "3", "x")
    captured = capsys.readouterr()
    assert (status, request.path) == (0, "/plugind/plugins/x/logs?follow=0&tail=3")
    assert captured.out == "out put\nstrange\n"
    assert captured.err == "oops\n"


def test_what_the_agent_refuses_is_said_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {("POST", "/plugins/x/disable"): (409, {"message": "plugin x is in use"})}
    assert run(tmp_path, answers, "disable", "x")[0] == 1
    assert capsys.readouterr().err == "plugind: plugin x is in use\n"


def test_so_is_what_it_refuses_to_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {("GET", "/plugind/plugins/x/logs"): (404, {"message": 'plugin "x" not found'})}
    assert run(tmp_path, answers, "logs", "x")[0] == 1
    assert capsys.readouterr().err == 'plugind: plugin "x" not found\n'


def test_an_agent_that_does_not_answer_is_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ctl.main(["--socket", str(tmp_path / "absent"), "ls"]) == 3
    assert "cannot connect to" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["rpc", "x", "A.b", "{"], []])
def test_bad_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(arguments) == 2
    assert capsys.readouterr() != ("", "")


@pytest.mark.parametrize("action", ["mount", "unmount", "holders", "rm"])
def test_a_volume_has_to_be_named(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ctl.main(["volumes", action])
    assert ended.value.code == 2
    assert "the following arguments are required: name" in capsys.readouterr().err


def test_nothing_is_executed_in_a_plugin_that_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = {**PLUGIN, "Status": {"State": "disabled", "Pid": None, "Runtime": ["runc"]}}
    answers = {("GET", "/plugind/plugins/toy"): (200, stopped)}
    assert run(tmp_path, answers, "exec", "toy", "sh")[0] == 1
    assert "toy:latest is disabled, nothing runs in it" in capsys.readouterr().err
