# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An enabled plugin is upgraded in one step: real processes, real mounts, and versions that fail."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugind import checkpoint
from plugind.ctl import http
from plugind.host import mounts
from support import daemon, docker_registry, invariants
from support.daemon import Agent
from support.faulty import make_version

pytestmark = pytest.mark.root
#: Versions of the faulty driver, which is localdir without a fault, by tag.
FAULTS = {"1": "", "2": "", "exits": "exit:1", "hangs": "hang", "mortal": "crash-on:mount"}
POINTS = [name for name in checkpoint.NAMES if name.startswith("replace:")]
#: A good version is never reverted, and a bad one never gets as far as a start.
KILLS = [("2", point) for point in POINTS if point != "replace:after-revert"]
KILLS += [("exits", f"replace:after-{what}") for what in ("stop", "commit", "revert")]


class Bench:
    """A daemon whose plugin `driver` runs at version 1, with a volume that is mounted."""

    def __init__(self, agent: Agent, repository: str) -> None:
        self.agent = agent
        self.repository = repository

    def upgrade(self, tag: str, *settings: str, timeout: int = 10) -> str:
        """Upgrade over the native API; return the error that the stream ends with, "" for none."""
        path = f"/plugind/plugins/driver/upgrade?remote={self.repository}:{tag}&timeout={timeout}"
        body = json.dumps({"Privileges": [], "Settings": list(settings)}).encode()
        headers = {"Content-Type": "application/json"}
        with contextlib.closing(http.connect(self.agent.url)) as connection:
            lines = list(http.stream_lines(connection, "POST", path, headers, body))
        return str(json.loads(lines[-1]).get("error", ""))

    def apply(self, tag: str, **more: Any) -> dict[str, Any]:
        """Declare a version; the result."""
        plugin = {"name": "driver", "source": f"{self.repository}:{tag}", **more}
        result: dict[str, Any] = self.agent.request("POST", "/plugind/apply", {"plugins": [plugin]})
        return result

    def require_version(self, tag: str) -> None:
        """Assert that the plugin runs at that version, with what was mounted."""
        shown = self.agent.plugin("driver")
        assert (shown["Enabled"], shown["Status"]["State"]) == (True, "running")
        assert shown["PluginReference"] == f"{self.repository}:{tag}"
        assert self.agent.runc("list", "-q").split() == [shown["Id"]]
        (holder,) = self.agent.request("GET", "/plugind/volumes/data/holders")
        assert Path(holder["Mountpoint"], "file").read_text() == "content"
        invariants.check(self.agent.root)
        propagated = self.agent.root / "plugins" / shown["Id"] / "propagated-mount"
        assert [one.path for one in mounts.mounts_under(self.agent.root)] == [str(propagated)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, faulty: Path) -> Iterator[str]:
    """A registry with every version; the repository's name."""
    docker_registry.require()
    base = tmp_path_factory.mktemp("versions")
    with docker_registry.run(base / "registry") as registry, daemon.run(base / "d") as agent:
        repository = f"{registry.host}/driver"
        for tag, fault in FAULTS.items():
            version = make_version(faulty, base, tag, fault)
            agent.cli("plugin", "create", f"{repository}:{tag}", str(version))
            agent.cli("plugin", "push", f"{repository}:{tag}")
        yield repository


@pytest.fixture
def bench(agent: Agent, published: str) -> Bench:
    """See `Bench`."""
    daemon.require("docker")
    agent.cli("plugin", "install", "--alias", "driver", f"{published}:1", input="y\n")
    agent.request("POST", "/volumes/create", {"Name": "data", "Driver": "driver"})
    mounted = agent.request("POST", "/plugind/volumes/data/mount", {"Holder": "web"})
    Path(mounted["Mountpoint"], "file").write_text("content")
    bench = Bench(agent, published)
    bench.require_version("1")
    return bench


class Asking:
    """Asks for a volume all the time; `errors` are what it was not told."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answers = 0
        self.errors: list[str] = []

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                self._agent.request("GET", "/volumes/data")
                self.answers += 1
            except http.Refused as exc:
                self.errors.append(str(exc))


def test_calls_wait_while_an_enabled_plugin_is_upgraded(bench: Bench) -> None:
    pid = bench.agent.plugin("driver")["Status"]["Pid"]
    with Asking(bench.agent) as asking:
        assert bench.upgrade("2", "DEBUG=1") == ""
    assert asking.errors == []
    assert asking.answers > 0
    bench.require_version("2")
    shown = bench.agent.plugin("driver")
    assert "DEBUG=1" in shown["Settings"]["Env"]
    assert shown["Status"]["Pid"] != pid


@pytest.mark.parametrize(
    ("tag", "timeout", "words"),
    [
        ("exits", 10, "exited with status 1 before it listened on faulty.sock"),
        ("hangs", 1, "nothing listens on faulty.sock after 1 s"),
        ("mortal", 10, "exited with status 13 after its volumes were mounted again"),
    ],
)
def test_a_bad_version_gives_way_to_the_old_one(
    bench: Bench, tag: str, timeout: int, words: str
) -> None:
    with Asking(bench.agent) as asking:
        error = bench.upgrade(tag, timeout=timeout)
    old, new = f"{bench.repository}:1", f"{bench.repository}:{tag}"
    assert f"cannot upgrade plugin driver:latest to {new}, so its old version {old} runs" in error
    assert words in error
    assert "last output of the plugin:\n  " in error
    assert asking.errors == []
    bench.require_version("1")


def test_a_declaration_is_one_step_without_force(bench: Bench) -> None:
    settings = {"env": {"DEBUG": "1"}}
    result = bench.apply("2", settings=settings)
    assert not result["failed"], result
    assert [step["action"] for step in result["steps"]] == ["plugin-upgrade"]
    bench.require_version("2")
    result = bench.apply("2", settings={"env": {"DEBUG": "0"}})
    assert [step["action"] for step in result["steps"]] == ["plugin-set"], result
    bench.require_version("2")
    for bad in ({"tag": "exits"}, {"tag": "2", "settings": {"env": {"FAULT": "exit:1"}}}):
        result = bench.apply(**bad)  # type: ignore[arg-type]
        assert (result["failed"], result["changed"]) == (True, False)
        assert "runs again" in result["msg"]
        bench.require_version("2")


def test_docker_upgrades_only_what_is_disabled(bench: Bench) -> None:
    agent, newer = bench.agent, f"{bench.repository}:2"
    refused = agent.cli("plugin", "upgrade", "driver", newer, input="y\n", status=1)
    assert "must be disabled before upgrading" in refused
    agent.cli("plugin", "disable", "--force", "driver")
    agent.cli("plugin", "upgrade", "--skip-remote-check", "driver", newer, input="y\n")
    assert not agent.plugin("driver")["Enabled"]
    agent.cli("plugin", "enable", "driver")
    bench.require_version("2")


@pytest.mark.parametrize(("tag", "point"), KILLS)
def test_a_kill_in_the_middle_leaves_a_plugin_that_runs(bench: Bench, tag: str, point: str) -> None:
    agent = bench.agent
    agent.kill()
    agent.start({checkpoint.VARIABLE: point})
    with contextlib.suppress(http.Unreachable):
        bench.upgrade(tag)
    assert agent.wait() == -9
    agent.start()
    # Whoever asks waits until it is known which version is there.
    assert agent.request("GET", "/volumes/data")["Name"] == "data"
    agent.request("POST", "/plugind/plugins/driver/set", {"Settings": []})
    bench.require_version("2" if tag == "2" and point != "replace:after-stop" else "1")
