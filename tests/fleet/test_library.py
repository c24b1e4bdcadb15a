# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the fleet's library decides, without a fleet and without root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet import cgroups, cli, keeper, processes
from fleet.controller import inventory, outside, parse_recap
from fleet.hosts import Ground, Host
from fleet.processes import Process

RECAP = """\
TASK [h1 : ok=9] ***
PLAY RECAP *********************************************************************
h1                         : ok=3    changed=1    unreachable=0    failed=0    skipped=2
h10                        : ok=0    changed=0    unreachable=1    failed=0    skipped=0
"""


def make_host(directory: Path, number: int) -> Host:
    return Host(Ground(directory, Process(1, 0), Path("/lower"), ()), number)


def test_recap() -> None:
    recap = parse_recap(RECAP)
    assert set(recap) == {"h1", "h10"}
    assert recap["h1"] == {"ok": 3, "changed": 1, "unreachable": 0, "failed": 0, "skipped": 2}
    assert recap["h10"]["unreachable"] == 1
    assert parse_recap("ERROR: no such playbook") == {}


def test_stat_of_a_process_with_a_nasty_name() -> None:
    rest = " ".join(["1"] * 18)
    assert processes.parse_stat(f"77 (a) Z (b) S {rest} 4711 0") == (4711, True)
    assert processes.parse_stat(f"77 (a) Z {rest} 4711 0") == (4711, False)


def test_a_process_is_known_by_its_start(tmp_path: Path) -> None:
    own = processes.find(os.getpid())
    assert own.is_alive()
    assert not Process(own.pid, own.started + 1).is_alive()
    processes.save(own, tmp_path / "own")
    assert processes.load(tmp_path / "own") == own
    processes.save(Process(own.pid, own.started + 1), tmp_path / "own")
    assert processes.load(tmp_path / "own") is None
    assert processes.load(tmp_path / "none") is None
    # It is somebody else's by now, so this must not end us.
    Process(own.pid, own.started + 1).end()


def test_end_and_wait() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        process = processes.find(child.pid)
        with pytest.raises(TimeoutError, match=f"process {child.pid} has not ended"):
            process.wait(timeout=0)
        process.end()
        process.wait()
        assert child.wait() == -9
    with pytest.raises(ProcessLookupError):
        processes.find(child.pid)


def test_addresses() -> None:
    addresses = [keeper.host_address(number) for number in range(1, keeper.MOST + 1)]
    assert (addresses[0], addresses[-1]) == ("192.0.2.11", "192.0.2.254")
    for number in (0, keeper.MOST + 1):
        with pytest.raises(ValueError, match="1 to 244 hosts"):
            keeper.host_address(number)


def test_inventories(tmp_path: Path) -> None:
    hosts = [make_host(tmp_path, 1), make_host(tmp_path, 2)]
    listed = inventory(hosts)["fleet"]
    assert listed["hosts"] == {
        "h1": {"ansible_host": "192.0.2.11"},
        "h2": {"ansible_host": "192.0.2.12"},
    }
    assert (
        f"connect {tmp_path} %h %p"
        in outside(hosts, tmp_path)["fleet"]["vars"]["ansible_ssh_common_args"]
    )


def test_a_host_that_is_down(tmp_path: Path) -> None:
    host = make_host(tmp_path, 1)
    assert not host.is_up
    host.kill()
    host.wipe()
    with pytest.raises(ValueError, match="cannot run true on h1: it is down"):
        host.run("true")


@pytest.fixture
def hierarchies(tmp_path: Path) -> list[Path]:
    """Directories that look like two hierarchies of version 1."""
    found = []
    for name in ("cpuset", "memory"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
        found.append(tmp_path / name)
    return found


def test_control_groups(tmp_path: Path, hierarchies: list[Path]) -> None:
    (tmp_path / "notes").mkdir()
    assert cgroups.find(tmp_path) == hierarchies
    made = cgroups.make(hierarchies, "fleet-1-2/h1")
    assert made == [tmp_path / "cpuset/fleet-1-2/h1", tmp_path / "memory/fleet-1-2/h1"]
    (made[0] / "runc").mkdir()
    cgroups.remove(hierarchies, "fleet-1-2")
    assert not any(path.parent.exists() for path in made)
    cgroups.remove(hierarchies, "fleet-1-2")


@pytest.mark.parametrize(
    ("path", "is_member"),
    [
        ("/f/h1", True),
        ("/outer/f/h1/runc/id", True),
        ("/f/h10", False),
        ("/f", False),
        ("/", False),
    ],
)
def test_members_of_control_groups(path: str, *, is_member: bool) -> None:
    assert cgroups.is_member(f"4:cpuset:/\n1:name=systemd:{path}\n0::/\n", "f/h1") is is_member
    assert not cgroups.is_member("", "f/h1")


def test_control_groups_of_version_2_alone(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    with pytest.raises(cgroups.Unsupported, match="version 1"):
        cgroups.find(tmp_path)


def test_mount_options_of_hierarchies() -> None:
    assert cgroups.options("memory") == ("cgroup", "memory")
    assert cgroups.options("systemd") == ("cgroup", "none,name=systemd")
    assert cgroups.options("unified") == ("cgroup2", "")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["down", str(tmp_path)]) == 0
    assert tmp_path.exists()  # nothing there that a fleet has made
    assert cli.main(["kill", str(tmp_path), "h1"]) == 1
    assert f"no fleet is up in {tmp_path}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["kill", str(tmp_path)])


def test_it_runs_as_a_program() -> None:
    program = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, program, "--help"], capture_output=True, text=True, check=True
    )
    assert "up DIR N" in done.stdout
