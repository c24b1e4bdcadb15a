# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Other clients than the current docker CLI: the docker SDK, Debian's CLI, and crun as runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from support import daemon
from support.daemon import Agent
from support.docker_registry import DockerRegistry

pytestmark = pytest.mark.root


def test_the_docker_sdk_manages_plugins_and_volumes(
    agent: Agent, registry: DockerRegistry, localdir: Path
) -> None:
    """create, push, install, configure, enable, upgrade, volumes, disable, remove."""
    name = f"{registry.host}/localdir"
    client = docker.DockerClient(base_url=agent.url)
    assert client.ping()
    assert client.version()["Platform"]["Name"]
    client.plugins.create(name, str(localdir))
    created = client.plugins.get(name)
    list(created.push())  # that it came to the registry is what the install shows
    created.remove()

    installed = client.plugins.install(name, local_name="alias")
    assert (installed.name, installed.enabled) == ("alias:latest", False)
    installed.configure({"DEBUG": "1"})
    list(installed.upgrade(name))
    installed.enable(timeout=20)
    assert [plugin.name for plugin in client.plugins.list()] == ["alias:latest"]
    assert client.plugins.get("alias").settings["Env"] == ["DEBUG=1"]

    volume = client.volumes.create("data", driver="alias", labels={"a": "b"})
    assert volume.attrs["Driver"] == "alias:latest"
    assert [v.name for v in client.volumes.list(filters={"driver": "alias:latest"})] == ["data"]
    with pytest.raises(docker.errors.APIError, match="in use: volumes data"):
        installed.disable()
    volume.remove()
    installed.disable()
    installed.remove()
    assert client.plugins.list() == []
    assert client.containers.list() == client.images.list() == []
    client.close()


def test_debians_docker_cli_of_2020(agent: Agent, localdir: Path) -> None:
    """API 1.41, which has no progress auxiliaries and another prompt."""
    program = "/usr/bin/docker"
    if not Path(program).exists():
        daemon.require(program)

    def cli(*arguments: str) -> str:
        env = {**os.environ, "DOCKER_HOST": agent.url, "DOCKER_CONFIG": str(agent.run)}
        done = subprocess.run(
            [program, *arguments], env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    cli("plugin", "create", "localdir", str(localdir))
    cli("plugin", "enable", "localdir")
    cli("volume", "create", "-d", "localdir", "data")
    assert "localdir:latest" in cli("volume", "ls")
    cli("volume", "rm", "data")
    cli("plugin", "disable", "localdir")
    cli("plugin", "rm", "localdir")
    assert cli("plugin", "ls", "-q") == ""


CRUN = """
import sys
from pathlib import Path
from support import daemon
limits = {"confinement-memory": "256m", "confinement-cpus": "1.5", "confinement-pids": "100"}
with daemon.run(Path(sys.argv[1]), {"runtime-binary": "crun", **limits}) as agent:
    agent.cli("plugin", "create", "localdir", sys.argv[2])
    agent.cli("plugin", "enable", "localdir")
    agent.cli("volume", "create", "-d", "localdir", "data")
    print(agent.verb("exec", "localdir", "ls", "/data"))
    print(agent.verb("exec", "localdir", "grep", "Seccomp:", "/proc/self/status"))
    group = f"plugind/{agent.plugin('localdir')['Id']}/memory."
    for limit in (f"memory/{group}limit_in_bytes", f"{group}max"):
        if Path("/sys/fs/cgroup", limit).exists():
            print("limit", Path("/sys/fs/cgroup", limit).read_text())
    agent.cli("load", "-i", sys.argv[3])
    for command in (["ls", "/d"], ["nosuch"], ["/etc"], ["sh", "-c", "exit 3"]):
        done = agent.docker("run", "--rm", "-v", "data:/d", "busybox", *command)
        print("ended", done.returncode)
    agent.cli("volume", "rm", "data")
    agent.cli("plugin", "disable", "localdir")
"""


def test_crun_by_option(tmp_path: Path, localdir: Path, archive: Path) -> None:
    """The same plugin under crun, and containers on its volume.

    crun refuses a hybrid cgroup hierarchy, so this runs where the v2 half is not mounted.
    """
    daemon.require("crun", "conmon", "unshare")
    script = 'umount /sys/fs/cgroup/unified 2>/dev/null || true\nexec "$0" -c "$1" "$2" "$3" "$4"\n'
    tests = Path(daemon.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(tests), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script,
         sys.executable, CRUN, str(tmp_path / "d"), str(localdir), str(archive)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data" in done.stdout
    assert "Seccomp:\t2\n" in done.stdout
    assert f"limit {256 << 20}\n" in done.stdout
    ended = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ended")]
    assert ended == ["0", "127", "126", "3"]


def test_apply_makes_a_host_what_was_declared(
    agent: Agent, registry: DockerRegistry, localdir: Path
) -> None:
    """Dry run, first run, second run and removal through `plugind apply`."""
    name = f"{registry.host}/localdir"
    agent.cli("plugin", "create", name, str(localdir))
    agent.cli("plugin", "push", name)
    agent.cli("plugin", "rm", name)
    declared = {
        "plugins": [{"name": "data", "source": name, "settings": {"env": {"DEBUG": 1}}}],
        "volumes": [{"name": "one", "driver": "data", "labels": {"a": "b"}}],
    }

    def apply(document: object, *options: str) -> dict[str, object]:
        text = agent.verb("apply", "-", "--json", *options, input=json.dumps(document))
        answer: dict[str, object] = json.loads(text.splitlines()[-1])
        return answer

    predicted = apply(declared, "--dry-run")
    assert agent.request("GET", "/plugins") == []
    first = apply(declared)
    assert predicted["changed"] is first["changed"] is True
    assert predicted["diff"] == first["diff"]
    second = apply(declared)
    assert second["changed"] is False
    assert second["steps"] == []
    gone = {
        "plugins": [{"name": "data", "state": "absent"}],
        "volumes": [{"name": "one", "driver": "data", "state": "absent"}],
    }
    assert apply(gone)["changed"] is True
    assert agent.request("GET", "/plugins") == []
    assert agent.request("GET", "/volumes")["Volumes"] == []
