# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The fast path over real ssh, with become and without, on a private sshd on loopback."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests/unit/plugins/fake_plugind.py"
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or SSHD is None, reason="needs root and sshd"),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Inventory variables of a host behind a private sshd."""
    place = tmp_path_factory.mktemp("sshd")
    for key in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / key], check=True
        )
    shutil.copy(place / "user.pub", place / "authorized")
    port = free_port()
    config = place / "config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {place}/authorized\nStrictModes no\nPermitRootLogin yes\n"
    )
    made = not Path("/run/sshd").exists()
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([str(SSHD), "-D", "-q", "-f", str(config)])
    try:
        deadline = time.monotonic() + 20
        while not answers(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield {
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": getpass.getuser(),
            "ansible_ssh_private_key_file": str(place / "user"),
            "ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
    finally:
        process.terminate()
        process.wait(20)
        if made:
            Path("/run/sshd").rmdir()


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
