# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The role agent for real: install, again, upgrade under a running plugin, refuse, purge.

In namespaces of its own, where everything that the role writes is private and every process ends with the last one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from fleet.supplies import download_wheels, find_wheel

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
TASKS = Path(__file__).parent / "targets/role_agent/tasks/main.yml"
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"
PLUGIN = "examples/localdir"
# Settings in every way that there is, for the second run.
OTHERWISE = {
    "agent_options": {
        "confinement": {"pids": 500, "plugins": {"survivor": {"memory": "256m"}}},
        "daemon": {"log_level": "debug"},
        "publish": {"podman_timeout": 60},
    },
    "agent_facts": True,
    "agent_publish_docker": True,
    "agent_publish_podman": True,
    "agent_secret_patterns_also": ["*_headers"],
}

# Read commands from standard input until it ends; each one's output goes where it says.
ROOM = """
set -e
room=$1
mount -t tmpfs room "$room"
for place in etc usr/local usr/share; do
    mkdir -p "$room/$place.upper" "$room/$place.work"
    mount -t overlay room -o "lowerdir=/$place,upperdir=$room/$place.upper,workdir=$room/$place.work" "/$place"
done
for place in opt var/lib var/log run; do
    mkdir -p "$room/$place"
    if [ "$place" = var/lib ]; then
        mkdir -p "$room/lib.upper" "$room/lib.work"
        mount -t overlay room -o "lowerdir=/var/lib,upperdir=$room/lib.upper,workdir=$room/lib.work" /var/lib
    else
        mount --bind "$room/$place" "/$place"
    fi
done
set +e
while read -r line; do eval "$line"; echo "done $?"; done
"""


@dataclass
class Room:
    """Namespaces in which the role may do as it likes."""

    process: subprocess.Popen[str]
    directory: Path

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run ansible-playbook with these arguments; return its exit code and output."""
        output = self.directory / "output"
        command = " ".join([str(ANSIBLE), "-i", "localhost,", *arguments])
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command} >{output} 2>&1 </dev/null\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return int(answer.split()[1]), output.read_text()


@pytest.fixture
def room(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Room]:
    """Namespaces for the test; a parameter names more of them (`--net`: no network at all)."""
    missing = [name for name in ("unshare", "runc", "conmon") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root, {missing}")
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(ROOT / ".build/collections"))
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    monkeypatch.setenv("ANSIBLE_NOCOLOR", "1")
    (tmp_path / "room").mkdir()
    process = subprocess.Popen(
        ["unshare", *getattr(request, "param", ()), "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
         "--propagation", "private", "sh", "-c", ROOM, "room", str(tmp_path / "room")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        yield Room(process, tmp_path)


def write_playbook(path: Path, content: dict[str, object]) -> str:
    head = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    variables = {"ansible_python_interpreter": "/usr/bin/python3"}
    path.write_text(yaml.safe_dump([{**head, "vars": variables, **content}]))
    return str(path)


def changed(output: str) -> int:
    (count,) = re.findall(r"changed=(\d+)", output)
    return int(count)


def other_wheel(directory: Path) -> Path:
    """The same wheel with other bytes, which is what an upgrade looks like to the role."""
    wheel = find_wheel()
    copy = directory / wheel.name
    shutil.copy(wheel, copy)
    with zipfile.ZipFile(copy, "a") as archive:
        archive.comment = b"another build"
    return copy


def test_life(room: Room, registry: str, directories: dict[str, Path], tmp_path: Path) -> None:
    role = write_playbook(tmp_path / "role.yml", {"roles": ["plugind.engine.agent"]})
    tasks = [{"ansible.builtin.include_tasks": str(TASKS)}]
    between = write_playbook(tmp_path / "between.yml", {"tasks": tasks})
    given = f"-e registry={registry} -e plugin={PLUGIN} -e directory={directories['1']}"
    given += f" -e pidfile={tmp_path}/plugin-pid"

    def expect(ok: bool, *arguments: str) -> str:
        rc, output = room.run(*arguments)
        assert (rc == 0) == ok, output
        return output

    assert changed(expect(True, role, "--check")) > 0
    assert changed(expect(True, role)) > 0
    assert changed(expect(True, role)) == 0
    expect(True, between, given, "-e step=use")
    # Another setting, another wheel: the agent is restarted, the plugin is not.
    other = ["-e", f"agent_wheel={other_wheel(tmp_path)}"]
    options = ["-e", f"'{json.dumps(OTHERWISE)}'"]
    assert "Restart the agent" in expect(True, role, *other, *options)
    assert changed(expect(True, role, *other, *options)) == 0
    expect(True, between, given, "-e step=verify")
    # Removal: not under a running plugin, unless it shall go, too.
    assert "has enabled plugins (survivor:latest)" in expect(
        False, role, *other, "-e agent_state=absent"
    ).replace("\n", " ")
    expect(True, role, *other, "-e agent_state=absent", "-e agent_purge=true")
    expect(True, between, given, "-e step=gone")
    assert changed(expect(True, role, *other, "-e agent_state=absent", "-e agent_purge=true")) == 0
    # An agent that left plugins behind leaves nobody who waits for them.
    expect(True, between, given, "-e step=litter")
    assert changed(expect(True, role, *other, "-e agent_state=absent")) == 1
    expect(True, between, given, "-e step=tidy")


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the agent's wheel depends on, for the Python that the role will find."""
    directory = tmp_path_factory.mktemp("wheelhouse")
    download_wheels(directory)
    return directory


@pytest.mark.parametrize("room", [("--net",)], indirect=True)
def test_a_wheelhouse_needs_no_network(room: Room, wheelhouse: Path, tmp_path: Path) -> None:
    role = write_playbook(tmp_path / "role.yml", {"roles": ["plugind.engine.agent"]})
    # The wheels are for the Python of this test, so the role must not choose another one.
    python = Path(sys.executable).resolve()
    given = ["-e", f"agent_wheelhouse={wheelhouse}", "-e", f"agent_python={python}"]
    rc, output = room.run(role, *given)
    assert rc == 0, output
    rc, output = room.run(role, *given)
    assert (rc, changed(output)) == (0, 0), output
    rc, output = room.run(role, *given, "-e agent_state=absent", "-e agent_purge=true")
    assert rc == 0, output
