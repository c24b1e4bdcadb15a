# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Declarations that are verified and undone: real processes, a real registry that may be away."""

from __future__ import annotations

import contextlib
import json
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
FAULTS = {"1": "", "2": "", "unfit": "create-error", "stuck": "hold:mount:60"}
VERIFY = {"volume": {}, "timeout": 2}


class Bench:
    """A registry with every version, and a daemon that runs version 1 with a volume in use."""

    def __init__(self, agent: Agent, repository: str, registry: contextlib.ExitStack) -> None:
        self.agent = agent
        self.repository = repository
        self._registry = registry

    def stop_registry(self) -> None:
        """Take the registry away for good."""
        self._registry.close()

    def plugin(self, tag: str, name: str = "driver", **more: Any) -> dict[str, Any]:
        return {"name": name, "source": f"{self.repository}:{tag}", **more}

    def apply(self, *plugins: dict[str, Any], **more: Any) -> dict[str, Any]:
        document = {"plugins": list(plugins), **more}
        result: dict[str, Any] = self.agent.request("POST", "/plugind/apply", document)
        return result

    def require_version(self, tag: str, debug: str = "DEBUG=1") -> dict[str, Any]:
        """Assert that the plugin runs at that version, with its settings and what was mounted."""
        shown = self.agent.plugin("driver")
        assert (shown["Enabled"], shown["Status"]["State"]) == (True, "running")
        assert shown["PluginReference"] == f"{self.repository}:{tag}"
        assert debug in shown["Settings"]["Env"]
        assert self.agent.runc("list", "-q").split() == [shown["Id"]]
        (holder,) = self.agent.request("GET", "/plugind/volumes/data/holders")
        assert Path(holder["Mountpoint"], "file").read_text() == "content"
        listed = self.agent.request("GET", "/volumes")["Volumes"]
        assert [volume["Name"] for volume in listed] == ["data"]
        propagated = self.agent.root / "plugins" / shown["Id"] / "propagated-mount"
        assert [one.path for one in mounts.mounts_under(self.agent.root)] == [str(propagated)]
        invariants.check(self.agent.root)
        return shown


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory, faulty: Path) -> Path:
    """A directory with every version, and what a registry has of them."""
    docker_registry.require()
    daemon.require("docker")
    base = tmp_path_factory.mktemp("versions")
    with docker_registry.run(base / "registry") as registry, daemon.run(base / "d") as agent:
        for tag, fault in FAULTS.items():
            version = make_version(faulty, base, tag, fault)
            agent.cli("plugin", "create", f"{registry.host}/driver:{tag}", str(version))
            agent.cli("plugin", "push", f"{registry.host}/driver:{tag}")
    return base / "registry"


@pytest.fixture
def bench(agent: Agent, versions: Path) -> Iterator[Bench]:
    """See `Bench`."""
    with contextlib.ExitStack() as registry:
        host = registry.enter_context(docker_registry.run(versions)).host
        bench = Bench(agent, f"{host}/driver", registry)
        settings = {"env": {"DEBUG": "1"}}
        volume = {"name": "data", "driver": "driver"}
        done = bench.apply(bench.plugin("1", settings=settings), volumes=[volume])
        assert not done["failed"], done
        mounted = agent.request("POST", "/plugind/volumes/data/mount", {"Holder": "web"})
        Path(mounted["Mountpoint"], "file").write_text("content")
        bench.require_version("1")
        yield bench


@pytest.mark.parametrize(
    ("tag", "words"),
    [("unfit", "create failed on purpose"), ("stuck", "it was not done within 2 s")],
)
def test_a_version_that_runs_and_does_not_serve_gives_way(
    bench: Bench, tag: str, words: str
) -> None:
    before = bench.agent.plugin("driver")
    if tag == "stuck":  # else what is mounted would not be mounted again in time
        bench.agent.request("POST", "/plugind/volumes/data/unmount", {"Holder": "web"})
    result = bench.apply(bench.plugin(tag, verify=VERIFY))
    assert (result["failed"], result["rolled_back"], result["changed"]) == (True, True, False)
    assert words in result["msg"]
    assert "what this run had done was undone" in result["msg"]
    assert result["undo"] is None
    if tag == "stuck":
        bench.agent.request("POST", "/plugind/volumes/data/mount", {"Holder": "web"})
    after = bench.require_version("1")
    assert (after["Id"], after["Settings"]) == (before["Id"], before["Settings"])
    assert not (bench.agent.root / "undo.json").exists()


