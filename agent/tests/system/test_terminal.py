# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The verbs at a terminal of 80 columns, and completed by real shells, on a real agent."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import daemon, docker_registry, terminal

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

LONG = "registry.example/department/of/storage/local-directories-as-volumes:2026.11"
PLUGIND = [sys.executable, "-m", "plugind"]


def env(agent: daemon.Agent, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    return {
        **kept,
        "PLUGIND_SOCKET": str(agent.socket),
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
        **more,
    }


@pytest.fixture
def filled(agent: daemon.Agent, localdir: Path) -> daemon.Agent:
    """An agent with a plugin of a long name, and a volume of it that is mounted at a path."""
    agent.cli("plugin", "create", LONG, str(localdir))
    agent.verb("enable", LONG)
    agent.cli("volume", "create", "-d", LONG, "photographs-of-the-whole-department-since-1987")
    return agent


def test_tables_fit_80_columns_and_are_whole_in_a_pipe(filled: daemon.Agent) -> None:
    for verb in (["ls"], ["volumes"]):
        code, text = terminal.run([*PLUGIND, *verb], env=env(filled))
        seen = terminal.screen(text)
        assert code == 0
        assert max(map(len, seen)) <= 80
        assert "\u2026" in seen[1]
        assert LONG in filled.verb(*verb)
        assert "\033" not in filled.verb(*verb)
    assert "\033[32mrunning" in terminal.run([*PLUGIND, "ls"], env=env(filled))[1]
    assert "\033" not in terminal.run([*PLUGIND, "ls"], env=env(filled, NO_COLOR="1"))[1]


def test_an_install_shows_a_line_for_each_layer(
    agent: daemon.Agent, localdir: Path, registry: docker_registry.DockerRegistry, tmp_path: Path
) -> None:
    source = f"{registry.host}/acme/localdir:1"
    agent.cli("plugin", "create", source, str(localdir))
    agent.cli("plugin", "push", source)
    install = [*PLUGIND, "install", source, "--alias", "local", "DEBUG=1"]
    # One that has none of the layers.
    with daemon.run(tmp_path / "other") as other:
        code, text = terminal.run(install, env=env(other))
        assert code == 0, text
        assert "\033[1A" in text, "nothing was redrawn"
        seen = terminal.screen(text)
        assert len([line for line in seen if line.endswith("  Complete")]) == 1, text
        assert not [line for line in seen if "Downloading" in line]
        assert max(map(len, seen)) <= 80
        assert other.plugin("local:latest")["Settings"]["Env"] == ["DEBUG=1"]
        told = other.verb("upgrade", "local", source, "DEBUG=0", "--json")
        assert '"State": "running"' in told
        assert other.plugin("local:latest")["Settings"]["Env"] == ["DEBUG=0"]


def test_a_name_that_is_not_there_is_met_with_one_that_is(filled: daemon.Agent) -> None:
    said = filled.verb("inspect", "local-directories-as-volume", status=1)
    assert f"did you mean {LONG}?" in said


def wrapper(directory: Path) -> Path:
    """A `plugind` on the PATH that is the sources'."""
    place = directory / "bin"
    place.mkdir()
    program = place / "plugind"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(PLUGIND)} "$@"\n')
    program.chmod(0o755)
    return place


def complete(filled: daemon.Agent, directory: Path, argv: list[str]) -> list[str]:
    path = f"{wrapper(directory)}:{os.environ['PATH']}"
    done = subprocess.run(
        argv, env=env(filled, PATH=path), capture_output=True, text=True, check=False, cwd=directory
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


BASH = """
source <(plugind completion bash)
complete -p plugind
ask() {
    COMP_LINE=$1 COMP_POINT=${#1}
    # As readline splits: at blanks, and around colons.
    read -ra COMP_WORDS <<<"${1//:/ : }"
    [[ $1 == *' ' ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _plugind
    printf '%s|' "${COMPREPLY[@]}"
    echo
}
compopt() { :; }
ask 'plugind inst'
ask 'plugind inspect '
ask 'plugind inspect registry.example/department/of/storage/local-directories-as-volumes:20'
ask 'plugind volumes holders ph'
ask 'plugind enable --tim'
ask 'plugind apply decl'
"""


def test_bash_completes(filled: daemon.Agent, tmp_path: Path) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    (directory / "declaration.json").touch()
    assert complete(filled, directory, ["bash", "--norc", "-c", BASH]) == [
        "complete -F _plugind plugind",
        "install|",
        f"{LONG}|",
        # Only what comes after the colon is readline's to replace.
        "2026.11|",
        "photographs-of-the-whole-department-since-1987|",
        "--timeout|",
        "declaration.json|",
    ]


ZSH = """
autoload -Uz compinit && compinit -u -D
source <(plugind completion zsh)
print -r -- $_comps[plugind]
_describe() { print -rl -- "${(@)found}" }
_files() { print -r -- files "$@" }
words=(plugind inst) CURRENT=2; _plugind
words=(plugind inspect reg) CURRENT=3; _plugind
words=(plugind mounts mount photos /) CURRENT=5; _plugind
unfunction _plugind
_plugind() { eval "$(plugind completion zsh)" }
words=(plugind doc) CURRENT=2; _plugind
"""


@pytest.mark.slow
def test_zsh_completes(filled: daemon.Agent, tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("needs zsh")
    directory = tmp_path / "here"
    directory.mkdir()
    assert complete(filled, directory, ["zsh", "-f", "-c", ZSH]) == [
        "_plugind",
        "install:Install a plugin and enable it",
        f"{LONG.replace(':', chr(92) + ':')}:plugin",
        "files -/",
        # What compinit has loaded completes at its first call.
        "doctor:Say what this host lacks",
    ]
