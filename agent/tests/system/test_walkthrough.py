# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The documentation of managed plugins, command by command, with the real docker CLI.

The sshfs plugin from a real registry, a volume on a real SSH server, a file read and written
through it, and the debugging recipes: runc list, runc exec, curl on the plugin's socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.ctl import http
from support import sshd
from support.daemon import Agent
from support.docker_registry import DockerRegistry

pytestmark = pytest.mark.root
PROMPT = """Plugin "{name}" is requesting the following privileges:
 - network: [host]
 - device: [/dev/fuse]
 - capabilities: [CAP_SYS_ADMIN]
Do you grant the above permissions? [y/N]"""


@pytest.fixture
def ssh_server() -> Iterator[dict[str, str]]:
    """A private sshd with a throw-away user; its settings as the script writes them."""
    with sshd.run() as server:
        yield server


@pytest.fixture
def published(agent: Agent, registry: DockerRegistry, sshfs: Path) -> str:
    """The sshfs plugin in the registry, put there by create and push; its name there."""
    name = f"{registry.host}/sshfs"
    assert agent.cli("plugin", "create", name, str(sshfs)) == f"{name}\n"
    pushed = agent.cli("plugin", "push", name)
    assert re.search(r"latest: digest: sha256:[0-9a-f]{64} size: \d+", pushed)
    agent.cli("plugin", "rm", name)
    return name


def answer_prompt(agent: Agent, *arguments: str, answer: str) -> str:
    """Run the docker CLI on a terminal and answer its prompt, as a person would."""
    master, slave = pty.openpty()
    env = {**os.environ, "DOCKER_HOST": agent.url, "DOCKER_CONFIG": str(agent.run)}
    with subprocess.Popen(
        ["docker", *arguments], stdin=slave, stdout=slave, stderr=slave, env=env, close_fds=True
    ) as process:
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):  # EIO is how a pty says that the other end is gone
            while chunk := os.read(master, 65536):
                seen += chunk
                if seen.endswith(b"[y/N] "):
                    os.write(master, answer.encode() + b"\n")
        process.wait()
    os.close(master)
    return seen.decode().replace("\r\n", "\n")


def test_the_documented_session(
    agent: Agent, published: str, ssh_server: dict[str, str], archive: Path
) -> None:
    """install, ls, volume create, volume ls, use, volume rm, disable, remove."""
    seen = answer_prompt(agent, "plugin", "install", published, answer="y")
    assert PROMPT.format(name=published) in seen
    assert f"Installed plugin {published}" in seen

    listed = agent.cli("plugin", "ls")
    assert re.search(
        rf"^[0-9a-f]{{12}} +{re.escape(published)}:latest +sshFS plugin for Docker +true$",
        listed,
        re.MULTILINE,
    )

    Path(ssh_server["SHARE"], "greeting").write_text("hello from the other side\n")
    password = Path(ssh_server["PASSWORD_FILE"]).read_text().strip()
    created = agent.cli(
        "volume", "create", "-d", published, "--name", "sshvolume",
        "-o", f"sshcmd={ssh_server['SSHCMD']}", "-o", f"port={ssh_server['PORT']}",
        "-o", f"password={password}",
    )  # fmt: skip
    assert created == "sshvolume\n"
    assert re.search(
        rf"^{re.escape(published)}:latest +sshvolume$", agent.cli("volume", "ls"), re.MULTILINE
    )

    agent.cli("load", "-i", str(archive))
    shown = agent.docker("run", "--rm", "-v", "sshvolume:/data", "busybox", "ls", "/data")
    content = "".join(f"{name}\n" for name in sorted(os.listdir(ssh_server["SHARE"])))
    assert (shown.returncode, shown.stdout.decode()) == (0, content)
    read = agent.docker("run", "--rm", "-v", "sshvolume:/data", "busybox", "cat", "/data/greeting")
    assert read.stdout == b"hello from the other side\n"

    path = Path(agent.verb("volumes", "mount", "sshvolume").strip())
    assert (path / "greeting").read_text() == "hello from the other side\n"
    (path / "reply").write_text("written through the volume\n")
    assert Path(ssh_server["SHARE"], "reply").read_text() == "written through the volume\n"
    in_use = agent.cli("volume", "rm", "sshvolume", status=1)
    assert "remove sshvolume: volume is in use - [operator]" in in_use
    agent.verb("volumes", "unmount", "sshvolume")

    assert agent.cli("volume", "rm", "sshvolume") == "sshvolume\n"
    assert agent.cli("plugin", "disable", published) == f"{published}\n"
    assert agent.cli("plugin", "rm", published) == f"{published}\n"
    assert agent.cli("plugin", "ls", "-q") == ""
    assert agent.runc("list", "-q") == ""
    assert password not in agent.log()


