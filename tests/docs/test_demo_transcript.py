# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""README.md's excerpt of `make demo`: its commands are commands of the demo's transcript, in that order, and the demo
insists on outputs of the shape that README.md shows.

The demo itself types them, and checks them, in a session of its own.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import docs.pages as pages
from docs.matching import matches
from support import daemon

ROOT = daemon.REPOSITORY
TRANSCRIPT = ROOT / "playbooks" / "files" / "demo" / "transcript.py"
COMMANDS = pages.left_to("tests/docs/test_demo_transcript.py", ROOT)
#: The demo's surroundings at the time of the excerpt.
PLACES = {
    "NAME": "127.0.0.1:41583/sshfs",
    "DATA": "/var/lib/plugind-demo/build/plugins/sshfs",
    "SSHCMD": "sshfs-demo-24985@127.0.0.1:/run/plugind-demo/sshd/share",
    "PORT": "39611",
    "PASSWORD_FILE": "/run/plugind-demo/sshd/password",
    "LOG": "cat /var/log/plugind/plugind.log",
    "IMAGE": "/run/plugind-demo/busybox.tar",
    "MOUNT": "/run/plugind-demo/sshvolume",
}
ID = "c486f07f92d8..."
CLOSING = "\n...\n"


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The demo's program, which reads its surroundings when it is loaded."""
    for name in ("hello.txt", "reply.txt"):
        (tmp_path / name).touch()
    for name, value in {**PLACES, "SHARE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("demo_transcript", TRANSCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_the_excerpt_is_what_the_demo_types(transcript: ModuleType) -> None:
    assert set(COMMANDS) == {"README.md"}
    steps: list[Any] = []

    def take(step: Any) -> str:
        steps.append(step)
        return ID

    closing = transcript.walk(transcript.session(has_podman=True), take)
    commands = COMMANDS["README.md"]
    shown = [command.expected for command in commands]
    shown[-1], found, end = shown[-1].rpartition(CLOSING)
    assert (found, end) == (CLOSING, closing)
    rest = iter(steps)
    for command, output in zip(commands, shown):
        step = next((one for one in rest if matches(command.text, as_one_line(one.command))), None)
        where = f"README.md:{command.line}: $ {command.text}"
        assert step is not None, f"{where}\nthe demo does not type it, or not after those above it"
        assert re.fullmatch(transcript.pattern(step.wanted), output), (
            f"{where}\n{output}\nthe demo insists on\n{step.wanted}"
        )


def as_one_line(command: str) -> str:
    return command.replace("\\\n", "")
