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


CONFINED = {"Seccomp": "default", "Memory": 0, "CPUs": 0.0, "Pids": 0}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({}, "seccomp default, no limits"),
        ({"Memory": 64 << 20}, "seccomp default, memory 64 MiB"),
        (
            {"Seccomp": "unconfined", "CPUs": 1.5, "Pids": 9},
            "seccomp unconfined, 1.5 processors, 9 ",
        ),
    ],
)
def test_confinement_in_words(own: dict[str, Any], words: str) -> None:
    assert doctor.describe_confinement({**CONFINED, **own}).startswith(words)


def test_what_confines_plugins_is_told_and_what_is_different_for_one(tmp_path: Path) -> None:
    status = {
        "State": "running", "LastError": None, "Runtime": ["runc"],
        "Confinement": {**CONFINED, "Seccomp": "unconfined"},
    }  # fmt: skip
    own = {**status, "Confinement": {**CONFINED, "Pids": 9}}
    confined = {"Confinement": status["Confinement"], "ConfinedPlugins": ["a", "b:latest", "c"]}
    plugins = [{"Name": "a:latest", "Status": status}, {"Name": "b:latest", "Status": own}]
    found = agent_says(tmp_path, {**VERSION, **confined}, plugins)
    assert [text for _, text in found[1:4]] == [
        "plugins are confined by seccomp unconfined, no limits",
        "plugin b:latest by seccomp default, 9 processes",
        "[confinement.plugins] names c, and no plugin is called so",
    ]


def test_limits_need_their_controllers() -> None:
    every = [{**CONFINED, "Memory": 1 << 30}, {**CONFINED, "Pids": 1}]
    assert not list(doctor.judge_limits([CONFINED], set(), swap=False))
    assert not list(doctor.judge_limits(every, {"memory", "pids"}, swap=True))
    found = list(doctor.judge_limits(every, {"cpu", "memory"}, swap=False))
    assert [finding.level for finding in found] == [doctor.FAIL, doctor.WARN]
    assert "controller pids" in found[0].text
    assert "cgroup_enable=pids" in found[0].advice
    assert "swap" in found[1].text


@pytest.mark.parametrize(
    ("features", "version", "levels"),
    [
        ('{"linux": {"seccomp": {"enabled": true}}}', "", [doctor.OK]),
        ('{"linux": {"seccomp": {"enabled": false}}}', "libseccomp: 2.5", [doctor.FAIL]),
        ("unknown command", "crun 1.8\n+SYSTEMD +SECCOMP", [doctor.OK]),
        ("unknown command", "runc 0.9", []),
        ('{"linux": null}', "", []),
    ],
)
def test_what_a_runtime_says_of_seccomp(features: str, version: str, levels: list[str]) -> None:
    found = list(doctor.judge_seccomp("/usr/bin/runc", features, version))
    assert [finding.level for finding in found] == levels
    assert all("unconfined" in f.advice for f in found if f.level == doctor.FAIL)


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
