# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The operator's client: finds a verb, parses what it takes, runs it, reports how it ended.

Standard library only, and a verb's module is imported when it is the one, so that it answers in
60 ms. The verbs are in `verbs`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from plugind.ctl import parser, verbs, wire

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str]) -> int:
    """Run one verb; return the exit status."""
    socket, words = _take_socket(list(arguments))
    if not words or words[0] in ("-h", "--help", "help"):
        print(parser.whole_help())
        return wire.OK if words else wire.INVALID
    if words[:2] == ["completion", "--"]:
        from plugind.ctl import complete

        return complete.answer(words[2:])
    name = "version" if words[0] == "--version" else words[0]
    if verbs.find(name) is None:
        return _no_such_verb(name)
    if name == "serve":
        print('plugind: "serve" comes first, its options after it', file=sys.stderr)
        return wire.INVALID
    options = parser.parse(name, words[1:], socket)
    return run(options)


def run(options: argparse.Namespace) -> int:
    """Carry a parsed verb out; every error becomes an exit status and says what to do next."""
    try:
        return load(options.call)(options)
    except wire.Unreachable as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        return wire.UNREACHABLE
    except wire.Refused as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        from plugind.ctl import hints

        if hint := hints.after(options, exc):
            print(f"plugind: {hint}", file=sys.stderr)
        return wire.FAILED
    except BrokenPipeError:
        # What is still buffered must not be an error again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 130
    except KeyboardInterrupt:
        return 130


def load(call: str) -> Verb:
    """Import the function that `module:function` names."""
    module, _, function = call.partition(":")
    found: Verb = getattr(importlib.import_module(f"plugind.ctl.{module}"), function)
    return found


def _take_socket(words: list[str]) -> tuple[str | None, list[str]]:
    """Take `--socket PATH` from before the verb."""
    socket = None
    while words and words[0].partition("=")[0] == "--socket":
        option, equals, socket = words.pop(0).partition("=")
        if not equals:
            if not words:
                print(f"plugind: {option} wants a path", file=sys.stderr)
                sys.exit(wire.INVALID)
            socket = words.pop(0)
    return socket, words


def _no_such_verb(name: str) -> int:
    import difflib

    close = difflib.get_close_matches(name, [verb.name for verb in verbs.VERBS], cutoff=0.7)
    hint = f"did you mean {' or '.join(close)}?" if close else "`plugind --help` lists the verbs"
    print(f'plugind: "{name}" is no verb; {hint}', file=sys.stderr)
    return wire.INVALID
