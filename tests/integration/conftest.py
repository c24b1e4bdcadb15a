# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Engines, a registry and a plugin in it, and ansible-playbook to run a target's tasks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import daemon, docker_registry
from support import dockerd as dockerd_

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: unix sockets have 108 bytes for theirs."""
    return tmp_path_factory.mktemp("e")


@pytest.fixture(scope="session")
def registry(workplace: Path) -> Iterator[str]:
    daemon.require("docker-registry")
    directory = workplace / "registry"
    directory.mkdir()
    with docker_registry.run(directory) as running:
        yield running.host


@pytest.fixture(scope="session")
def directories(workplace: Path) -> dict[str, Path]:
    """The example plugin's data directories: tag 1 asks for nothing, tag 2 for privileges."""
    daemon.require("mmdebstrap")
    cache = ROOT / ".build" / "rootfs"
    built = {}
    for tag, config in (("1", "config.json"), ("2", "config-privileges.json")):
        built[tag] = workplace / f"localdir-{tag}"
        subprocess.run(
            [sys.executable, "examples/plugins/build.py", "localdir", "--output", built[tag],
             "--cache", cache, "--config", config],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=280,
        )  # fmt: skip
    return built


@contextlib.contextmanager
def agent(directory: Path) -> Iterator[dict[str, str]]:
    """Run plugind below `directory`; yield the options that reach it."""
    with daemon.run(directory) as running:
        yield {"executable": str(BIN / "plugind"), "socket": str(running.socket)}


@contextlib.contextmanager
def dockerd(directory: Path) -> Iterator[dict[str, str]]:
    """Run a real dockerd below `directory`; yield the options that reach it.

    Its plugins' sockets are in a mount namespace of its own, into which plugind has to go to try a plugin out.
    """
    daemon.require("dockerd", "containerd", "runc", "nsenter")
    with dockerd_.running(directory) as url:
        pid = (directory / "pid").read_text().strip()
        inside = directory / "plugind"
        inside.write_text(
            f'#!/bin/sh\nexec nsenter --target {pid} --mount --wd={ROOT} {BIN}/plugind "$@"\n'
        )
        inside.chmod(0o755)
        yield {"executable": str(inside), "engine": url}


@pytest.fixture(scope="session", params=["agent", "dockerd"])
def engine(request: pytest.FixtureRequest, workplace: Path) -> Iterator[dict[str, str]]:
    start = {"agent": agent, "dockerd": dockerd}[request.param]
    with start(workplace / request.param[0]) as options:
        yield options


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., str]:
    """Run plays with a real ansible-playbook; return its output."""

    def run(*plays: dict[str, Any], arguments: tuple[str, ...] = (), **environ: str) -> str:
        playbook = tmp_path / "play.yml"
        head = {"hosts": "localhost", "connection": "local", "gather_facts": False}
        playbook.write_text(yaml.safe_dump([{**head, **play} for play in plays]))
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "PLUGIND_BUILDS": str(tmp_path / "builds"),
            **environ,
        }
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), "-i", "localhost,", *arguments, str(playbook)],
            capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path,
            env={**os.environ, **environment},
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        return output

    return run
