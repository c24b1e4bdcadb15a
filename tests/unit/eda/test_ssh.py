# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The event source for ansible-rulebook reaches hosts over ssh: on an ssh that runs commands here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from support.eda import Clock, Queue, running, source, take

DECLARATION = {"plugins": [{"name": "toy"}]}
STEP = {"resource": "plugin/toy", "action": "plugin-enable", "description": "", "reason": ""}
PLAN = {"failed": False, "changed": True, "msg": "1 step", "steps": [STEP]}
SSH = """#!/bin/sh
# Everything but the command goes into a file; the command runs here.
for word; do command=$word; done
printf '%s\\n' "$@" >>"$LOG"
exec sh -c "$command"
"""


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that runs commands here; return where it writes down its arguments."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def program(tmp_path: Path, script: str) -> str:
    path = tmp_path / "plugind"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def arguments_of(ssh: Path) -> list[str]:
    return ssh.read_text().splitlines()


def line_of(kind: str, action: str) -> str:
    return json.dumps(
        {"Type": kind, "Action": action, "Actor": {"ID": "1"}, "timeNano": 5_000_000_006}
    )


async def test_hosts_are_followed_over_ssh(tmp_path: Path, ssh: Path) -> None:
    events = f"echo Welcome; echo '{line_of('daemon', 'subscribed')}'; echo '{line_of('plugin', 'died')}'"
    plan = f"cat >{tmp_path}/stdin; echo Welcome; echo '{json.dumps(PLAN)}'"
    script = f'case "$*" in *events*) {events}; echo "no more" >&2;; *) {plan};; esac'
    queue: Queue = asyncio.Queue()
    args = {
        "hosts": ["web1", {"name": "web2", "address": "me@192.0.2.7"}],
        "ssh_args": ["-p", 2222],
        "executable": program(tmp_path, script),
        "socket": "/run/it's.sock",
        "types": ["plugin"],
    }
    followers, watchers = source.configure(args, queue.put)
    assert watchers == []
    clock = Clock()
    follower = followers[1]
    follower.sleep = clock.sleep
    follower.backoff.chance = lambda: 0.0
    async with running(follower):
        events = await take(queue, "agent connected", "plugin died", "agent disconnected")
        assert {event["host"] for event in events} == {"web2"}
        assert events[2]["attributes"]["error"] == "no more"
        await clock.passes(1)
        await take(queue, "agent connected", "agent disconnected")
    *options, dashes, address, command = arguments_of(ssh)
    assert options[:2] == ["-p", "2222"]
    assert "BatchMode=yes" in options
    assert (dashes, address) == ("--", "me@192.0.2.7")
    assert command.endswith(
        "--socket '/run/it'\"'\"'s.sock' events --announce --since 5.000000006 --filter type=plugin"
    )
    assert source.judge(await follower.agent.plan(DECLARATION))[0] == "drifted"
    assert json.loads((tmp_path / "stdin").read_text()) == DECLARATION


async def test_the_last_words_of_ssh_are_the_reason(tmp_path: Path, ssh: Path) -> None:
    silent = source.Remote("web1", "/s", program(tmp_path, "echo 'sudo: a password' >&2; exit 1"))
    with pytest.raises(source.Lost, match="sudo: a password"):
        await silent.plan(DECLARATION)
    gone = 'echo \'{"failed": true, "msg": "x"}\'; echo \'plugind: no agent\' >&2; exit 3'
    without = source.Remote("web1", "/s", program(tmp_path, gone))
    with pytest.raises(source.Lost, match="plugind: no agent"):
        await without.plan(DECLARATION)
    mute = source.Remote("web1", "/s", program(tmp_path, "exit 7"))
    with pytest.raises(source.Lost, match="ssh web1 ended with 7"):
        await mute.plan(DECLARATION)


async def test_without_ssh_it_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(source.Lost, match="cannot run ssh"):
        await source.Remote("web1", "/s", "plugind").plan(DECLARATION)


async def test_a_reader_that_stands_still_can_be_ended(tmp_path: Path, ssh: Path) -> None:
    """Pipes are full and nobody takes the events: ending must not wait for either."""
    begin, end = line_of("plugin", "x").split("5000000006")
    endless = f"i=6; while echo '{begin}'$i'{end}'; do i=$((i + 1)); done"
    script = f"echo '{line_of('daemon', 'subscribed')}'; {endless}"
    remote = source.Remote("web1", "/s", program(tmp_path, script))
    queue: Queue = asyncio.Queue(1)
    follower = source.Follower("web1", remote, queue.put, ["plugin"])
    async with running(follower):
        *_, last = await take(queue, "agent connected", "plugin x", "plugin x")
        assert last["time"] == 7