def test_a_new_plugin_that_does_not_serve_is_gone(bench: Bench) -> None:
    result = bench.apply(bench.plugin("unfit", "other", verify=VERIFY))
    assert (result["failed"], result["rolled_back"], result["changed"]) == (True, True, False)
    listed = bench.agent.request("GET", "/plugins")
    assert [plugin["Name"] for plugin in listed] == ["driver:latest"]
    bench.agent.stop()  # what is in the trash goes in the background, or with the next start
    bench.agent.start()
    bench.require_version("1")


def test_an_operator_goes_back_while_the_registry_is_away(bench: Bench) -> None:
    upgraded = bench.apply(
        bench.plugin("2", settings={"env": {"DEBUG": "0"}}, verify=VERIFY),
        volumes=[{"name": "more", "driver": "driver"}],
    )
    assert not upgraded["failed"], upgraded
    assert bench.agent.plugin("driver")["PreviousVersion"]["PluginReference"].endswith(":1")
    bench.stop_registry()
    change = upgraded["undo"]["id"]
    planned = json.loads(bench.agent.verb("rollback", "--dry-run", "--json"))
    assert planned["changed"], planned
    refused = bench.agent.verb("rollback", "0123456789abcdef", status=1)
    assert f"the last change of this host is {change}" in refused
    back = json.loads(bench.agent.verb("rollback", change, "--remove-volumes", "--json"))
    assert (back["failed"], back["rolled_back"]) == (False, True), back
    bench.require_version("1")
    assert "there is no change to go back from" in bench.agent.verb("rollback", status=1)


def test_a_removed_plugin_comes_back_with_its_tag(bench: Bench) -> None:
    assert not bench.apply(bench.plugin("1", name="spare"))["failed"]
    before = bench.agent.plugin("spare")
    assert not bench.apply({"name": "spare", "state": "absent", "force": True})["failed"]
    bench.stop_registry()
    back = json.loads(bench.agent.verb("rollback", "--json"))
    assert (back["failed"], back["rolled_back"]) == (False, True), back
    after = bench.agent.plugin("spare")
    assert after["PluginReference"] == before["PluginReference"] == f"{bench.repository}:1"
    assert after["Status"]["ManifestDigest"] == before["Status"]["ManifestDigest"]
    # What was declared by its tag still is as declared.
    assert bench.apply(bench.plugin("1", name="spare"))["steps"] == []
    bench.agent.cli("plugin", "disable", "spare")


def test_the_version_before_is_declared_while_the_registry_is_away(bench: Bench) -> None:
    digest = bench.agent.plugin("driver")["Status"]["ManifestDigest"]
    assert not bench.apply(bench.plugin("2"))["failed"]
    bench.require_version("2")
    bench.stop_registry()
    pinned = {"name": "driver", "source": f"{bench.repository}:1@{digest}"}
    result = bench.apply(pinned)
    assert not result["failed"], result
    assert [step["action"] for step in result["steps"]] == ["plugin-upgrade"]
    bench.require_version("1")
    refused = bench.apply(bench.plugin("unfit"))
    assert refused["failed"]
    bench.require_version("1")


POINTS = [
    "undo-begin:after-commit",
    "replace:after-stop",
    "replace:after-mounts",
    "probe:after-mount",
    "undo-done:before-commit",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_boot_goes_back_from_what_a_kill_interrupted(bench: Bench, point: str) -> None:
    agent = bench.agent
    agent.kill()
    agent.start({checkpoint.VARIABLE: point})
    with contextlib.suppress(http.Unreachable):
        bench.apply(bench.plugin("2", verify=VERIFY))
    assert agent.wait() == -9
    assert json.loads((agent.root / "undo.json").read_text())["state"] == "running"
    bench.stop_registry()
    agent.start()
    # A declaration waits until the way back has come to its end.
    agent.request("POST", "/plugind/apply", {"plugins": [{"name": "driver"}]})
    agent.stop()  # what is in the trash goes in the background, or with the next start
    agent.start()
    bench.require_version("1")
    assert not (agent.root / "undo.json").exists()