def test_refusing_the_privileges_installs_nothing(agent: Agent, published: str) -> None:
    """Answering the prompt with anything but y."""
    seen = answer_prompt(agent, "plugin", "install", published, answer="n")
    assert "permission denied while installing plugin" in seen
    assert agent.request("GET", "/plugins") == []


def test_the_debugging_recipes(agent: Agent, localdir: Path) -> None:
    """runc list, runc exec, curl on the socket, plugin output in the daemon log."""
    agent.cli("plugin", "create", "localdir", str(localdir))
    agent.cli("plugin", "enable", "localdir")
    plugin = agent.plugin("localdir")
    plugin_id = plugin["Id"]

    assert re.search(
        rf"^{plugin_id} +{plugin['Status']['Pid']} +running ", agent.runc("list"), re.MULTILINE
    )
    assert "plugin" in agent.runc("exec", plugin_id, "cat", "/plugin/driver.py")

    curl = [
        "curl", "-s", "-H", "Content-Type: application/json", "-XPOST", "-d", "{}",
        "--unix-socket", f"{agent.sockets}/{plugin_id}/localdir.sock",
        "http://localhost/VolumeDriver.List",
    ]  # fmt: skip
    answered = subprocess.run(curl, capture_output=True, text=True, check=True).stdout
    assert json.loads(answered)["Volumes"] == []

    line = f'level=info msg="Listening on /run/docker/plugins/localdir.sock" plugin={plugin_id}'
    assert line in agent.log()
    assert "Listening on" in agent.verb("logs", "localdir")
    assert json.loads(agent.verb("rpc", "localdir", "VolumeDriver.List"))["Volumes"] == []
    assert "localdir:latest" in agent.verb("ls")


def test_an_interactive_shell_in_a_plugin(agent: Agent, localdir: Path) -> None:
    """runc exec -t ID sh, with a terminal."""
    agent.cli("plugin", "create", "localdir", str(localdir))
    agent.cli("plugin", "enable", "localdir")
    plugin_id = agent.plugin("localdir")["Id"]
    master, slave = pty.openpty()
    argv = ["runc", "--root", str(agent.run / "runc"), "exec", "-t", plugin_id, "sh"]
    with subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave) as shell:
        os.close(slave)
        os.write(master, b"echo two-$((1+1)); exit\n")
        seen = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(master, 65536):
                seen += chunk
        assert shell.wait() == 0
    os.close(master)
    assert b"two-2" in seen


def test_set_upgrade_and_inspect(agent: Agent, published: str) -> None:
    """The other verbs of the documentation keep id and settings."""
    agent.cli("plugin", "install", "--grant-all-permissions", "--disable", published)
    before = json.loads(agent.cli("plugin", "inspect", published))[0]
    refused = agent.cli("plugin", "set", published, "NOPE=1", status=1)
    assert 'setting "NOPE" not found in the plugin configuration' in refused
    agent.cli("plugin", "set", published, "DEBUG=1")
    agent.cli("plugin", "upgrade", "--grant-all-permissions", published)
    after = json.loads(agent.cli("plugin", "inspect", published))[0]
    assert after["Id"] == before["Id"]
    assert "DEBUG=1" in after["Settings"]["Env"]
    agent.cli("plugin", "enable", published)
    busy = agent.cli("plugin", "set", published, "DEBUG=0", status=1)
    assert "cannot set on an active plugin, disable plugin before setting" in busy


