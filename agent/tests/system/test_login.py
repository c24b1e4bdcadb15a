# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`docker login` against the agent, with a registry that wants a name and a password."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from support import docker_registry
from support.daemon import Agent
from support.docker_registry import PASSWORD, USERNAME, DockerRegistry

pytestmark = pytest.mark.root


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    """A registry that wants credentials."""
    with docker_registry.run(tmp_path / "registry", credentials=True) as running:
        yield running


def is_nowhere(agent: Agent, password: str) -> bool:
    """True if neither the log nor a file of the agent's has the password."""
    places = [agent.root, agent.logs, agent.output]
    files = [file for place in places for file in [place, *place.rglob("*")] if file.is_file()]
    return len(files) > 1 and not any(password.encode() in file.read_bytes() for file in files)


@pytest.mark.parametrize("program", ["docker", "/usr/bin/docker"])
def test_the_docker_cli_logs_in(agent: Agent, registry: DockerRegistry, program: str) -> None:
    def login(password: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "login", "--username", USERNAME, "--password-stdin", registry.host],
            input=password, capture_output=True, text=True, check=False,
            env={**os.environ, "DOCKER_HOST": agent.url, "DOCKER_CONFIG": str(agent.run)},
        )  # fmt: skip

    wrong = login("hunter2-of-a-test")
    assert wrong.returncode != 0
    assert f'registry "{registry.host}" says: 401 Unauthorized: ' in wrong.stderr
    right = login(PASSWORD)
    assert (right.returncode, "Login Succeeded" in right.stdout) == (0, True), right.stderr
    kept = json.loads((agent.run / "config.json").read_text())["auths"][registry.host]["auth"]
    assert base64.b64decode(kept).decode() == f"{USERNAME}:{PASSWORD}"
    assert is_nowhere(agent, PASSWORD)
    assert is_nowhere(agent, "hunter2-of-a-test")


def test_the_docker_sdk_logs_in_and_pulls(
    agent: Agent, registry: DockerRegistry, localdir: Path
) -> None:
    client = docker.DockerClient(base_url=agent.url)
    with pytest.raises(docker.errors.APIError, match="401 Unauthorized"):
        client.login(USERNAME, "hunter2-of-a-test", registry=registry.host)
    answer = client.login(USERNAME, PASSWORD, registry=f"http://{registry.host}/v2/")
    assert answer == {"Status": "Login Succeeded", "IdentityToken": ""}
    client.login(USERNAME, PASSWORD, registry=registry.host)
    name = f"{registry.host}/localdir"
    client.plugins.create(name, str(localdir))
    list(client.plugins.get(name).push())
    client.plugins.get(name).remove()
    assert client.plugins.install(name, local_name="alias").name == "alias:latest"
    client.close()


def test_a_registry_that_is_away_is_not_a_wrong_password(agent: Agent) -> None:
    client = docker.DockerClient(base_url=agent.url)
    with pytest.raises(docker.errors.APIError, match='cannot reach registry "127') as caught:
        client.login(USERNAME, PASSWORD, registry="127.0.0.1:1")
    assert caught.value.status_code == 503
    client.close()
