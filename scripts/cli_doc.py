#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Write docs/cli.md from the table of verbs, agent/src/plugind/ctl/verbs.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "cli.md"
HEAD = """\
# plugind on the command line

Made from the table of verbs by `scripts/cli_doc.py`; change `agent/src/plugind/ctl/verbs.py` instead.

    plugind [--socket PATH] VERB ...

The verbs talk to the agent on `/run/plugind/api.sock`; `--socket` or `PLUGIND_SOCKET` name another one. That needs
root or membership in the group `plugind`. `plugind VERB --help` says what each takes.

With `--json` the output is one JSON document (`logs`, `events`: one a line), and nothing else is on standard output.
Tables are cut to the width of a terminal, and whole in a pipe. Colour is on terminals only; `NO_COLOR` turns it off.
Progress goes to standard error: a line for each layer, redrawn, on a terminal; a line for each change elsewhere.
"""
COMPLETION = """\
## Completion

The role `agent` installs it. By hand:

    plugind completion bash > /usr/share/bash-completion/completions/plugind
    plugind completion zsh > /usr/share/zsh/vendor-completions/_plugind

Verbs, options, and the names of plugins, volumes and host mounts are completed; names come from the agent.
"""


def render() -> str:
    """Return the document."""
    from plugind.ctl import verbs

    codes = [f"| {code} | {meaning} |" for code, meaning in verbs.EXIT_CODES]
    parts = [HEAD, "## Exit codes\n", "| code | meaning |", "|---|---|", *codes, ""]
    parts += [
        "`run` ends with 128 and the signal's number after a signal, `exec` with what the command ends with,",
        "and every verb with 130 after an interrupt or when nobody reads its output any more. `doctor` ends with 1",
        "if something is missing that plugins need.\n",
        COMPLETION,
        "## Verbs\n",
    ]
    for verb in verbs.VERBS:
        for one in verb.verbs or (verb,):
            name = f"{verb.name} {one.name}" if verb.verbs else verb.name
            parts += _section(one, name)
    return "\n".join(parts)


def _section(verb, name: str) -> Iterator[str]:
    from plugind.ctl import parser

    yield f"### plugind {name}\n"
    yield f"{verb.summary}.\n"
    yield f"    {parser.usage(verb, f'plugind {name}')}\n"
    if verb.more:
        lines = verb.more.splitlines()
        yield verb.more + "\n" if len(lines) == 1 else "".join(f"    {line}\n" for line in lines)
    yield "| | |"
    yield "|---|---|"
    for argument in verb.arguments:
        value = "" if not argument.is_option or not argument.takes_value else f" {argument.shown}"
        names = ", ".join(argument.names) + value if argument.is_option else argument.shown
        choices = argument.how.get("choices")
        allowed = f": {', '.join(choices)}" if isinstance(choices, tuple) else ""
        default = argument.how.get("default")
        given = f" (default: {default})" if default and "default" not in argument.help else ""
        yield f"| `{names}` | {argument.help}{allowed}{given} |"
    yield ""


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "agent" / "src"))
    DOCUMENT.write_text(render())
