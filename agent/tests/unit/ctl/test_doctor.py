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


def test_missing_tools_fail_with_what_to_install(tmp_path: Path) -> None:
    assert [(f.level, f.advice) for f in doctor.look_for_tools(str(tmp_path))] == [
        (doctor.FAIL, "apt install runc"),
        (doctor.FAIL, "apt install conmon"),
    ]


def test_tools_are_looked_for_where_the_agent_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = argparse.Namespace()
    before = list(doctor.check_tools(options))
    monkeypatch.setenv("PATH", str(tmp_path))  # `su` without a login has no /usr/sbin
    assert list(doctor.check_tools(options)) == before


@pytest.mark.parametrize(
    ("programs", "texts"),
    [
        (
            {"crun": "echo crun version 1.8", "conmon": "echo conmon >&2"},
            ["crun version 1.8", "conmon"],
        ),
        ({"runc": "", "crun": "echo no", "conmon": "echo c"}, ["{here}/runc", "c"]),
    ],
)
def test_tools_that_are_there_say_which_they_are(
    tmp_path: Path, programs: dict[str, str], texts: list[str]
) -> None:
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    found = [(f.level, f.text) for f in doctor.look_for_tools(str(tmp_path))]
    assert found == [(doctor.OK, text.format(here=tmp_path)) for text in texts]


@pytest.mark.parametrize(
    ("uid", "capabilities", "level", "text"),
    [
        (0, 1 << 21, doctor.OK, "root, with CAP_SYS_ADMIN"),
        (0, ~(1 << 21), doctor.FAIL, "root without CAP_SYS_ADMIN"),
        (1000, 1 << 21, doctor.FAIL, "not running as root"),
    ],
)
def test_privileges(uid: int, capabilities: int, level: str, text: str) -> None:
    found = doctor.judge_privileges(uid, capabilities)
    assert (found.level, found.text) == (level, text)
    assert bool(found.advice) is (level == doctor.FAIL)


@pytest.mark.parametrize(
    ("kinds", "level", "text"),
    [
        ({"cgroup", "cgroup2", "tmpfs"}, doctor.OK, "cgroups: v1 with a hybrid v2"),
        ({"cgroup2"}, doctor.OK, "cgroups: v2"),
        ({"cgroup"}, doctor.OK, "cgroups: v1"),
        ({"tmpfs"}, doctor.FAIL, "no cgroup hierarchy is mounted"),
    ],
)
def test_cgroups(kinds: set[str], level: str, text: str) -> None:
    found = doctor.judge_cgroups(kinds)
    assert found.level == level
    assert found.text.startswith(text)


def test_space() -> None:
    place = Path("/var/lib")
    assert doctor.judge_space(place, 1 << 30) == doctor.Finding(
        doctor.OK, "1.0 GiB free for /var/lib"
    )
    low = doctor.judge_space(place, (1 << 30) - 1)
    assert (low.level, low.advice) == (doctor.WARN, "plugins take 10 to 500 MB each")


def test_the_report_is_text_or_json_and_its_status_counts_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        ("GET", "/plugind/version"): (200, {**VERSION, "Degraded": "newer format"}),
        ("GET", "/plugind/plugins"): (200, []),
    }
    with unixhttp.serve(tmp_path / "s", answers):
        socket = ["--socket", str(tmp_path / "s")]
        assert main.main(["doctor", "--json", *socket]) == 1
        found = json.loads(capsys.readouterr().out)
        assert found[-1] == {
            "level": "FAIL", "text": "the agent is degraded: newer format", "advice": "",
        }  # fmt: skip
        assert main.main(["doctor", *socket]) == 1
    assert capsys.readouterr().out.endswith("FAIL  the agent is degraded: newer format\n")
    main.main(["doctor", "--socket", str(tmp_path / "absent")])
    assert "      -> cannot connect to" in capsys.readouterr().out
