# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real Docker Engine beside the agent, which tells it of its plugins: what docs/operations.md shows.

The agent writes the .spec files, dockerd uses the fronts, and neither is configured for the other
but for `[publish] docker = true`. They share a mount and a network namespace, as they do on a host.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import daemon, docker_registry, dockerd, examples, image, namespace

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not dockerd.is_usable(), reason="needs root, dockerd and runc"),
    pytest.mark.skipif(image.REASON != "", reason=image.REASON),
]

DENY = "POST /containers/create HostConfig.Privileged"
PLUGINS = ("localdir", "localbridge", "localpool", "denylist", "linelog")
ADDRESSES = ("grep", "host", "-B1", "/proc/net/fib_trie")


@dataclass(frozen=True)
class Lab:
    """A host with an agent, its plugins, and a Docker Engine."""

    agent: daemon.Agent
    plugins: dict[str, examples.Running]
    directory: Path
    prefix: tuple[str, ...]
    url: str

    def docker(self, *arguments: str, status: int = 0, stdin: bytes = b"") -> str:
        """Run the docker CLI on the real engine; return what it printed."""
        done = subprocess.run(
            ["docker", "-H", self.url, *arguments], input=stdin, capture_output=True, check=False
        )
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == status, f"docker {arguments} ended with {done.returncode}: {said}"
        return said.strip()

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a container that is gone afterwards, without a network unless one is named."""
        network = () if "--network" in arguments else ("--network", "none")
        return self.docker("run", "--rm", *network, *arguments, status=status)

    def holders(self, volume: str) -> list[str]:
        found = self.agent.request("GET", f"/plugind/volumes/{volume}/holders")
        return [holder["Holder"].partition(":")[0] for holder in found]

    def kill(self, name: str) -> None:
        self.agent.kill_plugin(name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("built")
    return {name: daemon.build_plugin(name, directory / name) for name in PLUGINS}


@pytest.fixture(scope="module")
def lab(built: dict[str, Path]) -> Iterator[Lab]:
    daemon.require("docker", "nsenter", "unshare", "ip")
    # dockerd wants an ordinary disk below it, and socket paths are short.
    directory = Path(tempfile.mkdtemp(prefix="plugind-", dir="/var/tmp"))
    places = {"/run/docker": directory / "run", "/etc/docker": directory / "etc"}
    try:
        with (
            namespace.private(places, "--net") as prefix,
            daemon.run(directory / "agent", {"publish-docker": "true"}, prefix) as agent,
        ):
            settings = {"denylist": [f"DENY={DENY}"]}
            plugins = {
                name: examples.enable(agent, name, path, *settings.get(name, []))
                for name, path in built.items()
            }
            arguments = ("--authorization-plugin", "denylist")
            with dockerd.running(
                directory / "engine", *arguments, prefix=prefix, is_apart=True
            ) as url:
                made = Lab(agent, plugins, directory, prefix, url)
                made.docker("load", stdin=image.archive("busybox:latest", *image.busybox()))
                yield made
    finally:
        shutil.rmtree(directory)


def test_the_agent_has_said_where_its_plugins_are(lab: Lab) -> None:
    specs = {path.name for path in (lab.directory / "etc/plugins").iterdir()}
    assert specs == {f"{name}{tag}.spec" for name in PLUGINS for tag in ("", ":latest")}


@pytest.mark.parametrize("driver", ["localdir", "localdir:latest"])
def test_a_volume_in_containers(lab: Lab, driver: str) -> None:
    assert lab.docker("volume", "create", "-d", driver, "-o", "mode=0750", "data") == "data"
    lab.run("-v", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file")
    assert lab.run("-v", "data:/data", "busybox", "cat", "/data/file") == "kept"
    assert lab.holders("data") == []
    lab.docker("run", "-d", "--name", "user", "--network", "none", "-v", "data:/data", "busybox",
               "sleep", "1000")  # fmt: skip
    assert lab.holders("data") == ["dockerd"]
    assert "volume is in use" in lab.agent.cli("volume", "rm", "data", status=1)
    lab.docker("rm", "-f", "user")
    assert f"{driver} data" in lab.docker("volume", "ls", "--format", "{{.Driver}} {{.Name}}")
    lab.docker("volume", "rm", "data")
    assert lab.agent.request("GET", "/volumes")["Volumes"] == []


def test_a_volume_of_the_agent_s_is_found_by_its_driver(lab: Lab) -> None:
    lab.agent.cli("volume", "create", "-d", "localdir", "made-by-the-agent")
    volume = ("-v", "made-by-the-agent:/data", "--volume-driver", "localdir")
    assert lab.run(*volume, "busybox", "ls", "/data") == ""
    lab.docker("volume", "rm", "made-by-the-agent")


def test_containers_on_a_network_across_a_restart_of_its_plugins(lab: Lab) -> None:
    lab.docker(
        "network", "create", "-d", "localbridge", "--ipam-driver", "localpool",
        "--subnet", "10.97.0.0/24", "net",
    )  # fmt: skip
    assert "10.97.0.2" in lab.run("--network", "net", "busybox", *ADDRESSES)
    for name in ("localbridge", "localpool"):
        lab.kill(name)
    assert "10.97.0.2" in lab.run("--network", "net", "busybox", *ADDRESSES)
    lab.agent.kill()
    lab.agent.start()
    assert "10.97.0.2" in lab.run("--network", "net", "busybox", *ADDRESSES)
    lab.docker("network", "rm", "net")


@pytest.mark.parametrize("driver", ["linelog", "linelog:latest"])
def test_output_is_logged_and_read_back(lab: Lab, driver: str) -> None:
    command = "seq 3; echo err >&2"
    lab.docker("run", "--name", "talker", "--network", "none", "--log-driver", driver, "busybox",
               "sh", "-c", command)  # fmt: skip
    assert sorted(lab.docker("logs", "talker").splitlines()) == ["1", "2", "3", "err"]
    container = lab.docker("inspect", "-f", "{{.Id}}", "talker")
    journal = lab.plugins["linelog"].propagated / f"{container}.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {line["source"] for line in lines} == {"stdout", "stderr"}
    lab.docker("rm", "talker")


def test_logs_are_followed_across_a_restart_of_the_plugin(lab: Lab) -> None:
    options = ("--network", "none", "--log-driver", "linelog", "-i", "busybox", "sh", "-c")
    lab.docker("run", "-d", "--name", "reader", *options, "echo up; cat")
    argv = ["docker", "-H", lab.url, "logs", "-f", "reader"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "up\n"
        lab.plugins["linelog"].restart()
        lab.docker("rm", "-f", "reader")
        follower.wait(30)


def test_requests_are_denied_across_a_restart_of_plugin_and_agent(lab: Lab) -> None:
    def is_denied() -> bool:
        said = lab.run("--privileged", "busybox", "true", status=125)
        return "authorization denied by plugin denylist: denied by the rule" in said

    assert is_denied()
    lab.kill("denylist")
    assert is_denied()
    assert lab.run("busybox", "echo", "allowed") == "allowed"
    lab.agent.kill()
    lab.agent.start()
    assert is_denied()
    assert lab.run("busybox", "echo", "allowed") == "allowed"


def test_a_volume_across_restarts_of_plugin_and_agent(lab: Lab) -> None:
    lab.docker("volume", "create", "-d", "localdir", "data")
    volume = ("-v", "data:/data", "busybox")
    lab.docker("run", "-d", "--name", "user", "--network", "none", *volume, "sleep", "1000")
    lab.kill("localdir")
    lab.run(*volume, "sh", "-c", "echo kept > /data/file")
    lab.agent.kill()
    lab.agent.start()
    assert lab.run(*volume, "cat", "/data/file") == "kept"
    assert lab.docker("exec", "user", "cat", "/data/file") == "kept"
    lab.docker("rm", "-f", "user")
    assert lab.holders("data") == []
    lab.docker("volume", "rm", "data")


def test_a_disabled_plugin_hides_nobody_s_volumes(lab: Lab) -> None:
    lab.docker("volume", "create", "-d", "localdir", "data")
    lab.plugins["localdir"].disable()
    assert "data" in lab.docker("volume", "ls", "-q").split()
    refused = lab.docker("volume", "create", "-d", "localdir", "other", status=1)
    assert "plugin localdir:latest found but disabled" in refused
    lab.plugins["localdir"].enable()
    lab.docker("volume", "rm", "data")


# The last one: dockerd remembers each driver that it has used, and dials one that is gone for 15 s.
def test_an_upgrade_between_two_containers(lab: Lab, built: dict[str, Path]) -> None:
    with docker_registry.run(lab.directory / "registry", prefix=lab.prefix) as registry:
        name = f"{registry.host}/localdir"
        for tag in ("v1", "v2"):
            config = json.loads((built["localdir"] / "config.json").read_text())
            config["description"] = tag
            changed = lab.directory / tag
            shutil.copytree(built["localdir"], changed, symlinks=True)
            (changed / "config.json").write_text(json.dumps(config))
            lab.agent.cli("plugin", "create", f"{name}:{tag}", str(changed))
            lab.agent.cli("plugin", "push", f"{name}:{tag}")
            lab.agent.cli("plugin", "rm", f"{name}:{tag}")
        install = ("plugin", "install", "--grant-all-permissions", "--alias", "replaced")
        lab.agent.cli(*install, f"{name}:v1")
        lab.docker("volume", "create", "-d", "replaced", "data")
        lab.run("-v", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file")
        lab.agent.cli("plugin", "disable", "--force", "replaced")
        refused = lab.run("-v", "data:/data", "busybox", "true", status=125)
        assert "plugin replaced:latest found but disabled" in refused
        upgrade = ("plugin", "upgrade", "--grant-all-permissions", "--skip-remote-check")
        lab.agent.cli(*upgrade, "replaced", f"{name}:v2")
        lab.agent.cli("plugin", "enable", "replaced")
        assert lab.agent.plugin("replaced")["Config"]["Description"] == "v2"
        assert lab.run("-v", "data:/data", "busybox", "cat", "/data/file") == "kept"
        lab.docker("volume", "rm", "data")
        lab.agent.cli("plugin", "rm", "--force", "replaced")
        assert list((lab.directory / "etc/plugins").glob("replaced*")) == []
