# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Options of a volume, and the command line that they make."""

from __future__ import annotations

import pytest
from sshfs_driver.options import Target, parse_target, sshfs_argv
from volumeplugin import DriverError

SOURCE = "user@host:/path"


@pytest.mark.parametrize(
    "source",
    ["user@host:/path", "host:", "host:relative", "a.b-c@10.0.0.1:/x y", "u@dom@host:/", "u@[::1]:/x",
     "u@[fe80::1%eth0]:/x"],
)  # fmt: skip
def test_sources(source: str) -> None:
    assert parse_target({"sshcmd": source}).source == source


@pytest.mark.parametrize(
    "source",
    ["host", "/path", ":/path", "-oProxyCommand=x:/", "-u@host:/", "u@-host:/", "u@host:/a\nb", "u @h:/",
     "u@h/x:/"],
)  # fmt: skip
def test_sources_that_are_none(source: str) -> None:
    with pytest.raises(DriverError, match=r"^option sshcmd: .* is not of the form"):
        parse_target({"sshcmd": source})


def test_sshcmd_is_required() -> None:
    with pytest.raises(DriverError, match=r"^option sshcmd: required"):
        parse_target({"password": "x"})


@pytest.mark.parametrize("port", ["", "0", "65536", "ssh", "-1", "22 ", "\u0662\u0662"])
def test_ports_that_are_none(port: str) -> None:
    with pytest.raises(DriverError, match=r"^option port: .* is not a port number"):
        parse_target({"sshcmd": SOURCE, "port": port})


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"ssh_command": "sh"}, "option ssh_command: refused"),
        ({"proxyCommand": "sh"}, "option proxyCommand: refused"),
        ({"password_stdin": ""}, "option password_stdin: refused"),
        ({"-f": ""}, "option '-f': not the name"),
        ({"a,ssh_command": "x"}, "option 'a,ssh_command': not the name"),
        ({"": "x"}, "option '': not the name"),
        ({"uid": "1\n2"}, "option uid: must not contain"),
        ({"password": "a\nb"}, "option password: must not contain"),
    ],
)
def test_refused_options_are_named(option: dict[str, str], error: str) -> None:
    with pytest.raises(DriverError) as caught:
        parse_target({"sshcmd": SOURCE, **option})
    assert str(caught.value).startswith(error)


def pairs(argv: list[str]) -> list[str]:
    return [word for flag, word in zip(argv, argv[1:], strict=False) if flag == "-o"]


def test_command_line_with_a_password() -> None:
    target = parse_target(
        {"sshcmd": SOURCE, "password": "s3cret", "port": "2222", "allow_other": ""}
    )
    argv = sshfs_argv(target, "/m", "/k", 7)
    assert argv[:5] == ["sshfs", SOURCE, "/m", "-p", "2222"]
    assert pairs(argv) == [
        "StrictHostKeyChecking=no", "ServerAliveInterval=15", "ServerAliveCountMax=3",
        "UserKnownHostsFile=/k", "ConnectTimeout=7", f"fsname={SOURCE}", "allow_other",
        "sshfs_verbose", "password_stdin",
    ]  # fmt: skip
    assert "s3cret" not in " ".join(argv)
    assert "s3cret" not in repr(target)


def test_without_a_password_nobody_is_asked() -> None:
    options = pairs(sshfs_argv(Target(SOURCE), "/m", "/k", 7))
    assert "BatchMode=yes" in options
    assert "password_stdin" not in options


def test_given_options_replace_defaults() -> None:
    target = parse_target({"sshcmd": SOURCE, "stricthostkeychecking": "yes", "ConnectTimeout": "1"})
    options = pairs(sshfs_argv(target, "/m", "/k", 7))
    assert [word for word in options if word.lower().startswith("stricth")] == [
        "stricthostkeychecking=yes"
    ]
    assert [word for word in options if word.startswith("ConnectTimeout")] == ["ConnectTimeout=1"]


def test_commas_stay_within_their_value() -> None:
    target = parse_target({"sshcmd": SOURCE, "Ciphers": "a,b\\c"})
    assert "Ciphers=a\\,b\\\\c" in pairs(sshfs_argv(target, "/m", "/k", 7))