def test_an_existing_plugin_is_not_installed_again(agent: Agent, published: str) -> None:
    """The second install says so."""
    agent.cli("plugin", "install", "--grant-all-permissions", published)
    again = agent.cli("plugin", "install", "--grant-all-permissions", published, status=1)
    assert f"plugin {published}:latest already exists" in again


def test_the_agent_may_come_and_go(agent: Agent, localdir: Path) -> None:
    """Stop, kill -9 and restart of the agent leave plugins and mounts as they are."""
    agent.cli("plugin", "create", "localdir", str(localdir))
    agent.cli("plugin", "enable", "localdir")
    agent.cli("volume", "create", "-d", "localdir", "data")
    path = agent.verb("volumes", "mount", "data").strip()
    pid = agent.plugin("localdir")["Status"]["Pid"]
    assert agent.stop() == 0
    agent.start()
    assert agent.plugin("localdir")["Status"]["Pid"] == pid
    agent.kill()
    agent.start()
    assert agent.plugin("localdir")["Status"]["Pid"] == pid
    holders = json.loads(agent.verb("volumes", "holders", "data", "--json"))
    assert [(h["Holder"], h["Mountpoint"]) for h in holders] == [("operator", path)]
    agent.verb("volumes", "unmount", "data")
    agent.cli("volume", "rm", "data")
    agent.cli("plugin", "disable", "localdir")


@pytest.mark.parametrize("compress", [False, True])
def test_create_also_takes_compressed_contexts(
    agent: Agent, localdir: Path, *, compress: bool
) -> None:
    """`docker plugin create --compress`, which the original refuses."""
    options = ["--compress"] if compress else []
    agent.cli("plugin", "create", *options, "localdir", str(localdir))
    again = agent.cli("plugin", "create", *options, "localdir", str(localdir), status=1)
    assert "plugin localdir:latest already exists" in again
    agent.cli("plugin", "create", *options, "other", str(localdir))
    agent.cli("plugin", "enable", "other")


def test_a_crash_under_a_mounted_volume(
    agent: Agent, published: str, ssh_server: dict[str, str]
) -> None:
    """The dead FUSE mount is detached, the restarted plugin has it mounted again, same path."""
    agent.cli("plugin", "install", "--grant-all-permissions", "--alias", "sshfs", published)
    Path(ssh_server["SHARE"], "greeting").write_text("still there\n")
    password = Path(ssh_server["PASSWORD_FILE"]).read_text().strip()
    options = {"sshcmd": ssh_server["SSHCMD"], "port": ssh_server["PORT"], "password": password}
    document = {"Name": "remote", "Driver": "sshfs", "DriverOpts": options}
    agent.request("POST", "/volumes/create", document)
    path = Path(agent.verb("volumes", "mount", "remote").strip())
    agent.verb("volumes", "mount", "remote", "--holder", "other")
    connection = http.connect(agent.url)
    connection.request("GET", "/events")
    events = connection.getresponse()
    os.kill(agent.plugin("sshfs")["Status"]["Pid"], signal.SIGKILL)
    seen = [json.loads(events.readline()) for _ in range(4)]
    connection.close()
    assert [event["Action"] for event in seen] == ["died", "restarted", "mount", "mount"]
    assert (path / "greeting").read_text() == "still there\n"
    for holder in ("operator", "other"):
        agent.verb("volumes", "unmount", "remote", "--holder", holder)
    agent.cli("volume", "rm", "remote")
    agent.cli("plugin", "disable", "sshfs")
