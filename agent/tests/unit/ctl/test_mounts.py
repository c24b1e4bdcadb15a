# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind mounts`: what it asks the agent, what it prints, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import main

MOUNT = {
    "Path": "/srv/data", "Volume": "v", "ReadOnly": True, "Propagation": "rslave",
    "State": "stale", "Error": "plugin toy:latest is backoff",
}  # fmt: skip
LISTED = {("GET", "/plugind/mounts"): (200, [MOUNT])}
Out = pytest.CaptureFixture[str]


def run(path: Path, answers: dict[tuple[str, str], Any], *arguments: str) -> tuple[int, Any]:
    """Return the exit status and the requests."""
    with unixhttp.serve(path / "s", answers) as requests:
        status = main.main(["--socket", str(path / "s"), "mounts", *arguments])
    return status, requests


@pytest.mark.parametrize("verb", [[], ["ls"]])
def test_mounts_are_listed_and_what_is_wrong_is_on_the_other_stream(
    tmp_path: Path, capsys: Out, verb: list[str]
) -> None:
    status, _ = run(tmp_path, LISTED, *verb)
    said = capsys.readouterr()
    assert status == 0
    assert said.out.splitlines() == [
        "PATH        VOLUME   STATE   OPTIONS",
        "/srv/data   v        stale   ro,rslave",
    ]
    assert said.err == "/srv/data: plugin toy:latest is backoff\n"


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "ls"], ["ls", "--json"]])
def test_mounts_are_listed_as_json(tmp_path: Path, capsys: Out, arguments: list[str]) -> None:
    run(tmp_path, LISTED, *arguments)
    assert json.loads(capsys.readouterr().out) == [MOUNT]


def test_a_volume_is_mounted(tmp_path: Path, capsys: Out) -> None:
    answers = {("POST", "/plugind/mounts"): (200, MOUNT)}
    arguments = ["mount", "v", "/srv/data", "--read-only", "--propagation", "rslave"]
    arguments += ["--mode", "0750", "--owner", "me", "--group", "us", "--allow-nonempty"]
    status, requests = run(tmp_path, answers, *arguments)
    assert status == 0
    assert json.loads(requests[0].body) == {
        "Path": "/srv/data", "Volume": "v", "ReadOnly": True, "Propagation": "rslave",
        "Mode": "0750", "Owner": "me", "Group": "us", "AllowNonempty": True,
    }  # fmt: skip
    assert capsys.readouterr().out == "/srv/data\n"


def test_a_mount_is_taken_away(tmp_path: Path, capsys: Out) -> None:
    answers = {("DELETE", "/plugind/mounts//srv/data"): (200, {"Warnings": ["oh"]})}
    status, requests = run(tmp_path, answers, "unmount", "-f", "/srv/data")
    assert requests[0].path.endswith("?force=1")
    said = capsys.readouterr()
    assert (status, said.out, said.err) == (0, "/srv/data\n", "warning: oh\n")


def test_changes_as_json(tmp_path: Path, capsys: Out) -> None:
    run(tmp_path, {("POST", "/plugind/mounts"): (200, MOUNT)}, "--json", "mount", "v", "/srv/data")
    assert json.loads(capsys.readouterr().out) == MOUNT
    (tmp_path / "s").unlink()
    answers = {("DELETE", "/plugind/mounts//srv/data"): (200, {"Warnings": []})}
    run(tmp_path, answers, "--json", "unmount", "/srv/data")
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ({"Warnings": []}, "")


def test_a_mount_that_is_well_has_nothing_on_the_other_stream(tmp_path: Path, capsys: Out) -> None:
    well = {**MOUNT, "ReadOnly": False, "State": "mounted", "Error": ""}
    run(tmp_path, {("GET", "/plugind/mounts"): (200, [well])})
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split() == ["/srv/data", "v", "mounted", "rw,rslave"]
    assert said.err == ""


def test_a_refusal_and_an_agent_that_is_not_there_are_said(tmp_path: Path, capsys: Out) -> None:
    refusal = {"message": 'cannot unmount "/x": it is used by process 7 (vi)'}
    answers = {("DELETE", "/plugind/mounts//x"): (409, refusal)}
    status, _ = run(tmp_path, answers, "unmount", "/x")
    assert status == 1
    assert capsys.readouterr().err == f"plugind: {refusal['message']}\n"
    assert main.main(["mounts", "--socket", str(tmp_path / "nobody")]) == 3


def test_it_is_a_verb_of_plugind(capsys: Out) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["mounts", "--help"])
    assert ended.value.code == 0
    assert "plugind mounts unmount PATH" in capsys.readouterr().out
