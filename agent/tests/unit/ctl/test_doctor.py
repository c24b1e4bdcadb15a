# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import doctor, main

VERSION = {"Version": "1.2.3"}


def agent_says(path: Path, version: dict[str, Any], plugins: list[Any]) -> list[tuple[str, str]]:
    answers = {
        ("GET", "/plugind/version"): (200, version),
        ("GET", "/plugind/plugins"): (200, plugins),
    }
    with unixhttp.serve(path / "s", answers):
        options = argparse.Namespace(socket=str(path / "s"))
        return [(f.level, f.text) for f in doctor.check_agent(options)]


def test_a_healthy_agent_is_ok(tmp_path: Path) -> None:
    running = {"Name": "toy:latest", "Status": {"State": "running", "LastError": None}}
    [(level, text)] = agent_says(tmp_path, VERSION, [running])
    assert (level, text) == (doctor.OK, f"agent 1.2.3 answers on unix://{tmp_path}/s")


def test_a_degraded_agent_fails_and_a_failing_plugin_warns(tmp_path: Path) -> None:
    failed = {"Name": "toy:latest", "Status": {"State": "failed", "LastError": "no backend"}}
    found = agent_says(tmp_path, {**VERSION, "Degraded": "newer format"}, [failed])
    assert found[1:] == [
        (doctor.FAIL, "the agent is degraded: newer format"),
        (doctor.WARN, "plugin toy:latest is failed: no backend"),
    ]


def test_an_agent_that_does_not_answer_is_a_warning(tmp_path: Path) -> None:
    options = argparse.Namespace(socket=str(tmp_path / "absent"))
    [finding] = doctor.check_agent(options)
    assert finding.level == doctor.WARN
    assert "cannot connect to" in finding.advice


def test_missing_tools_fail_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(doctor.check_tools(argparse.Namespace()))
    assert [(f.level, f.advice) for f in found] == [
        (doctor.FAIL, "apt install runc"),
        (doctor.FAIL, "apt install conmon"),
    ]


def test_the_report_is_text_or_json_and_its_status_counts_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    socket = ["--socket", str(tmp_path / "absent")]
    assert main.main(["doctor", "--json", *socket]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {entry["level"] for entry in found} >= {"warn", "FAIL"}
    assert main.main(["doctor", *socket]) == 1
    assert "      -> apt install conmon" in capsys.readouterr().out
