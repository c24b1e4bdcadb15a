# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Commands of the documentation, typed on a host or at a terminal: they end and print as their pages say."""

from __future__ import annotations

from collections.abc import Mapping

import docs.pages as pages
from docs.matching import matches

from fleet.controller import Result, Terminal
from fleet.hosts import Host


def on_host(host: Host, command: pages.Command) -> Result:
    """Type a command on a host, as root."""
    done = host.call("bash", "-c", command.text)
    result = Result(done.returncode, done.stdout + done.stderr)
    check(command, result, command.status)
    return result


def at(
    terminal: Terminal, command: pages.Command, words: Mapping[str, str], status: int = 0
) -> Result:
    """Type a command at a terminal, with the reader's words in place of the page's.

    `status` is not 0 where the page has another word for that than the command's block.
    """
    result = terminal.type(pages.replace(command.text, words))
    check(command, result, status or command.status)
    return result


def check(command: pages.Command, result: Result, status: int) -> None:
    """Compare what became of a command with its page."""
    said = f"line {command.line}: $ {command.text}\nended with {result.rc}\n{result.output}"
    assert result.rc == status, said
    if command.expected is not None:
        assert matches(command.expected, result.output), f"{said}\nthe page has\n{command.expected}"
