# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The fast path over real ssh, with become and without, on a private sshd on loopback."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import ssh_login

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests/unit/plugins/fake_plugind.py"
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Inventory variables of a host behind a private sshd."""
    with ssh_login.run(tmp_path_factory.mktemp("sshd")) as login:
        yield {
            "ansible_host": "127.0.0.1",
            "ansible_port": login.port,
            "ansible_user": getpass.getuser(),
            "ansible_ssh_private_key_file": str(login.key),
            "ansible_ssh_common_args": " ".join(ssh_login.OPTIONS),
            "ansible_python_interpreter": "/usr/bin/python3",
        }


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter and write to, which tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="plugind-ssh-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.parametrize(
    ("become", "pipelining", "fast"),
    [
        ("", "1", True),
        ("", "0", True),
        ("sudo", "1", True),
        ("sudo", "0", False),
        ("su", "1", False),
    ],
)
def test_ssh(host, tmp_path: Path, place: Path, become: str, pipelining: str, fast: bool) -> None:
    if become and shutil.which(become) is None:
        pytest.skip(f"{become} is not installed")
    shutil.copy(FAKE, place / "plugind")
    (place / "plugind").chmod(0o755)
    (tmp_path / "secret.yml").write_text("secret: planted-over-ssh\n")
    variables = {**host, "ansible_shell_allow_world_readable_temp": True}
    if become:
        variables |= {
            "ansible_become_method": become,
            "ansible_become_user": "nobody",
            "ansible_become_flags": "-s /bin/sh" if become == "su" else "-n -H",
        }
    task = {
        "plugind.engine.plugin": {
            "executable": str(place / "plugind"),
            "source": "registry.example/x:1",
            "credentials": {"password": "{{ secret }}"},
        },
        "become": bool(become),
        "environment": {"SEEN_IT": "over ssh"},
    }
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}])
    )
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"web1": variables}}}))
    done = subprocess.run(
        [str(ANSIBLE), "-i", "inventory.yml", "-vvvv", "-e@secret.yml", "play.yml"],
        capture_output=True, text=True, cwd=tmp_path, timeout=200, check=False,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_PIPELINING": pipelining,
            "ANSIBLE_REMOTE_TMP": f"{place}/tmp-${{USER}}",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",
            "ANSIBLE_NOCOLOR": "1",
        },
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "planted" not in output
    (line,) = (place / "calls.jsonl").read_text().splitlines()
    call = json.loads(line)
    assert call["document"]["plugins"][0]["credentials"]["password"] == "planted-over-ssh"
    assert call["environ"] == {"SEEN_IT": "over ssh"}
    assert (call["uid"] == 0) == (not become)
    assert ("AnsiballZ" not in " ".join(call["parent"])) == fast
