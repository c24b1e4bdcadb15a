# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind install` and `plugind upgrade`: what they ask, in which order, and how they end."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import main

ASKED = [{"Name": "network", "Description": "", "Value": ["host"]}]
PULLED = b'{"status":"Digest: sha256:0"}\r\n{"status":"Downloading","id":"a"}\r\n'
NATIVE = {"Name": "s:latest", "Status": {"State": "running"}}
INSTALL: dict[tuple[str, str], Any] = {
    ("GET", "/plugins/privileges"): (200, ASKED),
    ("POST", "/plugins/pull"): (200, PULLED),
    ("POST", "/plugins/vieux/sshfs/set"): (204, None),
    ("POST", "/plugins/vieux/sshfs/enable"): (200, None),
}
UPGRADE: dict[tuple[str, str], Any] = {
    ("GET", "/plugins/s/json"): (200, {"Name": "s:latest", "PluginReference": "docker.io/v/s:1"}),
    ("GET", "/plugins/privileges"): (200, None),
    ("POST", "/plugind/plugins/s/upgrade"): (200, PULLED),
    ("GET", "/plugind/plugins/s:latest"): (200, NATIVE),
}
Out = pytest.CaptureFixture[str]


class Answering(io.StringIO):
    """A terminal at which somebody answers."""

    def isatty(self) -> bool:
        return True


def run(path: Path, answers: dict[tuple[str, str], Any], *arguments: str) -> tuple[int, list[str]]:
    """Return the exit status and the requests."""
    with unixhttp.serve(path / "s", answers) as requests:
        status = main.main(["--socket", str(path / "s"), *arguments])
    said = [f"{r.method} {r.path} {r.body.decode()}".rstrip() for r in requests]
    return status, said


def test_install_grants_pulls_sets_and_enables(tmp_path: Path, capsys: Out) -> None:
    arguments = ["install", "vieux/sshfs", "DEBUG=1", "--grant-all-permissions"]
    status, said = run(tmp_path, INSTALL, *arguments)
    assert status == 0
    assert said == [
        "GET /plugins/privileges?remote=vieux%2Fsshfs",
        f"POST /plugins/pull?remote=vieux%2Fsshfs {json.dumps(ASKED)}",
        'POST /plugins/vieux/sshfs/set ["DEBUG=1"]',
        "POST /plugins/vieux/sshfs/enable?timeout=30",
    ]
    printed = capsys.readouterr()
    assert printed.out == "vieux/sshfs\n"
    assert printed.err == "Digest: sha256:0\na: Downloading\n"


def test_it_can_stay_disabled_under_another_name(tmp_path: Path) -> None:
    arguments = ["install", "vieux/sshfs", "--alias", "s", "--disable", "--grant-all-permissions"]
    status, said = run(tmp_path, INSTALL, *arguments)
    assert (status, said[-1].split(" ")[1]) == (0, "/plugins/pull?remote=vieux%2Fsshfs&name=s")


def test_where_nobody_can_answer_nothing_is_granted(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, said = run(tmp_path, INSTALL, "install", "vieux/sshfs")
    assert (status, len(said)) == (1, 1)
    printed = capsys.readouterr().err
    assert " - network: [host]\n" in printed
    assert "--grant-all-permissions grants all" in printed


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_somebody_at_a_terminal_is_asked(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", Answering(answer))
    assert run(tmp_path, INSTALL, "install", "vieux/sshfs")[0] == code
    assert "Do you grant the above? [y/N]" in capsys.readouterr().err


def test_what_fails_after_the_pull_says_what_there_is_now(tmp_path: Path, capsys: Out) -> None:
    answers = {**INSTALL, ("POST", "/plugins/vieux/sshfs/enable"): (500, {"message": "it died"})}
    arguments = ["install", "vieux/sshfs", "--grant-all-permissions"]
    assert run(tmp_path, answers, *arguments)[0] == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "plugind: it died",
        (
            "plugind: vieux/sshfs is installed and disabled: `plugind rm vieux/sshfs`, "
            "or `plugind enable vieux/sshfs`"
        ),
    ]


def test_a_pull_that_breaks_off_is_a_failure(tmp_path: Path, capsys: Out) -> None:
    answers = {**INSTALL, ("POST", "/plugins/pull"): (200, b'{"error": "no space left"}\r\n')}
    assert run(tmp_path, answers, "install", "vieux/sshfs", "--grant-all-permissions")[0] == 1
    assert capsys.readouterr().err == "plugind: no space left\n"


def test_an_upgrade_is_to_where_the_plugin_came_from(tmp_path: Path, capsys: Out) -> None:
    status, said = run(tmp_path, UPGRADE, "upgrade", "s", "--json")
    assert status == 0
    assert said[2] == (
        "POST /plugind/plugins/s/upgrade?remote=docker.io%2Fv%2Fs%3A1&timeout=30 "
        '{"Privileges": null, "Settings": []}'
    )
    assert json.loads(capsys.readouterr().out) == NATIVE


def test_or_to_a_reference_with_settings(tmp_path: Path) -> None:
    _, said = run(tmp_path, UPGRADE, "upgrade", "s", "v/s:2", "DEBUG=1", "--timeout", "5")
    assert "?remote=v%2Fs%3A2&timeout=5" in said[2]
    assert '"Settings": ["DEBUG=1"]' in said[2]


def test_a_plugin_that_came_from_nowhere_needs_one(tmp_path: Path, capsys: Out) -> None:
    answers = {("GET", "/plugins/s/json"): (200, {"Name": "s:latest"})}
    assert run(tmp_path, answers, "upgrade", "s")[0] == 2
    assert "name a reference" in capsys.readouterr().err


def test_credentials_come_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    arguments = ["install", "vieux/sshfs", "--username", "me", "--password-stdin"]
    with unixhttp.serve(tmp_path / "s", INSTALL) as requests:
        main.main([*arguments, "--grant-all-permissions", "--socket", str(tmp_path / "s")])
    assert {"X-Registry-Auth"} <= requests[0].headers.keys() & requests[1].headers.keys()
