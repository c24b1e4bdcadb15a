# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Seccomp and limits of real plugins and containers, by policy, from plugind.toml to the kernel."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.ctl import http
from support import daemon
from support.daemon import Agent

pytestmark = pytest.mark.root
LIMIT = "64m"
POLICY = f"""
[confinement]
pids = 200
[confinement.plugins."faulty"]
memory = "{LIMIT}"
"""


@pytest.fixture
def confined(tmp_path: Path, faulty: Path) -> Iterator[Agent]:
    """A daemon with a policy, and the faulty plugin, disabled."""
    config = tmp_path / "plugind.toml"
    config.write_text(POLICY)
    with daemon.run(tmp_path / "d", {"config": str(config)}) as running:
        running.cli("plugin", "create", "faulty", str(faulty))
        yield running


def test_a_plugin_out_of_its_memory_is_told_and_comes_back(confined: Agent) -> None:
    confined.cli("plugin", "set", "faulty", "FAULT=eat:create")
    confined.cli("plugin", "enable", "faulty")
    with contextlib.closing(http.connect(confined.url)) as connection:
        connection.request("GET", "/events")
        events = connection.getresponse()
        confined.cli("volume", "create", "-d", "faulty", "v", status=1)
        died, restarted = (json.loads(events.readline()) for _ in range(2))
    told = "killed: out of its memory limit of 64 MiB"
    assert (died["Action"], restarted["Action"]) == ("died", "restarted")
    assert died["Actor"]["Attributes"]["exitCode"] == "137"
    assert died["Actor"]["Attributes"]["reason"] == told
    shown = json.loads(confined.verb("inspect", "faulty"))["Status"]
    assert (shown["State"], shown["LastError"]) == ("running", told)
    assert shown["Confinement"] == {
        "Seccomp": "default", "Memory": 64 << 20, "CPUs": 0, "Pids": 200,
    }  # fmt: skip
    assert f"plugin died: {told}" in confined.log()
    doctor = confined.verb("doctor")
    assert "plugins are confined by seccomp default, 200 processes" in doctor
    assert "plugin faulty:latest by seccomp default, memory 64 MiB, 200 processes" in doctor
    assert "supports seccomp" in doctor


def test_what_is_wrong_ends_the_agent_with_status_2(tmp_path: Path) -> None:
    config = tmp_path / "plugind.toml"
    config.write_text('[confinement.plugins."x"]\nmemory = "lots"\n')
    agent = Agent(tmp_path / "d", {"config": str(config)})
    assert not agent.start(check=False)
    assert agent.wait() == 2
    assert f'{config}: confinement.plugins: "x".memory: want bytes like 512m' in agent.log()


@pytest.mark.parametrize(("seccomp", "mode"), [("default", b"2"), ("unconfined", b"0")])
def test_containers(tmp_path: Path, archive: Path, seccomp: str, mode: bytes) -> None:
    with daemon.run(tmp_path / "d", {"confinement-seccomp": seccomp}) as agent:
        agent.cli("load", "-i", str(archive))
        shown = agent.docker("run", "--rm", "busybox", "grep", "^Seccomp:", "/proc/self/status")
        assert shown.stdout.split() == [b"Seccomp:", mode]


def test_a_profile_of_ones_own(tmp_path: Path, archive: Path) -> None:
    profile = tmp_path / "profile.json"
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    with daemon.run(tmp_path / "d", {"confinement-seccomp": str(profile)}) as agent:
        agent.cli("load", "-i", str(archive))
        done = agent.docker("run", "--rm", "busybox", "mkdir", "/d")
        assert b"No space left on device" in done.stderr


def test_a_profile_that_the_runtime_refuses_is_told_with_what_to_do(
    tmp_path: Path, localdir: Path
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}')
    with daemon.run(tmp_path / "d", {"confinement-seccomp": str(profile)}) as agent:
        agent.cli("plugin", "create", "localdir", str(localdir))
        with pytest.raises(http.Refused, match=r"seccomp.*see `plugind doctor`"):
            agent.request("POST", "/plugins/localdir/enable?timeout=10")
        assert agent.running() == []
