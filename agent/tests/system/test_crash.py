# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The real daemon dies at every crash point, and plugins never notice.

Real runc and conmon, a real registry. Beside each operation a plugin runs that has nothing to do
with it: it must have the same process before and after. What is on disk after a crash is looked at
in `functional/test_crash.py`, too, for every point of every operation.
"""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugind import checkpoint
from plugind.ctl import http
from support import daemon, docker_registry, invariants
from support.daemon import Agent

pytestmark = pytest.mark.root
Do = Callable[["Stage"], object]


class Stage:
    """A daemon with a running bystander, and a disabled plugin to operate on."""

    def __init__(self, agent: Agent, remote: str, archive: Path) -> None:
        self.agent = agent
        self.remote = remote
        self.archive = archive

    def post(self, path: str, document: Any = None) -> Any:
        return self.agent.request("POST", path, document)

    def create(self, name: str) -> None:
        with contextlib.closing(http.connect(self.agent.url)) as connection:
            path = f"/plugins/create?name={name}"
            with http.open_body(connection, "POST", path, "application/x-tar") as body:
                body.write(self.archive.read_bytes())

    def stream(self, path: str) -> None:
        """Read progress to its end; an error in it is an error."""
        with contextlib.closing(http.connect(self.agent.url)) as connection:
            assert list(http.read_lines(connection, "POST", path, {}))

    def pull(self) -> None:
        self.stream(f"/plugins/pull?remote={self.remote}&name=new")

    def pid(self, name: str) -> int:
        found: int = self.agent.plugin(name)["Status"]["Pid"]
        return found

    def containers(self) -> set[str]:
        return set(self.agent.runc("list", "-q").split())


def create_volume(stage: Stage) -> object:
    body = {"Name": "new", "Driver": "used", "Labels": {"l": "1"}}
    return stage.post("/volumes/create", body)


CASES: dict[str, Do] = {
    "create:before-commit": lambda stage: stage.create("new"),
    "create:after-commit": lambda stage: stage.create("new"),
    "pull:after-layer": lambda stage: stage.pull(),
    "install:before-commit": lambda stage: stage.pull(),
    "install:after-commit": lambda stage: stage.pull(),
    "enable:after-start": lambda stage: stage.post("/plugins/toy/enable?timeout=10"),
    "enable:before-commit": lambda stage: stage.post("/plugins/toy/enable?timeout=10"),
    "save:before-commit": lambda stage: stage.post("/plugins/toy/enable?timeout=10"),
    "save:after-commit": lambda stage: stage.post("/plugins/toy/enable?timeout=10"),
    "enable:after-commit": lambda stage: stage.post("/plugins/toy/enable?timeout=10"),
    "disable:before-stop": lambda stage: stage.post("/plugins/used/disable?force=1"),
    "disable:before-commit": lambda stage: stage.post("/plugins/used/disable?force=1"),
    "disable:after-commit": lambda stage: stage.post("/plugins/used/disable?force=1"),
    "remove:before-commit": lambda stage: stage.agent.request("DELETE", "/plugins/toy"),
    "remove:after-commit": lambda stage: stage.agent.request("DELETE", "/plugins/toy"),
    "volume-create:after-driver": create_volume,
    "volume-create:before-commit": create_volume,
    "volume-create:before-sync": create_volume,
    "volume-create:after-commit": create_volume,
    "volume-remove:before-commit": lambda stage: stage.agent.request("DELETE", "/volumes/kept"),
    "volume-remove:after-commit": lambda stage: stage.agent.request("DELETE", "/volumes/kept"),
}
#: An enable that dies here comes back at the next start; before, it does not.
ENABLED = ("save:after-commit", "enable:after-commit")
REFUSED = (409, 404, 400)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, localdir: Path) -> Iterator[Stage]:
    """One daemon for all cases: each leaves behind what the next one finds."""
    docker_registry.require()
    base = tmp_path_factory.mktemp("crash")
    archive = base / "plugin.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(localdir, arcname="")
    with docker_registry.run(base / "registry") as registry, daemon.run(base / "d") as agent:
        remote = f"{registry.host}/localdir:latest"
        stage = Stage(agent, remote, archive)
        stage.create(remote)
        stage.stream(f"/plugins/{remote}/push")
        stage.agent.request("DELETE", f"/plugins/{remote}")
        stage.create("bystander")
        stage.post("/plugins/bystander/enable?timeout=10")
        yield stage


def prepare(stage: Stage) -> None:
    """Have `toy` disabled, `used` running with the volume `kept`, and no `new`."""
    agent = stage.agent
    found = {plugin["Name"]: plugin for plugin in agent.request("GET", "/plugins")}
    if "new:latest" in found:
        agent.request("DELETE", "/plugins/new?force=1")
    for name in ("toy", "used"):
        if f"{name}:latest" not in found:
            stage.create(name)
    if found.get("toy:latest", {}).get("Enabled"):
        stage.post("/plugins/toy/disable?force=1")
    if not agent.request("GET", "/plugins/used/json")["Enabled"]:
        stage.post("/plugins/used/enable?timeout=10")
    agent.request("DELETE", "/volumes/new?force=1")
    stage.post("/volumes/create", {"Name": "kept", "Driver": "used", "Labels": {"k": "1"}})


@pytest.mark.parametrize("point", list(CASES))
def test_a_crash_loses_nothing_and_stops_nobody(stage: Stage, point: str) -> None:
    agent = stage.agent
    prepare(stage)
    pid, used = stage.pid("bystander"), stage.pid("used")
    agent.kill()
    agent.start({checkpoint.VARIABLE: point})
    with pytest.raises(http.Unreachable):
        CASES[point](stage)
    assert agent.wait() == -9
    agent.start()
    assert stage.pid("bystander") == pid
    if not point.startswith("disable:"):
        assert stage.pid("used") == used
    check(stage, point)
    with contextlib.suppress(DoneAlready):
        again(stage, point)
    # A removal's files are deleted after its answer, and before the agent ends.
    agent.stop()
    agent.start()
    check(stage, point)
    assert stage.pid("bystander") == pid


class DoneAlready(Exception):
    """The engine says that there is nothing left to do."""


def again(stage: Stage, point: str) -> None:
    """Do what was interrupted once more."""
    try:
        CASES[point](stage)
    except http.Refused as exc:
        if exc.status not in REFUSED:
            raise
        raise DoneAlready from exc


def check(stage: Stage, point: str) -> None:
    """What must hold, whatever was done."""
    root = stage.agent.root
    wait_for_restarts(stage)
    invariants.check(root)
    records = invariants.load_records(root)
    running = {record["id"] for record in records.values() if record["enabled"]}
    assert stage.containers() == running, point
    for record in records.values():
        if record["enabled"]:
            answer = stage.post(f"/plugind/plugins/{record['id']}/rpc?method=VolumeDriver.List", {})
            assert answer["Volumes"] is not None
    volumes = invariants.load_volumes(root)
    if "kept" in volumes:
        assert volumes["kept"]["labels"] == {"k": "1"}
    else:
        assert point.startswith("volume-remove:")


def wait_for_restarts(stage: Stage) -> None:
    """A call of a driver waits until its plugin has come back."""
    for record in invariants.load_records(stage.agent.root).values():
        if record["enabled"]:
            name = record["name"]
            stage.post("/volumes/create", {"Name": "waiting", "Driver": name})
            stage.agent.request("DELETE", "/volumes/waiting")


def test_an_enable_counts_once_the_plugin_has_answered(stage: Stage) -> None:
    for point in ("enable:after-start", "enable:before-commit", *ENABLED):
        prepare(stage)
        stage.agent.kill()
        stage.agent.start({checkpoint.VARIABLE: point})
        with pytest.raises(http.Unreachable):
            CASES[point](stage)
        stage.agent.wait()
        container = invariants.load_records(stage.agent.root)["toy:latest"]["id"]
        assert container in stage.containers()  # conmon holds it, whoever died
        stage.agent.start()
        enabled = stage.agent.request("GET", "/plugins/toy/json")["Enabled"]
        assert enabled == (point in ENABLED)
        assert (container in stage.containers()) == enabled


def test_a_mounted_file_stays_readable_while_the_agent_is_away(stage: Stage) -> None:
    prepare(stage)
    agent = stage.agent
    path = stage.post("/plugind/volumes/kept/mount", {"Holder": "web"})["Mountpoint"]
    file = Path(path) / "file"
    file.write_text("kept")
    agent.kill()
    assert file.read_text() == "kept"
    agent.start()
    [holder] = agent.request("GET", "/plugind/volumes/kept/holders")
    assert (holder["Holder"], holder["Mountpoint"]) == ("web", path)
    assert file.read_text() == "kept"
    stage.post("/plugind/volumes/kept/unmount", {"Holder": "web"})
    assert agent.request("GET", "/plugind/volumes/kept/holders") == []


def test_a_plugin_that_died_meanwhile_is_started_again(stage: Stage) -> None:
    prepare(stage)
    agent = stage.agent
    pid = stage.pid("used")
    container = invariants.load_records(agent.root)["used:latest"]["id"]
    agent.kill()
    agent.runc("kill", container, "KILL")
    agent.start()
    wait_for_restarts(stage)
    assert stage.pid("used") not in (None, pid)
    check(stage, "")
