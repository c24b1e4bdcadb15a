# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A fleet for all tests that use it, with a registry and a plugin in it; FLEET_HOSTS says how many hosts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.controller import Result
from fleet.fleet import Fleet, lacking
from fleet.hosts import boot
from fleet.site import REPOSITORY, Site
from fleet.supplies import find_wheel, obtain_wheelhouse, publish

# It listens, and hangs up on everybody.
DEAF = """
import socket
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("/run/docker/plugins/localdir.sock")
    listener.listen()
    while True:
        listener.accept()[0].close()
"""
HOSTS = int(os.environ.get("FLEET_HOSTS", "3"))


@pytest.fixture(scope="session")
def needed() -> None:
    """Skip what cannot be had here."""
    missing = lacking()
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def fleet(needed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("f")
    with Fleet(directory, HOSTS) as running:
        running.registry.start()
        yield running


@pytest.fixture(scope="session")
def site(fleet: Fleet) -> Site:
    """Nothing deployed yet, or no longer. In the registry: tags 1 to 6, and `deaf`, which runs and does not serve."""
    tags: dict[str, dict[str, object]] = {
        str(n): {"description": f"Version {n}"} for n in range(1, 7)
    }
    tags["deaf"] = {"entrypoint": ["/usr/bin/python3", "-c", DEAF]}
    publish(fleet, "localdir", REPOSITORY, tags)
    deployed = Site(fleet, obtain_wheelhouse(fleet.ground.lower))
    # The one that is there now: the checkout's is built anew when somebody has changed the sources.
    deployed.keep(agent_wheel=str(shutil.copy(find_wheel(), fleet.directory)))
    return deployed


@pytest.fixture(scope="module")
def first_rollout(site: Site) -> Result:
    """How the first roll-out went."""
    return site.play()


@pytest.fixture
def deployed(site: Site, first_rollout: Result) -> Iterator[Site]:
    """The site after its first roll-out."""
    assert first_rollout.rc == 0, first_rollout.output
    yield site
    mend(site.fleet)


def mend(fleet: Fleet) -> None:
    """Whatever a test has done, the next one has every host up and joined, and a registry."""
    fleet.registry.start()
    boot(fleet)
    for host in fleet:
        host.join()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory that is not kept."""
    yield tmp_path
    shutil.rmtree(tmp_path)
