# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The docker CLI clears up: containers, images and volumes that nobody uses, and nothing of a plugin's."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.daemon import Agent

pytestmark = pytest.mark.root


@pytest.fixture
def untidy(agent: Agent, archive: Path, localdir: Path) -> Agent:
    """An agent with one of everything that is used, and one that is not."""
    agent.cli("load", "-i", str(archive))
    agent.cli("tag", "busybox", "spare")
    agent.cli("plugin", "create", "localdir", str(localdir))
    agent.cli("plugin", "enable", "localdir")
    agent.cli("volume", "create", "-d", "localdir", "precious")
    agent.cli("volume", "create", "named")
    run = ("run", "--network", "none")
    agent.docker(*run, "-d", "--name", "runs", "-v", "used:/u", "busybox", "sleep", "1000")
    agent.docker(*run, "--name", "ended", "-v", "/anonymous", "busybox", "true")
    return agent


def names(agent: Agent, kind: str) -> list[str]:
    if kind == "container":
        return agent.cli("ps", "-a", "--format", "{{.Names}}").split()
    return sorted(agent.cli(kind, "ls", "--format", "{{.Name}}").split())


def test_system_prune(untidy: Agent) -> None:
    usage = untidy.cli("system", "df")
    assert [line.split()[0] for line in usage.splitlines()[1:]] == [
        "Images", "Containers", "Local", "Build",
    ]  # fmt: skip
    assert "precious" in untidy.cli("system", "df", "-v")
    assert len(names(untidy, "volume")) == 4

    said = untidy.cli("system", "prune", "--force")
    assert "Deleted Containers:" in said
    assert "Total reclaimed space: " in said
    assert names(untidy, "container") == ["runs"]
    assert len(names(untidy, "volume")) == 4

    said = untidy.cli("system", "prune", "--all", "--volumes", "--force")
    assert "Deleted Volumes:" in said
    # Anonymous ones alone, as in Docker; a plugin's never.
    assert names(untidy, "volume") == ["named", "precious", "used"]
    assert "busybox" in untidy.cli("images", "--format", "{{.Repository}}")
    untidy.cli("system", "prune", "--force", "--filter", "label=none")
    untidy.docker("rm", "-f", "runs")


def test_prune_one_kind(untidy: Agent) -> None:
    assert "Deleted Containers:" in untidy.cli("container", "prune", "--force")
    assert "Deleted Volumes:" in untidy.cli("volume", "prune", "--force")
    assert "named" in untidy.cli("volume", "prune", "--all", "--force")
    assert names(untidy, "volume") == ["precious", "used"]
    assert "Total reclaimed space: 0B" in untidy.cli("image", "prune", "--force")
    untidy.docker("rm", "-f", "runs")
    assert "untagged: spare:latest" in untidy.cli("image", "prune", "--all", "--force")
    assert untidy.cli("images", "-q") == ""
    assert untidy.cli("network", "prune", "--force") == ""
