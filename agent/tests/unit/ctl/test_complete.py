# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from plugind.ctl import complete, main, verbs

NAMES = {
    verbs.PLUGIN: ["vieux/sshfs:latest", "toy:1"],
    verbs.VOLUME: ["photos", "videos"],
    verbs.MOUNT: ["/srv/photos"],
}


def words(line: str, sockets: list[str | None] | None = None) -> list[str]:
    """Return what the last word of a line may become."""

    def names(socket: str | None, kind: str) -> list[str]:
        if sockets is not None:
            sockets.append(socket)
        return NAMES[kind]

    return [word for word, _ in complete.candidates(line.split(" "), names)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("ins", ["inspect", "install"]),
        ("zzz", []),
        ("--s", ["--socket"]),
        ("inspect ", ["vieux/sshfs:latest", "toy:1"]),
        ("inspect v", ["vieux/sshfs:latest"]),
        ("inspect vieux/sshfs:l", ["vieux/sshfs:latest"]),
        ("inspect toy:1 ", []),
        ("inspect --s", ["--secrets", "--socket"]),
        ("inspect --secrets --s", ["--socket"]),
        ("inspect --secrets ", ["vieux/sshfs:latest", "toy:1"]),
        ("enable --timeout 5 t", ["toy:1"]),
        ("enable --timeout ", []),
        ("enable --timeout=5 t", ["toy:1"]),
        ("volumes ", ["ls", "mount", "unmount", "holders", "rm"]),
        ("volumes un", ["unmount"]),
        ("volumes rm -f p", ["photos"]),
        ("volumes --j", ["--json"]),
        ("mounts mount ", ["photos", "videos"]),
        ("mounts mount photos ", [":directory"]),
        ("mounts mount --propagation rs", ["rslave", "rshared"]),
        ("mounts unmount ", ["/srv/photos"]),
        ("apply ", [":file"]),
        ("apply --engine ", []),
        ("ls --socket ", [":file"]),
        ("completion ", ["bash", "zsh"]),
        ("frob ", []),
        ("volumes frob ", []),
    ],
)
def test_what_a_word_may_become(line: str, found: list[str]) -> None:
    assert words(line) == found


@pytest.mark.parametrize(
    "line", ["--socket /s inspect ", "inspect --socket=/s ", "inspect --socket /s "]
)
def test_names_come_from_the_agent_that_is_meant(line: str) -> None:
    sockets: list[str | None] = []
    assert words(line, sockets) == NAMES[verbs.PLUGIN]
    assert sockets == ["/s"]


def test_verbs_come_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", "--", "doc"]) == 0
    assert capsys.readouterr().out == "doctor\tSay what this host lacks\n"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_scripts_are_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    assert capsys.readouterr().out == complete.SCRIPTS[shell]
