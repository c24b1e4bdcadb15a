# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Real parts, started once where that is safe: built plugins and a registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.host import mounts
from support import daemon, docker_registry, image


@pytest.fixture(scope="session")
def localdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest volume driver, built."""
    return daemon.build_plugin("localdir", tmp_path_factory.mktemp("localdir") / "plugin")


@pytest.fixture(scope="session")
def sshfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume driver of the documentation, built."""
    return daemon.build_plugin("sshfs", tmp_path_factory.mktemp("sshfs") / "plugin")


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume driver that misbehaves on request (env FAULT), built."""
    source = Path(__file__).parent / "plugins" / "faulty"
    return daemon.build_plugin(str(source), tmp_path_factory.mktemp("faulty") / "plugin")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[daemon.Agent]:
    """A daemon of its own for each test."""
    with daemon.run(tmp_path / "d") as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[docker_registry.DockerRegistry]:
    """A registry of its own for each test."""
    with docker_registry.run(tmp_path / "registry") as running:
        yield running


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a shell and its programs, as `docker save` writes it."""
    daemon.require("docker")
    if image.REASON:
        pytest.skip(image.REASON)
    raw, layers = image.busybox(Labels={"from": "a test"})
    path = tmp_path_factory.mktemp("image") / "busybox.tar"
    path.write_bytes(image.archive("busybox:latest", raw, layers))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where volumes are mounted; nothing stays mounted there."""
    place = tmp_path / "host"
    yield place
    mounts.unmount_tree(place)
