# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One-off containers with the real docker CLI and SDK: `docker run` against the agent itself."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
from pathlib import Path

import docker
import pytest

from plugind.ctl import http
from plugind.host import mounts
from support.daemon import Agent

pytestmark = pytest.mark.root
NO_NETWORK = "WARNING: plugind has no bridge network"


@pytest.fixture
def box(agent: Agent, archive: Path) -> Agent:
    """An agent with the image `busybox`."""
    agent.cli("load", "-i", str(archive))
    return agent


class Run:
    """What `docker run` printed and how it ended."""

    def __init__(self, agent: Agent, *arguments: str, input: bytes = b"") -> None:
        done = agent.docker("run", *arguments, input=input)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr.decode()


def nothing_is_left(agent: Agent) -> bool:
    """True if there is neither a container nor anything of one."""
    root = agent.run / "runc-containers"
    return (
        agent.cli("ps", "-aq") == ""
        and not mounts.mounts_under(agent.root / "containers")
        and (not root.exists() or not any(root.iterdir()))
        and not any((agent.root / "containers").iterdir())
        and not any((agent.run / "containers" / "bundles").iterdir())
    )


def test_run_prints_and_goes(box: Agent) -> None:
    done = Run(box, "--rm", "busybox", "echo", "hello")
    assert (done.status, done.out) == (0, b"hello\n")
    assert done.err.startswith(NO_NETWORK)
    quiet = Run(box, "--rm", "--network", "none", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (quiet.out, quiet.err) == (b"out\n", "err\n")
    assert nothing_is_left(box)


def test_exit_codes(box: Agent) -> None:
    for command, status in (
        (["sh", "-c", "exit 7"], 7),
        (["nosuch"], 127),
        (["/nosuch"], 127),
        (["/etc"], 126),
    ):
        done = Run(box, "--rm", "busybox", *command)
        assert done.status == status, (command, done.err)
    assert "executable file not found in $PATH" in Run(box, "--rm", "busybox", "nosuch").err
    refused = Run(box, "-p", "80:80", "--memory", "1g", "busybox", "true")
    assert refused.status == 125
    assert "plugind does not support" in refused.err
    assert "bridge" in Run(box, "--network", "bridge", "busybox", "true").err
    assert nothing_is_left(box)


def test_input_through_a_pipe(box: Agent) -> None:
    sent = b"".join(b"%d\n" % number for number in range(200_000))
    done = Run(box, "--rm", "-i", "--network", "none", "busybox", "cat", input=sent)
    assert done.out == sent
    done = Run(box, "--rm", "-i", "--network", "none", "busybox", "head", "-n", "1", input=sent)
    assert done.out == b"0\n"


def test_a_terminal(box: Agent) -> None:
    env = {**os.environ, "DOCKER_HOST": box.url, "DOCKER_CONFIG": str(box.run)}
    master, slave = pty.openpty()
    with subprocess.Popen(
        ["docker", "run", "--rm", "-it", "busybox", "sh"], stdin=slave, stdout=slave, stderr=slave,
        env=env, close_fds=True,
    ) as client:  # fmt: skip
        os.close(slave)
        os.write(master, b"echo two-$((1+1)); test -t 1 && echo a tty; exit 5\n")
        seen = b""
        with contextlib.suppress(OSError):  # EIO is how a pty says that the other end is gone
            while chunk := os.read(master, 65536):
                seen += chunk
        assert client.wait() == 5
    os.close(master)
    assert b"two-2" in seen
    assert b"\na tty" in seen
    assert nothing_is_left(box)


def test_detaching_from_a_terminal(box: Agent) -> None:
    """ctrl-p ctrl-q, which the CLI looks for itself; the container goes on, with its input open."""
    env = {**os.environ, "DOCKER_HOST": box.url, "DOCKER_CONFIG": str(box.run)}
    master, slave = pty.openpty()
    with subprocess.Popen(
        ["docker", "run", "--rm", "-it", "--name", "on", "busybox", "sh"], stdin=slave,
        stdout=slave, stderr=slave, env=env, close_fds=True,
    ) as client:  # fmt: skip
        os.close(slave)
        os.write(master, b"echo ready-$((1+1))\n")
        seen = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(master, 65536):
                seen += chunk
                if b"ready-2" in seen:
                    os.write(master, b"\x10\x11")
                    seen = b""
        client.wait()
    os.close(master)
    assert box.cli("ps", "--format", "{{.Names}}") == "on\n"
    box.cli("rm", "-f", "on")
    assert nothing_is_left(box)


def test_in_the_background(box: Agent) -> None:
    script = "echo one; echo two >&2; trap 'echo bye; exit 4' TERM; while :; do sleep 0.05; done"
    shown = box.cli(
        "run", "-d", "--name", "web", "--network", "none", "busybox", "sh", "-c", script
    )
    container = shown.strip()
    assert box.cli("ps", "--format", "{{.ID}} {{.Names}} {{.State}}") == (
        f"{container[:12]} web running\n"
    )
    follow = subprocess.Popen(
        ["docker", "-H", box.url, "logs", "-f", "web"], stdout=subprocess.PIPE
    )
    assert follow.stdout is not None
    assert follow.stdout.readline() == b"one\n"
    with follow:
        assert box.cli("stop", "web") == "web\n"
        assert follow.stdout.read() == b"bye\n"
    assert box.cli("wait", "web") == "4\n"
    assert box.cli("logs", "--tail", "1", "web") == "bye\n"
    assert "Exited (4)" in box.cli("ps", "-a", "--format", "{{.Status}}")
    assert box.cli("rm", "web") == "web\n"
    assert nothing_is_left(box)


def test_users_environment_names_and_networks(box: Agent) -> None:
    done = Run(
        box, "--rm", "-u", "user", "-w", "/tmp/deep", "-e", "A=b", "--hostname", "named",
        "--entrypoint", "sh", "busybox", "-c", "id -un; id -G; pwd; echo $A; cat /etc/hostname",
    )  # fmt: skip
    assert done.out.decode().splitlines() == ["user", "1000 2000", "/tmp/deep", "b", "named"]
    assert "unable to find user nosuch" in Run(box, "--rm", "-u", "nosuch", "busybox", "id").err
    interfaces = Run(box, "--rm", "busybox", "ls", "/sys/class/net")
    assert interfaces.out == b"lo\n"
    host = Run(box, "--rm", "--network", "host", "busybox", "ls", "/sys/class/net")
    assert host.out.decode().split() == sorted(os.listdir("/sys/class/net"))


def test_file_systems(box: Agent, tmp_path: Path) -> None:
    made = tmp_path / "made"
    done = Run(
        box, "--rm", "--read-only", "--tmpfs", "/t:size=1m", "-v", f"{made}:/made", "-v",
        "vol:/vol", "--mount", f"type=bind,src={tmp_path},dst=/ro,readonly", "busybox", "sh", "-c",
        "touch /t/x /made/x /vol/x && for p in / /ro /etc; do touch $p/x 2>/dev/null && echo $p; done",
    )  # fmt: skip
    assert (done.out, done.err.replace(NO_NETWORK, "").count("\n")) == (b"", 1)
    assert (made / "x").exists()
    assert Run(box, "--rm", "-v", "vol:/data:ro", "busybox", "ls", "/data").out == b"x\n"
    missing = Run(box, "--mount", "type=bind,src=/nosuch,dst=/x", "busybox", "true")
    assert "bind source path does not exist: /nosuch" in missing.err
    copied = Run(box, "--rm", "-v", "etc:/etc", "busybox", "ls", "/etc/passwd")
    assert copied.out == b"/etc/passwd\n"
    assert b"passwd" in Run(box, "--rm", "-v", "etc:/x", "busybox", "ls", "/x").out
    assert nothing_is_left(box)


def test_changes_stay_until_it_is_removed(box: Agent) -> None:
    script = "cat /kept 2>/dev/null; echo kept > /kept"
    box.cli("run", "--name", "keep", "-v", "/anonymous", "busybox", "sh", "-c", script)
    assert box.cli("start", "-a", "keep") == "kept\n"
    assert len(box.cli("volume", "ls", "-q").split()) == 1
    box.cli("rm", "-v", "keep")
    assert box.cli("volume", "ls", "-q") == ""
    assert nothing_is_left(box)


def test_a_volume_of_a_plugin(box: Agent, localdir: Path) -> None:
    box.cli("plugin", "create", "localdir", str(localdir))
    box.cli("plugin", "enable", "localdir")
    mount = "type=volume,src=data,dst=/data,volume-driver=localdir"
    assert Run(box, "--rm", "--mount", mount, "busybox", "touch", "/data/f").status == 0
    container = box.cli("run", "-d", "-v", "data:/data", "busybox", "sleep", "600").split()[-1]
    in_use = box.cli("volume", "rm", "data", status=1)
    assert f"remove data: volume is in use - [{container}]" in in_use
    assert container[:12] in box.cli("plugin", "disable", "localdir", status=1)
    box.cli("rm", "-f", container)
    shown = Run(box, "--rm", "--volume-driver", "localdir", "-v", "data:/d", "busybox", "ls", "/d")
    assert shown.out == b"f\n"
    box.cli("volume", "rm", "data")
    box.cli("plugin", "disable", "localdir")
    assert nothing_is_left(box)


def test_the_agent_is_killed_while_containers_run(box: Agent) -> None:
    """One goes on, one ends meanwhile and goes, one ends meanwhile and stays."""
    loop = "trap 'exit 3' TERM; while :; do sleep 0.05; done"
    for name, *options in (("on",), ("gone", "--rm"), ("stays",)):
        box.cli(
            "run",
            "-d",
            "--name",
            name,
            "-v",
            f"{name}-data:/d",
            *options,
            "busybox",
            "sh",
            "-c",
            loop,
        )
    pids = {
        name: json.loads(box.cli("inspect", name))[0]["State"]["Pid"]
        for name in ("on", "gone", "stays")
    }
    box.kill()
    for name in ("gone", "stays"):
        waiting = os.pidfd_open(pids[name])
        os.kill(pids[name], 15)
        select.select([waiting], [], [])
        os.close(waiting)
    box.start()
    listed = box.cli("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    assert sorted(listed) == ["on running", "stays exited"]
    assert json.loads(box.cli("inspect", "on"))[0]["State"]["Pid"] == pids["on"]
    assert json.loads(box.cli("inspect", "stays"))[0]["State"]["ExitCode"] == 3
    box.cli("volume", "rm", "gone-data")
    assert "in use" in box.cli("volume", "rm", "on-data", status=1)
    box.cli("stop", "on")
    assert box.cli("wait", "on") == "3\n"
    box.cli("rm", "on", "stays")
    assert nothing_is_left(box)


@pytest.mark.parametrize(
    ("point", "state"),
    [
        ("container-start:after-volumes", "created"),
        ("container-start:after-create", "created"),
        ("container-start:before-commit", "created"),
        ("container-exit:before-commit", "exited"),
        ("container-exit:after-commit", "exited"),
        ("container-remove:before-commit", "exited"),
        ("container-remove:after-commit", ""),
    ],
)
def test_the_agent_dies_in_the_middle(box: Agent, point: str, state: str) -> None:
    """Whatever it had begun is undone or brought to its end at the next start."""
    box.cli("create", "--name", "job", "-v", "data:/data", "busybox", "sh", "-c", "exit 3")
    box.stop()
    box.start({"PLUGIND_CRASH_AT": point})
    box.docker("start", "job")
    if "remove" in point:
        box.docker("wait", "job")
        box.docker("rm", "job")
    box.wait()
    box.start()
    assert box.cli("ps", "-a", "--format", "{{.State}}").strip() == state
    assert not mounts.mounts_under(box.root / "containers")
    if state:
        assert "in use" in box.cli("volume", "rm", "data", status=1)
        box.cli("start", "job")
        assert box.cli("wait", "job") == "3\n"
        box.cli("rm", "job")
    box.cli("volume", "rm", "data")
    assert nothing_is_left(box)


def test_the_agent_stops_while_somebody_is_attached(box: Agent) -> None:
    """The client hears no exit code, the container goes on."""
    client = subprocess.Popen(
        ["docker", "-H", box.url, "run", "--rm", "--name", "on", "busybox", "sh", "-c",
         "echo up; sleep 600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        assert box.stop() == 0
        assert client.wait() == 125
    assert "request abandoned" not in box.log()
    box.start()
    assert box.cli("ps", "--format", "{{.Names}}") == "on\n"
    box.cli("rm", "-f", "on")
    assert nothing_is_left(box)


def test_events_and_counts(box: Agent) -> None:
    Run(box, "--rm", "--name", "job", "busybox", "sh", "-c", "exit 2")
    connection = http.connect(box.url)
    filters = "%7B%22type%22%3A%5B%22container%22%5D%7D"
    connection.request("GET", f"/events?since=1&until={2**31}&filters={filters}")
    answer = connection.getresponse()
    seen = [json.loads(answer.readline()) for _ in range(5)]
    connection.close()
    assert [one["status"] for one in seen] == ["create", "attach", "start", "die", "destroy"]
    assert seen[3]["Actor"]["Attributes"]["exitCode"] == "2"
    assert seen[3]["from"] == "busybox"
    box.cli("create", "--name", "idle", "busybox")
    info = box.request("GET", "/info")
    assert (info["Containers"], info["ContainersRunning"], info["ContainersStopped"]) == (1, 0, 1)
    assert "idle" in box.cli("system", "df", "-v")
    assert "No such container" in box.cli("rm", "nosuch", status=1)
    assert "container" in box.cli("rmi", "busybox", status=1)
    box.cli("container", "prune", "-f")
    assert nothing_is_left(box)


def test_the_docker_sdk(box: Agent) -> None:
    client = docker.DockerClient(base_url=box.url)
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError, match="non-zero exit status 3"):
        client.containers.run("busybox", "sh -c 'echo bad >&2; exit 3'", remove=True)
    volumes = {"vol": {"bind": "/data", "mode": "rw"}}
    running = client.containers.run(
        "busybox", ["sleep", "600"], detach=True, name="sdk", volumes=volumes,
        environment={"A": "b"}, labels={"l": "1"}, network_mode="none",
    )  # fmt: skip
    assert [one.name for one in client.containers.list(filters={"label": "l=1"})] == ["sdk"]
    assert running.image.tags == ["busybox:latest"]
    assert running.attrs["Config"]["Env"][0] == "A=b"
    running.stop(timeout=0)
    assert running.wait()["StatusCode"] == 137
    running.reload()
    assert running.status == "exited"
    running.remove(v=True)
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("sdk")
    client.close()
    assert nothing_is_left(box)
