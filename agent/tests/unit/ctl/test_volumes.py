# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind volumes`: what it asks the agent, what it prints, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import main

VOLUMES = {
    "Volumes": [{"Driver": "toy:latest", "Name": "v", "Scope": "local", "Mountpoint": "/m"}],
    "Warnings": ["list x: plugin x found but disabled"],
}
HELD = [{"Holder": "operator", "ID": "1", "Mountpoint": "/m"}]


def run(path: Path, answers: dict[tuple[str, str], Any], *arguments: str) -> tuple[int, Any]:
    """Return the exit status and the requests."""
    with unixhttp.serve(path / "s", answers) as requests:
        status = main.main(["--socket", str(path / "s"), *arguments])
    return status, requests


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
        (("mount", "v", "--holder", "me"), "POST", "/plugind/volumes/v/mount", b'{"Holder": "me"}'),
        (("--json", "mount", "v"), "POST", "/plugind/volumes/v/mount", b'{"Holder": "operator"}'),
        (("unmount", "v"), "POST", "/plugind/volumes/v/unmount", b'{"Holder": "operator"}'),
    ],
)
def test_each_verb_asks_one_thing(
    tmp_path: Path, arguments: tuple[str, ...], method: str, path: str, body: bytes
) -> None:
    answers = {(method, path): (200, {"Mountpoint": "/m"})}
    status, [request] = run(tmp_path, answers, "volumes", *arguments)
    assert status == 0
    assert (request.method, request.path, request.body) == (method, path, body)


@pytest.mark.parametrize(
    ("arguments", "answer", "shown"),
    [
        (("ls",), ("GET", "/volumes", VOLUMES), VOLUMES),
        (
            ("unmount", "v"),
            ("POST", "/plugind/volumes/v/unmount", None),
            {"Name": "v", "Holder": "operator"},
        ),
        (
            ("rm", "v"),
            ("DELETE", "/plugind/volumes/v", {"Warnings": ["not asked"]}),
            {"Warnings": ["not asked"]},
        ),
    ],
)
def test_what_a_script_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], answer: Any,
    shown: Any,
) -> None:  # fmt: skip
    method, path, document = answer
    status, _ = run(tmp_path, {(method, path): (200, document)}, "volumes", "--json", *arguments)
    said = capsys.readouterr()
    assert (status, json.loads(said.out), said.err) == (0, shown, "")


def test_holders_are_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {("GET", "/plugind/volumes/v/holders"): (200, HELD)}
    run(tmp_path, answers, "volumes", "holders", "v")
    assert capsys.readouterr().out.splitlines()[1].split() == ["operator", "/m"]
    (tmp_path / "s").unlink()
    run(tmp_path, answers, "volumes", "holders", "v", "--json")
    assert json.loads(capsys.readouterr().out) == HELD


@pytest.mark.parametrize("action", ["mount", "unmount", "holders", "rm"])
def test_a_volume_has_to_be_named(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["volumes", action])
    assert ended.value.code == 2
    assert "the following arguments are required: VOLUME" in capsys.readouterr().err
