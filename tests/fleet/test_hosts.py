# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Hosts themselves: what is theirs, what a power cut takes, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleet import cgroups, processes
from fleet.fleet import Fleet, attach, sweep

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]
PING = "- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n"


@pytest.fixture
def small(needed: None, place: Path):
    with Fleet(place / "f", 2) as running:
        yield running


def leftovers(directory: Path) -> list[str]:
    """What of a fleet this machine still has."""
    groups = [str(path) for here in cgroups.find() for path in here.glob("fleet-*")]
    own = str(directory)
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if own in line]
    running = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if own in command:
            running.append(command)
    return [group for group in groups if not _of_another(group)] + mounts + running


def _of_another(group: str) -> bool:
    _, pid, started = Path(group).name.split("-")
    return processes.Process(int(pid), int(started)).is_alive()


def test_a_host_is_a_host(small: Fleet) -> None:
    host, other = small
    assert host.run("hostname") == "h1\n"
    assert host.run("cat", "/proc/1/comm") == "tini\n"
    assert host.run("stat", "-fc", "%T", "/") == "overlayfs\n"
    assert host.run("stat", "-fc", "%T", "/var/lib/plugind") != "overlayfs\n"
    paths = {line.rpartition(":")[2] for line in host.run("cat", "/proc/self/cgroup").split()}
    assert paths == {"/"}
    assert host.run("sh", "-c", "echo there >/etc/mark; id -un deploy") == "deploy\n"
    assert other.call("cat", "/etc/mark").returncode == 1
    # Nothing of it shows in this machine's own network.
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "fleet0" not in links


def test_power_and_cable(small: Fleet, place: Path) -> None:
    host, other = small
    playbook = place / "ping.yml"
    playbook.write_text(PING)
    boots = host.run("cat", "/proc/sys/kernel/random/boot_id")
    host.run(
        "sh", "-c", "echo kept >/etc/mark; echo lost >/run/mark; echo data >/var/lib/plugind/mark"
    )
    host.kill()
    host.kill()
    assert not host.is_up
    other.cut()
    assert small.play(playbook).broken() == {"h1", "h2"}
    host.boot()
    other.join()
    assert small.play(playbook).rc == 0
    assert host.run("cat", "/etc/mark", "/var/lib/plugind/mark") == "kept\ndata\n"
    assert host.call("cat", "/run/mark").returncode == 1
    assert host.run("cat", "/proc/sys/kernel/random/boot_id") != boots
    with pytest.raises(ValueError, match="cannot wipe h1: it is up"):
        host.wipe()
    host.kill()
    host.wipe()
    host.boot()
    assert host.call("cat", "/etc/mark").returncode == 1


def test_the_registry_stops_and_starts(small: Fleet) -> None:
    host, _ = small
    probe = (
        "python3",
        "-c",
        f"import socket; socket.create_connection(('{small.registry.host.split(':')[0]}', 5000))",
    )
    small.registry.start()
    small.registry.start()
    host.run(*probe)
    small.registry.stop()
    assert "ConnectionRefusedError" in host.call(*probe).stderr
    small.registry.start()
    host.run(*probe)


def test_nothing_is_left(needed: None, place: Path) -> None:
    directory = place / "f"
    with Fleet(directory, 2) as fleet:
        fleet.registry.start()
        assert leftovers(directory) != []
    assert leftovers(directory) == []
    assert [path for path in directory.rglob("*") if path.name in ("upper", "data")] == []


def test_nothing_runs_on_when_the_maker_is_killed(needed: None, place: Path) -> None:
    directory = place / "f"
    code = (
        "import pathlib, sys; from fleet.fleet import Fleet\n"
        "with Fleet(pathlib.Path(sys.argv[1]), 1): print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as maker:  # fmt: skip
        assert maker.stdout is not None
        assert maker.stdout.readline() == "up\n"
        kept = attach(directory).ground.keeper
        maker.send_signal(signal.SIGKILL)
    kept.wait()
    sweep(cgroups.find())
    assert leftovers(directory) == []


def test_one_that_outlives_its_maker(needed: None, place: Path) -> None:
    directory = place / "f"

    def cli(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, Path(__file__).parent, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    cli("up", str(directory), "2", "--registry")
    try:
        assert cli("run", str(directory), "h2", "hostname") == "h2\n"
        cli("kill", str(directory), "h2")
        cli("boot", str(directory), "h2")
        (place / "ping.yml").write_text(PING)
        assert "failed=0" in cli("play", str(directory), str(place / "ping.yml"))
        # From outside of its network, as a tool that knows nothing of it.
        reached = subprocess.run(
            [Path(sys.executable).with_name("ansible"), "-i", directory / "outside.json", "all", "-m", "ping"],
            capture_output=True, text=True, check=False, env={**os.environ, "ANSIBLE_HOME": str(place)},
        )  # fmt: skip
        assert reached.stdout.count('"ping": "pong"') == 2, reached
        cli("up", str(directory), "1", status=1)
    finally:
        cli("down", str(directory))
    assert not directory.exists()
    assert leftovers(directory) == []
